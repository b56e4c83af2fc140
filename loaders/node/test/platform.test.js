// @ts-check
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";

import { LOGIN_FAILED, TOKEN_REFUSED } from "../src/errors.js";
import { Loader, loadFrom } from "../src/loader.js";
import { platformOf } from "../src/platform.js";
import { LOGIN, listOf, refusal, serve } from "./server.js";
import { PROJECT, directoryWith, node, vectors } from "./tools.js";

const IDENTITY = "INFISICAL_MACHINE_IDENTITY_ID";
const DENIED = refusal(401, {
  message: "Access denied: OIDC audience not allowed.",
  error: "UnauthorizedError",
});

/**
 * @param {string} address
 * @param {Record<string, string>} more
 */
const environ = (address, more) => ({
  [IDENTITY]: "identity-example",
  NODE_ENV: "production",
  INFISICAL_DOMAIN: address,
  INFISICAL_PROJECT_ID: PROJECT,
  ...more,
});

/** @param {string} address */
const github = (address) => ({
  ACTIONS_ID_TOKEN_REQUEST_URL: `${address}/token?api-version=2.0`,
  ACTIONS_ID_TOKEN_REQUEST_TOKEN: "bearer-example",
});

describe("where the token is", () => {
  for (const { name, environ, want } of vectors.platforms)
    test(name, () => {
      if (want?.message)
        assert.throws(() => platformOf(environ), { code: "not_configured", ...want });
      else assert.deepEqual(platformOf(environ), want);
    });
});

test("the messages about a token equal the shared ones", () => {
  assert.equal(TOKEN_REFUSED, vectors.tokenRefused);
  assert.equal(LOGIN_FAILED, vectors.tokenLoginFailed);
});

test("an identity logs in by a token of a variable", async () => {
  const server = await serve({ list: [listOf({ A: "1" })] });
  const more = { INFISICAL_JWT: "token-of-the-platform" };
  const config = await loadFrom(environ(server.address, more), { directory: directoryWith({}) });
  await server.close();
  assert.equal(config.A, "1");
  const [login = ""] = server.bodies;
  assert.match(login, /^POST \/api\/v1\/auth\/oidc-auth\/login /);
  assert.deepEqual(JSON.parse(login.slice(login.indexOf("{"))), {
    identityId: "identity-example",
    jwt: "token-of-the-platform",
  });
});

test("a file is read again at each login", async () => {
  const directory = directoryWith({ token: "first\n" });
  const file = join(directory, "token");
  const ended = refusal(401, { message: "expired", error: "TokenError" });
  const server = await serve({ list: [listOf({ A: "1" }), ended, listOf({ A: "2" })] });
  const loader = new Loader(environ(server.address, { INFISICAL_JWT_FILE: file }), { directory });
  await loader.start();
  writeFileSync(file, "second");
  assert.deepEqual(await loader.poll(), new Map([["A", "2"]]));
  await server.close();
  const logins = server.bodies.filter((each) => each.startsWith("POST"));
  assert.deepEqual(
    logins.map((each) => JSON.parse(each.slice(each.indexOf("{"))).jwt),
    ["first", "second"],
  );
});

test("a login by tokens is renewed before it ends", async () => {
  const short = { ...LOGIN, json: { ...LOGIN.json, expiresIn: 0.01 } };
  const server = await serve({ login: [short, LOGIN], list: [listOf({ A: "1" })] });
  const more = { INFISICAL_JWT: "token-example" };
  const loader = new Loader(environ(server.address, more), { directory: directoryWith({}) });
  await loader.start();
  await new Promise((resolve) => setTimeout(resolve, 20));
  await loader.poll();
  await loader.poll();
  await server.close();
  assert.equal(server.requests.login, 2);
});

test("GitHub is asked for a token of the audience", async () => {
  let authorization = "";
  const hub = await serve({
    list: (request) => {
      authorization = request.headers.authorization ?? "";
      return { json: { count: 1, value: "token-of-github" } };
    },
  });
  const server = await serve({ list: [listOf({ A: "1" })] });
  await loadFrom(environ(server.address, github(hub.address)), { directory: directoryWith({}) });
  await Promise.all([server.close(), hub.close()]);
  assert.equal(hub.bodies[0], "GET /token?api-version=2.0&audience=infisical ");
  assert.equal(authorization, "bearer bearer-example");
  assert.match(server.bodies[0] ?? "", /"jwt":"token-of-github"/);
});

test("a GitHub that gives no token is reported, and nothing is sent to Infisical", async () => {
  const hub = await serve({ list: [{ status: 403, json: {} }] });
  const server = await serve({});
  const start = loadFrom(environ(server.address, github(hub.address)), {
    directory: directoryWith({}),
  });
  await assert
    .rejects(start, { code: "not_configured", message: /\(403\)/ })
    .finally(() => Promise.all([server.close(), hub.close()]));
  assert.equal(server.requests.login, 0);
});

test("a GitHub that hangs takes no longer than the start may", async () => {
  const hub = await serve({ list: [{ stall: "headers" }] });
  const start = loadFrom(environ("http://127.0.0.1:1", github(hub.address)), {
    directory: directoryWith({}),
    timeout: 0.5,
  });
  await assert.rejects(start, { code: "deadline" }).finally(hub.close);
});

test("a refused token is reported with the server's reason, without the token", async () => {
  const server = await serve({ login: [DENIED] });
  const more = { INFISICAL_JWT: "token-of-the-platform" };
  const start = loadFrom(environ(server.address, more), { directory: directoryWith({}) });
  const error = await start.then(
    () => assert.fail(),
    (/** @type {import("../src/errors.js").ConfigError} */ failed) => failed,
  );
  await server.close();
  assert.equal(error.code, "refused");
  assert.match(error.message, /identity-example: Access denied: OIDC audience not allowed/);
  assert.doesNotMatch(error.message, /token-of-the-platform/);
  assert.equal(server.requests.login, 1);
});

test("a server that fails at a login by a token is reported with the issuer as a cause", async () => {
  const failed = refusal(500, { message: "Something went wrong", error: "InternalServerError" });
  const down = { status: 503, json: {} };
  const server = await serve({ login: [failed, down, LOGIN], list: [failed] });
  const given = environ(server.address, { INFISICAL_JWT: "token-example" });
  const directory = directoryWith({});
  const starts = [];
  // Too short for another attempt.
  for (let start = 0; start < 3; start += 1)
    starts.push(await loadFrom(given, { directory, timeout: 0.4 }).catch((error) => error));
  await server.close();
  assert.deepEqual(
    starts.map(({ code, message }) => [code, /issuer/.test(message)]),
    [
      ["server", true],
      ["server", false],
      ["server", false],
    ],
  );
});

test("an identity without such a login is refused, and a file that is missing reported", async () => {
  const unknown = refusal(404, { message: "OIDC auth method not found", error: "NotFound" });
  const server = await serve({ login: [unknown] });
  const directory = directoryWith({});
  const given = environ(server.address, { INFISICAL_JWT: "token-example" });
  await assert.rejects(loadFrom(given, { directory }), { code: "refused" });
  const missing = environ(server.address, { INFISICAL_JWT_FILE: join(directory, "none") });
  await assert
    .rejects(loadFrom(missing, { directory }), { code: "not_configured", message: /ENOENT/ })
    .finally(server.close);
});

test("the cache is not used, since no client secret could seal it", async () => {
  const server = await serve({ list: [listOf({ A: "1" })] });
  /** @type {string[]} */
  const warnings = [];
  const directory = directoryWith({});
  await loadFrom(environ(server.address, { INFISICAL_JWT: "token-example" }), {
    directory,
    cache: { file: join(directory, "cache.json") },
    warn: (text) => warnings.push(text),
  });
  await server.close();
  assert.match(String(warnings), /cache\.json is not used/);
});

test("a program of the runner does not get the token", async () => {
  const server = await serve({ list: [listOf({ A: "1" })] });
  const print = "process.stdout.write(Object.keys(process.env).sort().join())";
  const given = environ(server.address, { INFISICAL_JWT: "token-example" });
  const ended = await node(["bin/with-secrets.js", "--", process.execPath, "-e", print], given);
  await server.close();
  assert.equal(ended.status, 0, ended.stderr);
  assert.deepEqual(
    ended.stdout.split(",").filter((name) => /JWT|IDENTITY|^A$/.test(name)),
    ["A"],
  );
});

test("doctor names the identity, without its token", async () => {
  const server = await serve({ list: [listOf({ A: "1" })] });
  const given = environ(server.address, { INFISICAL_JWT: "token-of-the-platform" });
  const { stdout } = await node(["bin/with-secrets.js", "doctor"], given);
  await server.close();
  assert.match(stdout, /^ok +access +.*identity-example/m);
  assert.doesNotMatch(stdout, /token-of-the-platform/);
});
