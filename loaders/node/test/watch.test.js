// @ts-check
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { watchFrom } from "../src/watcher.js";
import { DOWN, LOGIN, REFUSED, listOf, refusal, routeMissing, serve } from "./server.js";
import { directory, environFor, script } from "./tools.js";

const ENDED = refusal(403, { error: "TokenError", message: "Token expired" });
const EVERY = 0.05;

/**
 * Watch a server with these answers, until enough requests were made or changes were reported.
 * @param {{ login?: import("./server.js").Script, list: import("./server.js").Script,
 *     hasV4?: boolean }} scripts
 * @param {{ requests?: number, reports?: number }} until
 * @param {Partial<import("../src/watcher.js").Options>} options
 */
async function watching(scripts, until, options = {}) {
  const server = await serve(scripts);
  after(server.close);
  /** @type {unknown[][]} */
  const reports = [];
  const watch = await watchFrom(environFor(server.address), {
    directory: directory(),
    every: EVERY,
    onChange: (config, names) => reports.push(["change", { ...config }, names]),
    onError: (error) => reports.push(["error", /** @type {any} */ (error).code ?? error]),
    ...options,
  });
  const { requests: lists = 0, reports: times = 0 } = until;
  for (let turn = 0; turn < 500; turn += 1) {
    if (server.requests.list >= lists && reports.length >= times) break;
    await sleep(20);
  }
  await sleep(4 * EVERY * 1000); // Time for a request or call that must not happen.
  watch.stop();
  return { reports, watch, ...server };
}

describe("a watch", { concurrency: true }, () => {
  test("asks by ETag, and reports a change once, with the names", async () => {
    /** @type {(string | undefined)[]} */
    const tags = [];
    const { reports, watch, requests } = await watching(
      {
        list: ({ headers }) => {
          const tag = headers["if-none-match"];
          tags.push(tag);
          if (tag === '"two"') return { status: 304 };
          if (tag === '"one"') return listOf({ A: "2", B: "same", C: "new" }, { etag: '"two"' });
          return listOf({ A: "1", B: "same" }, { etag: '"one"' });
        },
      },
      { requests: 5 },
    );
    assert.deepEqual(tags.slice(0, 4), [undefined, '"one"', '"two"', '"two"']);
    assert.deepEqual(reports, [["change", { A: "2", B: "same", C: "new" }, ["A", "C"]]]);
    assert.deepEqual({ ...watch.config }, { A: "2", B: "same", C: "new" });
    assert.equal(requests.login, 1);
  });

  test("remembers that the server has only the older API", async () => {
    const { unknown, requests } = await watching(
      { list: [listOf({ A: "1" })], hasV4: false },
      { requests: 4 },
    );
    assert.ok(requests.list >= 4);
    assert.equal(unknown.length, 1);
  });

  test("goes on by the older API if the server loses the newer one", async () => {
    let lists = 0;
    const { reports } = await watching(
      {
        list: (request) => {
          if (request.url?.startsWith("/api/v3/")) return listOf({ A: "2" });
          return (lists += 1) > 1 ? routeMissing(request) : listOf({ A: "1" });
        },
      },
      { reports: 1 },
    );
    assert.deepEqual(reports, [["change", { A: "2" }, ["A"]]]);
    assert.equal(lists, 2);
  });

  test("reports no change for another answer with the same values", async () => {
    const { reports, requests } = await watching({ list: [listOf({ A: "1" })] }, { requests: 3 });
    assert.deepEqual(reports, []);
    assert.ok(requests.list >= 3);
  });

  test("renews the cache with an unchanged answer", async () => {
    const file = join(directory(), "cache");
    /** @type {string[]} */
    const texts = [];
    const { reports } = await watching(
      {
        list: ({ headers }) => {
          if (!headers["if-none-match"]) return listOf({ A: "1" }, { etag: '"one"' });
          texts.push(readFileSync(file, "utf8"));
          return { status: 304 };
        },
      },
      { requests: 4 },
      { cache: { file } },
    );
    assert.deepEqual(reports, []);
    assert.equal(new Set(texts).size, texts.length);
  });

  test("logs in once again when the token has ended", async () => {
    const answers = [listOf({ A: "1" }), ENDED, listOf({ A: "2" })];
    const { reports, requests } = await watching({ list: answers }, { reports: 1 });
    assert.deepEqual(reports, [["change", { A: "2" }, ["A"]]]);
    assert.equal(requests.login, 2);
  });

  test("makes one wrong login at most, and stops", async () => {
    const scripts = { login: [LOGIN, REFUSED], list: [listOf({ A: "1" }), ENDED] };
    const { reports, requests, watch } = await watching(scripts, { reports: 1 });
    assert.deepEqual(reports, [["error", "refused"]]);
    assert.deepEqual(requests, { login: 2, list: 2 });
    assert.deepEqual({ ...watch.config }, { A: "1" });
  });

  test("doesn't log in again if a privilege is missing", async () => {
    for (const error of ["PermissionDenied", "ProjectMembershipNotFound"]) {
      const denied = refusal(403, { error });
      const { reports, requests } = await watching(
        { list: [listOf({ A: "1" }), denied] },
        { reports: 1 },
      );
      assert.deepEqual(reports[0], ["error", "forbidden"]);
      assert.equal(requests.login, 1);
    }
  });

  test("continues more slowly after an error", async () => {
    const answers = [listOf({ A: "1" }), DOWN, DOWN, listOf({ A: "2" })];
    const begun = performance.now();
    const { reports } = await watching({ list: answers }, { reports: 3 });
    assert.deepEqual(reports, [
      ["error", "server"],
      ["error", "server"],
      ["change", { A: "2" }, ["A"]],
    ]);
    assert.ok(performance.now() - begun > (1 + 2 + 4 + 4) * EVERY * 1000);
  });

  test("keeps the old values and repeats the error while a required value is missing", async () => {
    let times = 0;
    const gone = listOf({ B: "1" }, { etag: '"gone"' });
    const { reports, watch } = await watching(
      {
        list: ({ headers }) =>
          headers["if-none-match"] ? { status: 304 } : times++ ? gone : listOf({ A: "1" }),
      },
      { reports: 2 },
      { required: ["A"] },
    );
    assert.deepEqual(reports.slice(0, 2), [
      ["error", "missing"],
      ["error", "missing"],
    ]);
    assert.deepEqual({ ...watch.config }, { A: "1" });
  });

  test("reports an error of onChange as an error", async () => {
    const broken = new Error("broken");
    const onChange = () => Promise.reject(broken);
    const answers = [listOf({ A: "1" }), listOf({ A: "2" })];
    const { reports } = await watching({ list: answers }, { reports: 1 }, { onChange });
    assert.deepEqual(reports, [["error", broken]]);
  });

  test("sets changed values in `into` too", async () => {
    /** @type {Record<string, string>} */
    const into = { OWN: "own" };
    await watching(
      { list: [listOf({ A: "1" }), listOf({ A: "2", OWN: "x" })] },
      { requests: 3 },
      { into },
    );
    assert.deepEqual(into, { OWN: "x", A: "2" });
  });

  test("fails at its start like a load", async () => {
    await assert.rejects(watching({ login: [REFUSED], list: [] }, {}), { code: "refused" });
  });
});

const WATCH = 'import { watch } from "infisical-config"; await watch({ every: 0.01 });';

test("a watch keeps no process alive", async () => {
  const server = await serve({ list: [listOf({ A: "1" })] });
  const { status } = await script(WATCH, environFor(server.address));
  await server.close();
  assert.equal(status, 0);
});

test("a stalled request keeps no process alive", async () => {
  const server = await serve({ list: [listOf({ A: "1" }), { stall: "headers" }] });
  const { status, seconds } = await script(
    `${WATCH} setTimeout(() => {}, 1000);`,
    environFor(server.address),
  );
  await server.close();
  assert.equal(status, 0);
  assert.equal(server.requests.list, 2);
  assert.ok(seconds < 15, `took ${seconds} s`);
});
