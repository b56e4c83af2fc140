// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { pauseAfter } from "../src/retry.js";

/**
 * @param {number} status
 * @param {string} [retryAfter]
 */
const answer = (status, retryAfter) => ({ status, headers: { "retry-after": retryAfter } });
const middle = () => 0.5;

test("pauses grow, and the fourth attempt is the last", () => {
  const pauses = [1, 2, 3, 4].map((attempts) => pauseAfter(attempts, null, middle));
  assert.deepEqual(pauses, [0.5, 1, 2, null]);
});

test("pauses are spread by a fifth, so that services don't come back together", () => {
  assert.equal(
    pauseAfter(2, answer(500), () => 0),
    0.8,
  );
  assert.equal(
    pauseAfter(2, answer(500), () => 1),
    1.2,
  );
});

test("final answers are not retried", () => {
  for (const status of [200, 302, 304, 400, 401, 403, 404, 422])
    assert.equal(pauseAfter(1, answer(status)), null);
});

test("Retry-After is used, as seconds or as a date", () => {
  assert.equal(pauseAfter(1, answer(429, "7")), 7);
  const date = new Date(Date.now() + 60_000).toUTCString();
  const pause = pauseAfter(1, answer(503, date)) ?? 0;
  assert.ok(pause > 50 && pause <= 60, String(pause));
  assert.equal(pauseAfter(1, answer(503, "Thu, 01 Jan 1970 00:00:00 GMT")), 0);
});

test("an invalid Retry-After is ignored", () => {
  assert.equal(pauseAfter(1, answer(503, "soon"), middle), 0.5);
  assert.equal(pauseAfter(1, answer(503, "-1"), middle), 0.5);
});
