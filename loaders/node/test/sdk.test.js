// @ts-check
/** Test what is refused with the SDK, and what differs from requests by HTTP. */

import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { loadFrom } from "../src/loader.js";
import { watchFrom } from "../src/watcher.js";
import { REFUSED, listOf, serve } from "./server.js";
import { PACKAGE, PROJECT, directory, environFor, node } from "./tools.js";

/** @param {import("./server.js").Step[]} login */
async function setUp(...login) {
  const list = [listOf({ A: "${B}" })];
  return await serve({ ...(login[0] ? { login } : {}), list, hasV4: false });
}

test("without its package, the start says what to install", async () => {
  const place = join(directory(), "infisical-config");
  for (const each of ["src", "index.js", "package.json"])
    cpSync(join(PACKAGE, each), join(place, each), { recursive: true });
  const server = await setUp();
  const script = `import { exitOnError, load } from ${JSON.stringify(join(place, "index.js"))};
    await load({ client: "sdk" }).catch(exitOnError);`;
  const environ = environFor(server.address);
  const ended = await node(["--input-type=module", "--eval", script], environ, directory());
  await server.close();
  assert.deepEqual([ended.status, server.bodies], [78, []]);
  assert.match(ended.stderr, /npm install @infisical\/sdk/);
});

test("a platform's token, a watch and an unknown client are refused", async () => {
  const server = await setUp();
  const options = { directory: directory() };
  const sdk = /** @type {const} */ ({ ...options, client: "sdk" });
  const identity = {
    NODE_ENV: "production",
    INFISICAL_DOMAIN: server.address,
    INFISICAL_PROJECT_ID: PROJECT,
    INFISICAL_MACHINE_IDENTITY_ID: "identity-example",
    INFISICAL_JWT: "token-example",
  };
  const environ = environFor(server.address);
  await assert.rejects(loadFrom(identity, sdk), { code: "not_configured" });
  await assert.rejects(watchFrom(environ, sdk), { code: "not_configured", message: /ETag/ });
  const other = /** @type {any} */ ({ ...options, client: "axios" });
  await assert.rejects(loadFrom(environ, other), { code: "not_configured", message: /'axios'/ });
  await server.close();
  assert.deepEqual(server.bodies, []);
});

test("secrets are requested unexpanded and with imports, by v3", async () => {
  const server = await setUp();
  const options = /** @type {const} */ ({ directory: directory(), client: "sdk" });
  const config = await loadFrom(environFor(server.address), options);
  await server.close();
  assert.equal(config.A, "${B}");
  const { pathname, searchParams } = new URL(String(server.bodies[1]?.split(" ")[1]), "http://x");
  assert.deepEqual(
    [pathname, searchParams.get("expandSecretReferences"), searchParams.get("include_imports")],
    ["/api/v3/secrets/raw", "false", "true"],
  );
});

test("a refused credential is noted", async () => {
  const server = await setUp(REFUSED);
  const environ = environFor(server.address);
  const options = /** @type {const} */ ({ directory: directory(), client: "sdk" });
  for (const code of ["refused", "refused_before"])
    await assert.rejects(loadFrom(environ, options), { code });
  await server.close();
  assert.equal(server.requests.login, 1);
});
