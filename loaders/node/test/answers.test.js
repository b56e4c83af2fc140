// @ts-check
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer as createSecureServer } from "node:https";
import { createServer } from "node:net";
import { before, describe, test } from "node:test";
import { inspect } from "node:util";

import { ConfigError, failure } from "../src/errors.js";
import { loadFrom } from "../src/loader.js";
import { APIS, CLIENTS, REFUSED, listOf, refusal, serve } from "./server.js";
import { PROJECT, SECRET, casesOf, certificate, directory, environFor, vectors } from "./tools.js";

for (const { api, hasV4, client } of CLIENTS)
  describe(`the answers of a server with ${api}, by ${client}`, { concurrency: 4 }, () => {
    before(() => import("@infisical/sdk")); // No deadline can speed that up.
    for (const { name, timeout, login, list, want, requests } of casesOf("answers", client))
      test(name, async () => {
        const server = await serve({ login, list, hasV4 });
        const begun = performance.now();
        const result = await loadFrom(environFor(server.address), {
          directory: directory(),
          timeout,
          client,
        }).catch((error) => error);
        const seconds = (performance.now() - begun) / 1000;
        await server.close();
        if (want.error) assertError(result, want, server.address, timeout);
        else assert.deepEqual(Object.entries(result), Object.entries(want.values));
        assert.deepEqual(server.requests, requests);
        assert.ok(seconds < timeout + 3, `took ${seconds} s`);
      });
  });

test("secrets are requested unexpanded and with imports, by each API", async () => {
  const raw = {
    environment: "production",
    secretPath: "/backend",
    expandSecretReferences: "false",
  };
  const asked = {
    v4: { path: "/api/v4/secrets", projectId: PROJECT, includeImports: "true" },
    v3: { path: "/api/v3/secrets/raw", workspaceId: PROJECT, include_imports: "true" },
  };
  for (const { api, hasV4 } of APIS) {
    const server = await serve({ list: [listOf({ A: "1" })], hasV4 });
    await loadFrom(environFor(server.address), { directory: directory() });
    await server.close();
    const { pathname, searchParams } = new URL(String(server.bodies[1]?.split(" ")[1]), "http://x");
    assert.deepEqual(
      { path: pathname, ...Object.fromEntries(searchParams) },
      { ...asked[api], ...raw, viewSecretValue: "true", recursive: "false" },
    );
  }
});

test("the older API is not tried if only the project or the folder is missing", async () => {
  for (const error of ["NotFound", "SecretPathNotFound"]) {
    const missing = refusal(404, { message: "Route 66 not found", error });
    const server = await serve({ list: [missing] });
    const options = { directory: directory() };
    const { code } = await loadFrom(environFor(server.address), options).catch((reason) => reason);
    await server.close();
    assert.deepEqual([code, server.requests.list], ["not_found", 1]);
  }
});

test("a server that speaks no HTTP isn't Infisical, is asked once, and isn't quoted", async () => {
  let connections = 0;
  const error = await errorFrom((socket) => {
    connections += 1;
    socket.write("220 value-example\r\n");
  });
  assert.equal(error.code, "not_infisical");
  assert.equal(connections, 1);
  assert.doesNotMatch(inspect(error, { depth: 9 }), /rawPacket|value-example/);
});

test("a server that switches protocols fails the start with an error", async () => {
  const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
  const error = await errorFrom((socket) => void socket.write(switching), { timeout: 1 });
  assert.equal(error.code, "unreachable");
});

test("the tunnel is named only for a loopback address", async () => {
  for (const [address, tunnel] of [
    ["http://127.0.0.1:1", vectors.tunnel],
    ["https://127.0.0.1:1", ""],
  ]) {
    const environ = environFor(address ?? "");
    const options = { directory: directory(), timeout: 1 };
    const error = await loadFrom(environ, options).catch((reason) => reason);
    assert.equal(error.message, failure("unreachable", { address, tunnel }).message);
  }
});

test("a certificate that is not trusted is named, and not tried again", async () => {
  const [key, cert] = certificate();
  let handshakes = 0;
  const server = createSecureServer({ key: readFileSync(key), cert: readFileSync(cert) });
  server.on("connection", () => (handshakes += 1));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const address = `https://localhost:${port}`;
  const error = await loadFrom(environFor(address), { directory: directory() }).catch((e) => e);
  server.close();
  const why = "self-signed certificate";
  const { message } = failure("unreachable", { address, why, variable: "NODE_EXTRA_CA_CERTS" });
  assert.deepEqual([error.code, error.message, handshakes], ["unreachable", message, 1]);
});

test("a variable that is set later does not make a certificate trusted", async () => {
  const [key, cert] = certificate();
  let requests = 0;
  const tls = { key: readFileSync(key), cert: readFileSync(cert) };
  const server = createSecureServer(tls, (_, response) => {
    requests += 1;
    response.writeHead(401).end(JSON.stringify(REFUSED.json));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const environ = environFor(`https://localhost:${port}`);
  const start = (/** @type {Record<string, string>} */ more) =>
    loadFrom({ ...environ, ...more }, { directory: directory() }).catch((error) => error.code);
  process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
  try {
    assert.deepEqual([await start({}), requests], ["unreachable", 0]);
    const given = await start({ NODE_TLS_REJECT_UNAUTHORIZED: "0" });
    assert.deepEqual([given, requests], ["refused", 1]);
  } finally {
    delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    server.close();
    server.closeAllConnections();
  }
});

/**
 * Return the error of a start whose server writes this to each connection.
 * @param {(socket: import("node:net").Socket) => void} say
 * @param {import("../src/loader.js").Options} options
 */
async function errorFrom(say, options = {}) {
  const server = createServer((socket) => say(socket.on("error", () => {})));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const environ = environFor(`http://127.0.0.1:${port}`);
  const result = await loadFrom(environ, { directory: directory(), ...options }).catch(
    (error) => error,
  );
  server.close();
  return result;
}

/**
 * @param {unknown} error
 * @param {{ error: import("../index.js").ErrorCode, message?: string }} want
 * @param {string} address
 * @param {number} timeout
 */
function assertError(error, want, address, timeout) {
  assert.ok(error instanceof ConfigError, String(error));
  const where = { environment: "production", folder: "/backend", project: PROJECT };
  const known = { address, ...where, client_id: "id-example", names: "A", timeout, status: 502 };
  const { tunnel } = vectors;
  const message = want.message?.replace("{address}", address);
  assert.equal(error.code, want.error);
  assert.equal(error.message, message ?? failure(want.error, { ...known, tunnel }).message);
  assert.ok(!`${error.stack}${JSON.stringify(error)}`.includes(SECRET));
}
