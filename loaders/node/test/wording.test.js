// @ts-check
/** The wording of messages. Other tests assert codes and facts. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { listOf, serve } from "./server.js";
import { environFor, node } from "./tools.js";

test("wording of strict mode", async () => {
  const server = await serve({ list: [listOf({ A: "1", B: "2" })] });
  /** @param {...string} options */
  const run = (...options) =>
    node(["bin/with-secrets.js", "--strict", ...options, "--", "true"], environFor(server.address));
  const some = await run("--allow", "B");
  const none = await run();
  await server.close();
  assert.equal(
    some.stderr,
    "infisical-config: left out, because strict mode is on and nothing requests them: A\n",
  );
  assert.match(none.stderr, /strict mode passes only names that you ask for/);
});
