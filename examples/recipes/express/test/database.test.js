import assert from "node:assert/strict";
import { test } from "node:test";

test("the database of the tests has an address", () => {
  assert.equal(new URL(process.env.DATABASE_URL).protocol, "postgres:");
});
