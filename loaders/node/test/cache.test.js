// @ts-check
import assert from "node:assert/strict";
import { readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";

import { open, seal } from "../src/cache.js";
import { loadFrom } from "../src/loader.js";
import { DOWN, LOGIN, listOf, refusal, serve } from "./server.js";
import { directory, environFor, vectors } from "./tools.js";

describe("the cache files of the vectors", () => {
  for (const { name, file, now, maxAge, want, ...place } of vectors.cache)
    test(name, () => {
      const found = open(file, place, now);
      if (want === "unreadable") return assert.equal(found, null);
      assert.ok(found);
      assert.equal(found.age > maxAge, want === "expired");
      if (want.values) assert.deepEqual(Object.fromEntries(found.secrets), want.values);
    });
});

test("a sealed cache can be opened, with names of prototypes too", () => {
  const { file: _, now, maxAge: __, want: ___, ...place } = vectors.cache[0];
  const secrets = new Map([["__proto__", "x\n😀"]]);
  assert.deepEqual(open(seal(secrets, place, now), place, now + 1), { secrets, age: 1 });
});

/**
 * Start once, with a cache.
 * @param {string} file
 * @param {{ list?: import("./server.js").Step, login?: import("./server.js").Step,
 *     maxAge?: number, address?: string }} options
 */
async function start(
  file,
  { login = LOGIN, list = listOf({ A: "1" }), maxAge = 60, address = "" },
) {
  const server = await serve({ login: [login], list: [list] });
  /** @type {string[]} */
  const warnings = [];
  const result = await loadFrom(environFor(address || server.address), {
    directory: directory(),
    cache: { file, maxAge },
    // A start that has to fail ends soon, and a good one has all the time that it may need.
    timeout: address || login === DOWN ? 0.4 : 20,
    warn: (text) => warnings.push(text),
  }).catch((error) => error);
  await server.close();
  return { result, warnings, address: server.address };
}

test("a start while Infisical is down uses the last good values, with a warning", async () => {
  const made = directory();
  const file = join(made, "cache");
  const { address, warnings: none } = await start(file, {});
  assert.deepEqual(none, []);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(made), ["cache"]);
  assert.ok(!readFileSync(file, "utf8").includes('"A"'));
  const { result, warnings } = await start(file, { address });
  assert.deepEqual(Object.entries(result), [["A", "1"]]);
  assert.match(String(warnings), /can't be reached.*STARTING WITH THE CACHE .* [0-3] s old/);
});

test("a refusal is never answered from the cache", async () => {
  const file = join(directory(), "cache");
  await start(file, {});
  const { result } = await start(file, { login: refusal(401) });
  assert.equal(result.code, "refused");
});

test("a proxy's refusal is an outage, which the cache bridges", async () => {
  const blocked = { status: 403, text: "<html>blocked</html>" };
  const server = await serve({ login: [LOGIN, blocked], list: [listOf({ A: "1" })] });
  const cache = { file: join(directory(), "cache") };
  /** @type {string[]} */
  const warnings = [];
  const options = {
    directory: directory(),
    cache,
    warn: (/** @type {string} */ text) => void warnings.push(text),
  };
  for (const _ of [1, 2])
    assert.equal((await loadFrom(environFor(server.address), options)).A, "1");
  await server.close();
  assert.equal(server.requests.login, 2);
  assert.match(String(warnings), /answers 403.*STARTING WITH THE CACHE/);
});

test("a cache that is too old is reported with the error", async () => {
  const file = join(directory(), "cache");
  const { address } = await start(file, {});
  const { result } = await start(file, { address, maxAge: -1 });
  assert.equal(result.code, "unreachable");
  assert.match(result.message, /the cache .* is [0-3] s old, older than -1 s$/);
});

test("a damaged cache is a warning next to the error", async () => {
  const file = join(directory(), "cache");
  writeFileSync(file, "{");
  const { result, warnings } = await start(file, { login: DOWN });
  assert.equal(result.code, "server");
  assert.match(String(warnings), /cache .* can't be used/);
});

test("without a cache, only the error is reported", async () => {
  const { result, warnings } = await start(join(directory(), "cache"), { login: DOWN });
  assert.equal(result.code, "server");
  assert.deepEqual(warnings, []);
});

test("a cache that can't be written is a warning", async () => {
  const { result, warnings } = await start(join(directory(), "none", "cache"), {});
  assert.deepEqual(Object.entries(result), [["A", "1"]]);
  assert.match(String(warnings), /can't be written \(ENOENT\)/);
});

test("a link in the cache's place is replaced, not followed", async () => {
  const made = directory();
  writeFileSync(join(made, "other"), "untouched");
  symlinkSync(join(made, "other"), join(made, "cache"));
  await start(join(made, "cache"), {});
  assert.equal(readFileSync(join(made, "other"), "utf8"), "untouched");
});
