// @ts-check
import assert from "node:assert/strict";
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { loadFrom } from "../src/loader.js";
import { LOCK_AGE, PATIENCE, PAUSE, Refusals, WAIT, ageOf, noteOf } from "../src/refusals.js";
import { LOGIN, REFUSED, listOf, refusal, serve } from "./server.js";
import { SECRET, directory, environFor, vectors } from "./tools.js";

describe("the notes of the vectors", () => {
  for (const { name, file, now, want, ...place } of vectors.refusals)
    test(name, () => assert.equal(ageOf(file, place, now), want));
});

test("a refusal noted by a start stops the next one", () => {
  const { file: _, now, want: __, ...place } = vectors.refusals[0];
  assert.equal(ageOf(noteOf(place, now + 0.9), place, now + 30), 30);
});

test("the pauses are the shared ones", () => {
  const pauses = { noted: PAUSE, notNoted: WAIT, replica: PATIENCE, abandoned: LOCK_AGE };
  assert.deepEqual(vectors.refusalPauses, pauses);
});

describe("the places of the note", () => {
  for (const { name, environ, cache, want } of vectors.refusalPlaces)
    test(name, () => {
      const { file: _, now: __, want: ___, ...place } = vectors.refusals[0];
      const { file } = new Refusals(place, environ, cache ?? undefined);
      assert.equal(dirname(file), want.replace("{own}", `infisical-config-${process.geteuid?.()}`));
    });
});

/**
 * Start as often as there are credentials, each time against the same server.
 * @param {{ login: import("./server.js").Step[], secrets?: string[], cache?: string,
 *     temporary?: string }} options
 */
async function starts({ login, secrets = [SECRET, SECRET], cache, temporary = directory() }) {
  const server = await serve({ login, list: [listOf({ A: "1" })] });
  const environ = { ...environFor(server.address), TMPDIR: temporary };
  const results = [];
  /** @type {number[]} */
  const pauses = [];
  const pause = async (/** @type {number} */ milliseconds) => void pauses.push(milliseconds);
  for (const secret of secrets)
    results.push(
      await loadFrom(
        { ...environ, INFISICAL_CLIENT_SECRET: secret },
        { directory: directory(), pause, ...(cache ? { cache: { file: cache } } : {}) },
      ).then(
        () => "started",
        (error) => error,
      ),
    );
  await server.close();
  return { results, temporary, pauses, logins: server.requests.login };
}

/** @param {string} temporary */
const notes = (temporary) => join(temporary, `infisical-config-${process.geteuid?.()}`);

test("a restart does not try a credential again that was refused", async () => {
  const { results, logins, temporary } = await starts({ login: [REFUSED] });
  assert.equal(logins, 1);
  assert.deepEqual(
    results.map((each) => [each.code, each.exitCode]),
    [
      ["refused", 77],
      ["refused_before", 77],
    ],
  );
  const [file] = readdirSync(notes(temporary)).map((name) => join(notes(temporary), name));
  assert.match(
    results[1].message,
    /^http\S+ refused the client id and secret of id-example [0-3] s ago, so they are not tried again for \d+ (s|min): get new ones with `infisical-iac credentials show`, or delete /,
  );
  assert.ok(results[1].message.endsWith(String(file)));
  assert.equal(statSync(String(file)).mode & 0o777, 0o600);
  assert.ok(!readFileSync(String(file), "utf8").includes(SECRET));
});

test("a new credential is tried at once", async () => {
  const { results, logins } = await starts({
    login: [REFUSED, LOGIN],
    secrets: [SECRET, "another-secret-example"],
  });
  assert.deepEqual([results[0].code, results[1], logins], ["refused", "started", 2]);
});

test("a restart tries again after temporary errors", async () => {
  const locked = refusal(401, { message: "This auth method is temporarily locked" });
  const forbidden = refusal(403, { message: "banned" });
  const ofProxies = [401, 403].map((status) => ({ status, text: "<html>sign in</html>" }));
  for (const step of [locked, forbidden, ...ofProxies]) {
    const { results, logins } = await starts({ login: [step, LOGIN] });
    assert.deepEqual([results[1], logins], ["started", 2]);
  }
});

test("the note is next to the cache, if there is one", async () => {
  const made = directory();
  const { logins } = await starts({ login: [REFUSED], cache: join(made, "cache") });
  assert.deepEqual([readdirSync(made), logins], [["cache.refused"], 1]);
});

test("a directory that others may write to takes no note", async () => {
  const temporary = directory();
  mkdirSync(notes(temporary));
  chmodSync(notes(temporary), 0o777);
  const { results, logins } = await starts({ login: [REFUSED], temporary });
  assert.deepEqual([results[1].code, logins, readdirSync(notes(temporary))], ["refused", 2, []]);
});

test("without a place for the note, each start waits before it ends", async () => {
  const temporary = join(directory(), "file");
  writeFileSync(temporary, "");
  const { results, logins, pauses } = await starts({ login: [REFUSED], temporary });
  assert.deepEqual([results[1].code, logins, pauses], ["refused", 2, [31_000, 31_000]]);
});

/**
 * Start replicas at once, each answered after a while; return what became of them.
 * @param {{ answer: import("./server.js").Step, lock?: number, timeout?: number, count?: number }}
 *     options `lock`: the seconds since another one has taken the lock
 */
async function replicas({ answer, lock, timeout = 20, count = 3 }) {
  const made = directory();
  const cache = { file: join(made, "cache") };
  if (lock !== undefined) {
    writeFileSync(`${cache.file}.refused.lock`, "");
    const then = Date.now() / 1000 - lock;
    utimesSync(`${cache.file}.refused.lock`, then, then);
  }
  const login = async () => {
    await sleep(200);
    return answer;
  };
  const server = await serve({ login, list: [listOf({ A: "1" })] });
  const environ = environFor(server.address);
  const begun = performance.now();
  const start = () =>
    loadFrom(environ, { directory: directory(), cache, timeout }).then(
      () => "started",
      (error) => error.code,
    );
  const results = await Promise.all(Array.from({ length: count }, start));
  await server.close();
  const seconds = (performance.now() - begun) / 1000;
  return { results: results.sort(), logins: server.requests.login, seconds, made };
}

test("replicas that start at once with a refused credential make one wrong login", async () => {
  const { results, logins, made } = await replicas({ answer: REFUSED });
  assert.deepEqual(results, ["refused", "refused_before", "refused_before"]);
  assert.deepEqual([logins, readdirSync(made)], [1, ["cache.refused"]]);
});

test("replicas that start at once with a good credential all start", async () => {
  const { results, logins, made } = await replicas({ answer: LOGIN });
  assert.deepEqual([results, logins], [["started", "started", "started"], 3]);
  assert.deepEqual(readdirSync(made), ["cache"]);
});

test("a login that takes long, or was abandoned, does not keep others from theirs", async () => {
  const slow = await replicas({ answer: LOGIN, lock: 0, timeout: 2, count: 1 });
  assert.deepEqual(slow.results, ["started"]);
  assert.ok(slow.seconds >= 1, `took ${slow.seconds} s`);
  assert.deepEqual(readdirSync(slow.made), ["cache", "cache.refused.lock"]);
  const abandoned = await replicas({ answer: LOGIN, lock: LOCK_AGE + 1, count: 1 });
  assert.deepEqual(abandoned.results, ["started"]);
  assert.ok(abandoned.seconds < PATIENCE, `took ${abandoned.seconds} s`);
});
