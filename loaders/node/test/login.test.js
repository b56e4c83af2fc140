// @ts-check
import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { waitForBrowser } from "../src/callback.js";
import { logout, whoami } from "../src/commands.js";
import { Conversation } from "../src/conversation.js";
import { doctor } from "../src/doctor.js";
import { Logins, MacKeychain, SecretService } from "../src/keyring.js";
import { Loader } from "../src/loader.js";
import { Instance, logIn } from "../src/login.js";
import { Person } from "../src/person.js";
import { openText } from "../src/seal.js";
import { serve } from "./server.js";
import { directory, directoryWith, node, vectors } from "./tools.js";

const ADDRESS = "https://secrets.example.com";
const ANNA = "anna@example.com";
/** The login of Anna at an address. */
const loginAt = (address = ADDRESS) => ({
  address,
  email: ANNA,
  organization: "Acme",
  token: "token-example",
  refresh: "cookie-example",
});

describe("logins", () => {
  for (const { name, options, answers, requests, browser, told, want } of vectors.logins)
    test(name, async () => {
      const server = await expecting(requests);
      const fill = (/** @type {unknown} */ value, port = "") =>
        JSON.parse(
          JSON.stringify(value).replaceAll("{address}", server.address).replaceAll("{port}", port),
        );
      const questions = [...answers];
      /** @type {string[]} */
      const said = [];
      let port = "";
      const terminal = {
        ask: async (/** @type {string} */ question) => {
          const [expected, answer] = questions.shift() ?? ["none", ""];
          assert.equal(question, expected);
          return answer;
        },
        tell: (/** @type {string} */ text) => void said.push(text),
        open: (/** @type {string} */ url) => {
          port = new URL(url).searchParams.get("callback_port") ?? "";
          void visit(port, fill(browser));
        },
      };
      const visit = async (/** @type {string} */ port, /** @type {any[]} */ pages) => {
        for (const { origin, text: body, status } of pages) {
          const headers = { origin, "content-type": "application/json" };
          const url = `http://127.0.0.1:${port}/`;
          const allowed = await fetch(url, { method: "OPTIONS", headers });
          assert.equal(allowed.status, status === 403 ? 403 : 204);
          const answer = await fetch(url, { method: "POST", headers, body });
          assert.equal(answer.status, status);
        }
      };
      const made = logIn(() => new Instance(server.address, true), terminal, options);
      try {
        if (want.login) assert.deepEqual(await made, fill(want.login));
        else await assert.rejects(made, { code: want.error, message: fill(want.message) });
        assert.deepEqual(said, fill(told, port));
        assert.deepEqual([questions, server.left()], [[], 0]);
      } finally {
        server.close();
      }
    });
});

test("a request that breaks off does not end the wait for the browser", async () => {
  /** @type {(url: string) => void} */
  let opened = () => {};
  const url = new Promise((resolve) => (opened = resolve));
  const received = waitForBrowser(ADDRESS, () => {}, opened);
  const port = Number(new URL(await url).searchParams.get("callback_port"));
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  socket.write(`POST / HTTP/1.1\r\nHost: x\r\nOrigin: ${ADDRESS}\r\nContent-Length: 9\r\n\r\n{`);
  await sleep(50);
  socket.destroy();
  await sleep(50);
  const body = JSON.stringify({ email: ANNA, JTWToken: "token-example" });
  const headers = { origin: ADDRESS };
  await fetch(`http://127.0.0.1:${port}/`, { method: "POST", headers, body });
  assert.deepEqual(await received, { email: ANNA, token: "token-example" });
});

test("a connection that sends nothing does not delay the login", async () => {
  /** @type {(url: string) => void} */
  let opened = () => {};
  const url = new Promise((resolve) => (opened = resolve));
  const received = waitForBrowser(ADDRESS, () => {}, opened);
  const port = Number(new URL(await url).searchParams.get("callback_port"));
  const silent = connect(port, "127.0.0.1");
  await once(silent, "connect");
  const begun = performance.now();
  const body = JSON.stringify({ email: ANNA, JTWToken: "token-example" });
  await fetch(`http://127.0.0.1:${port}/`, { method: "POST", headers: { origin: ADDRESS }, body });
  assert.deepEqual(await received, { email: ANNA, token: "token-example" });
  await once(silent.resume(), "close");
  assert.ok(performance.now() - begun < 3000);
});

describe("sealed texts", () => {
  for (const { name, file, key, context, want } of vectors.sealedTexts)
    test(name, () => assert.equal(openText(file, Buffer.from(key, "hex"), context), want));
});

describe("people", () => {
  for (const { name, file, environ, environment, isTyped, login, want, ...own } of vectors.people)
    test(name, () => {
      const place = directoryWith({
        ".infisical.json": file,
        ".env.local": own.envLocal,
        ".env.override": own.envOverride,
      });
      const variables = { HOME: directory(), INFISICAL_KEYRING: "file", ...environ };
      if (login) new Logins(variables).keep(loginAt());
      const decide = () =>
        new Loader(variables, {
          directory: place,
          environment: environment ?? undefined,
          isTyped,
          warn: assert.fail,
        }).place;
      if (want.error) {
        const message = want.message
          .replace("{envLocal}", join(place, ".env.local"))
          .replace("{envOverride}", join(place, ".env.override"));
        assert.throws(decide, { code: want.error, message });
      } else {
        const { environment, project, person } = decide();
        assert.deepEqual({ environment, project, person: person?.email ?? "" }, want);
      }
    });
});

describe("renewals", () => {
  for (const { name, answer, want } of vectors.renewals)
    test(name, async () => {
      const server = await serve({ login: [answer] });
      const logins = new Logins({ HOME: directory(), INFISICAL_KEYRING: "file" });
      logins.keep(loginAt(server.address));
      const person = new Person(loginAt(server.address), logins);
      const conversation = new Conversation(server.address, 5);
      const renewed = person.renew(conversation).finally(async () => {
        conversation.close();
        await server.close();
      });
      if (want.error) {
        const message = want.message.replace("{address}", server.address);
        await assert.rejects(renewed, { code: want.error, message });
      } else {
        await renewed;
        assert.equal(person.token, want.token);
      }
      assert.equal(server.requests.login, 1);
    });
});

describe("the place of a login", () => {
  test("is a sealed file that only its owner reads, next to no key", () => {
    const home = directory();
    const logins = new Logins({ HOME: home, INFISICAL_KEYRING: "file" });
    const file = logins.keep(loginAt());
    assert.equal(logins.placeOf(ADDRESS), file);
    assert.ok(!readFileSync(file, "utf8").includes("token"));
    assert.deepEqual(logins.find(ADDRESS), { version: 1, ...loginAt() });
    chmodSync(file, 0o640);
    assert.throws(() => logins.find(ADDRESS), { code: "not_configured" });
    assert.ok(logins.forget(ADDRESS));
    assert.equal(logins.find(ADDRESS), null);
  });

  test("is refused where others may write", () => {
    const home = directory();
    mkdirSync(join(home, ".config", "infisical-config"), { recursive: true, mode: 0o755 });
    const logins = new Logins({ HOME: home, INFISICAL_KEYRING: "file" });
    assert.throws(() => logins.keep(loginAt()), { code: "not_configured" });
  });

  test("is the keyring if there is one, and a file if it fails", () => {
    const home = directory();
    const environ = withSecretTool(home);
    const logins = new Logins(environ);
    assert.match(logins.keep(loginAt()), /Secret Service/);
    const { token } = loginAt();
    assert.ok(!readFileSync(join(home, "calls"), "utf8").includes(token));
    assert.deepEqual(logins.find(ADDRESS), { version: 1, ...loginAt() });
    assert.equal(new Logins(environ).find("https://other.example.com"), null);
    assert.ok(logins.forget(ADDRESS));
    assert.equal(logins.find(ADDRESS), null);
    const without = new Logins({ ...environ, PATH: "/nonexistent" });
    assert.match(without.keep(loginAt()), /\.login$/);
  });
});

test("logout reports a keyring that does not forget", async () => {
  const home = directory();
  const server = await serve({ login: [{ json: {} }] });
  const environ = { ...withSecretTool(home, "exit 1 #"), INFISICAL_DOMAIN: server.address };
  new Logins(environ).keep(loginAt(server.address));
  await assert
    .rejects(logout(environ, { directory: home }, assert.fail), {
      code: "not_configured",
      message: /Secret Service/,
    })
    .finally(server.close);
  assert.match(String(server.bodies), /^POST \/api\/v1\/auth\/logout /);
});

describe("keyrings", () => {
  for (const { name, program, results, want } of vectors.keyrings)
    test(name, () => {
      const Keyring = program === "security" ? MacKeychain : SecretService;
      const environ = withProgram(directory(), program, results);
      const logins = new Logins(environ, () => new Keyring(environ));
      if (want)
        assert.throws(() => logins.find(ADDRESS), { code: "not_configured", message: want });
      else assert.equal(logins.find(ADDRESS), null);
    });
});

test("every command says that the keyring is locked", async () => {
  const locked = { lookup: [1, "", ""], search: [0, "[/1]\n", ""], clear: [1, "", ""] };
  const server = await serve({ login: [{ json: {} }] });
  const home = directory();
  const environ = {
    ...withProgram(home, "secret-tool", locked),
    INFISICAL_DOMAIN: server.address,
    INFISICAL_PROJECT_ID: "project",
    NODE_ENV: "development",
  };
  const options = { directory: home };
  const error = { code: "not_configured", exitCode: 78, message: /it is locked/ };
  for (const command of [logout, whoami])
    await assert.rejects(command(environ, options, assert.fail), error);
  assert.throws(() => new Loader(environ, options), error);
  assert.deepEqual(server.bodies, []);
  /** @type {string[]} */
  const lines = [];
  const print = (/** @type {string} */ line) => void lines.push(line);
  assert.equal(await doctor(environ, options, print), 78);
  assert.match(lines.join("\n"), /^WRONG access .*locked/m);
  lines.length = 0;
  const own = { ...environ, INFISICAL_CLIENT_ID: "id", INFISICAL_CLIENT_SECRET: "secret" };
  await doctor(own, options, print);
  await server.close();
  assert.match(lines.join("\n"), /^ok {4}access /m);
});

for (const what of ["missing", "damaged", "another"])
  test(`a sealed login that can't be opened is reported: ${what}`, async () => {
    const home = directory();
    const environ = { HOME: home, INFISICAL_KEYRING: "file", INFISICAL_DOMAIN: ADDRESS };
    const file = new Logins(environ).keep(loginAt());
    const key = join(home, ".local", "state", "infisical-config", "key");
    if (what === "missing") rmSync(key);
    else if (what === "damaged") writeFileSync(file, readFileSync(file, "utf8").slice(0, -20));
    else writeFileSync(key, `${"0".repeat(64)}\n`);
    await assert.rejects(logout(environ, { directory: home }, assert.fail), ({ code, message }) => {
      assert.equal(code, "not_configured");
      assert.ok(message.includes(what === "missing" ? key : file), message);
      return /with-secrets login/.test(message);
    });
    assert.equal(new Logins(environ).keep(loginAt()), file);
    assert.deepEqual(new Logins(environ).find(ADDRESS), { version: 1, ...loginAt() });
  });

describe("a proxy's page", () => {
  for (const status of [403, 404])
    test(`of status ${status} does not end a session`, async () => {
      const { server, environ } = await loggedIn({ login: [{ status, text: "<html>" }] });
      await assert
        .rejects(logout(environ, { directory: directory() }, assert.fail), {
          message: /not ended at the server/,
        })
        .finally(server.close);
    });

  test("is no ended login", async () => {
    const scripts = { list: [{ status: 403, text: "<html>" }] };
    const { server, environ } = await loggedIn(scripts, { refresh: "" });
    await assert
      .rejects(whoami(environ, { directory: directory() }, assert.fail), { code: "unreachable" })
      .finally(server.close);
  });
});

/**
 * Serve, and keep a login there.
 * @param {Parameters<typeof serve>[0]} scripts
 * @param {object} [login] what differs from Anna's
 */
async function loggedIn(scripts, login = {}) {
  const server = await serve(scripts);
  const environ = {
    HOME: directory(),
    INFISICAL_KEYRING: "file",
    INFISICAL_DOMAIN: server.address,
  };
  new Logins(environ).keep({ ...loginAt(server.address), ...login });
  return { server, environ };
}

/**
 * Make a program that answers by its first argument; return the environment that finds it.
 * @param {string} home
 * @param {string} name
 * @param {Record<string, any[]>} results the status, output and messages
 */
function withProgram(home, name, results) {
  for (const [argument, [status, output, messages]] of Object.entries(results))
    for (const [end, text] of Object.entries({ status: `${status}`, out: output, err: messages }))
      writeFileSync(join(home, `${argument}.${end}`), text);
  const at = `"${home}/$1`;
  const script = `#!/bin/sh\ncat ${at}.out"\ncat ${at}.err" >&2\nexit "$(cat ${at}.status")"\n`;
  writeFileSync(join(home, name), script, { mode: 0o755 });
  const path = `${home}:${process.env["PATH"]}`;
  return { HOME: home, PATH: path, DBUS_SESSION_BUS_ADDRESS: "unix:path=/nonexistent" };
}

test("without a terminal, the login says so", async () => {
  const server = await expecting([
    ["GET", "/api/v1/admin/config", null, "", 200, { config: {} }, ""],
  ]);
  const { status, stderr } = await node(["bin/with-secrets.js", "login"], {
    HOME: directory(),
    INFISICAL_DOMAIN: server.address,
  });
  server.close();
  assert.equal(status, 78);
  assert.match(stderr, /no terminal/);
});

/**
 * Put a `secret-tool` into a home that notes its arguments, and return the environment.
 * @param {string} home
 * @param {string} remove the command that removes a file
 */
function withSecretTool(home, remove = "rm -f") {
  const script = `#!/bin/sh
echo "$@" >>${home}/calls
case $1 in
store) cat >${home}/item-\${6##*/} ;;
lookup) cat ${home}/item-\${5##*/} 2>/dev/null ;;
clear) ${remove} ${home}/item-\${5##*/} ;;
esac
`;
  writeFileSync(join(home, "secret-tool"), script, { mode: 0o755 });
  const path = `${home}:${process.env["PATH"]}`;
  return { HOME: home, PATH: path, DBUS_SESSION_BUS_ADDRESS: "unix:path=/nonexistent" };
}

/**
 * Serve these requests, in this order.
 * @param {[string, string, object | null, string, number, object, string][]} requests
 */
async function expecting(requests) {
  const left = [...requests];
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const [method, path, body, token, status = 599, json = {}, cookie] = left.shift() ?? [];
    const seen = [request.method, request.url, text ? JSON.parse(text) : null];
    const known = request.headers.authorization?.replace("Bearer ", "") ?? "";
    const isExpected =
      JSON.stringify([...seen, known]) === JSON.stringify([method, path, body, token]);
    if (cookie) response.setHeader("set-cookie", `jid=${cookie}; Path=/api; HttpOnly`);
    response.writeHead(isExpected ? status : 599).end(JSON.stringify(json));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    address: `http://127.0.0.1:${port}`,
    left: () => left.length,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
