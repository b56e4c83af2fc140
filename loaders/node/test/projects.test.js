// @ts-check
/** Services that have a project of their own, and import folders of others. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { ConfigError, failure } from "../src/errors.js";
import { loadFrom } from "../src/loader.js";
import { watchFrom } from "../src/watcher.js";
import { CLIENTS, DOWN, LOGIN, REFUSED, listOf, refusal, serveProjects } from "./server.js";
import { PACKAGE, SECRET, casesOf, credentials, directory, directoryOf, node } from "./tools.js";

/** @typedef {import("./server.js").Step} Step */

const OWN = { project: "own-example", folder: "/backend" };
const SHARED = { project: "shared-example", folder: "/shared" };
const DENIED = refusal(403, { error: "ProjectMembershipNotFound" });
const ENDED = refusal(401, { error: "TokenError", message: "Token expired" });
const EVERY = 0.05;

for (const { api, hasV4, client } of CLIENTS)
  describe(`the starts of the vectors with ${api}, by ${client}`, { concurrency: 4 }, () => {
    before(() => import("@infisical/sdk")); // No deadline can speed that up.
    for (const each of casesOf("projects", client)) {
      const { name, timeout, login, lists, want, requests, within } = each;
      test(name, async () => {
        const server = await serveProjects({ login, lists, hasV4 });
        const begun = performance.now();
        const result = await loadFrom(credentials(), {
          directory: directoryOf(server.address, lists),
          timeout,
          client,
        }).catch((error) => error);
        const seconds = (performance.now() - begun) / 1000;
        await server.close();
        if (want.error) {
          const { error: code, ...facts } = want;
          const known = { environment: "production", client_id: "id-example", timeout, ...facts };
          assert.ok(result instanceof ConfigError, String(result));
          const { message } = failure(code, { ...known, address: server.address });
          assert.deepEqual([result.code, result.message], [code, message]);
        } else assert.deepEqual({ ...result }, want.values);
        const { login: logins } = server.requests;
        assert.deepEqual({ login: logins, lists: server.counts }, requests);
        assert.ok(seconds < within, `took ${seconds} s`);
      });
    }
  });

/**
 * Serve the own folder and an import, and return the options of a service that reads them.
 * @param {{ login?: Step[], own: import("./server.js").List["answers"],
 *     shared: import("./server.js").List["answers"] }} answers
 */
async function service({ login = [LOGIN], own, shared }) {
  const lists = [
    { ...OWN, answers: own },
    { ...SHARED, answers: shared },
  ];
  const server = await serveProjects({ login, lists });
  after(server.close);
  /** @type {string[]} */
  const warnings = [];
  const warn = (/** @type {string} */ text) => warnings.push(text);
  const options = { directory: directoryOf(server.address, lists), warn };
  return { server, options, warnings };
}

describe("a service with an import", { concurrency: true }, () => {
  test("sends the token to each project, and asks for raw values", async () => {
    /** @type {(string | undefined)[]} */
    const tokens = [];
    const answers = (/** @type {import("./server.js").Request} */ request) => {
      tokens.push(request.headers.authorization);
      return listOf({ A: "1" });
    };
    const { server, options } = await service({ own: answers, shared: answers });
    await loadFrom(credentials(), options);
    assert.deepEqual(tokens, ["Bearer token-example", "Bearer token-example"]);
    const [, ...urls] = server.bodies.map((each) => String(each.split(" ")[1]));
    const asked = urls.map((url) => new URL(url, server.address).searchParams);
    assert.deepEqual(asked.map((each) => [each.get("projectId"), each.get("secretPath")]).sort(), [
      ["own-example", "/backend"],
      ["shared-example", "/shared"],
    ]);
    for (const each of asked)
      assert.deepEqual(
        [each.get("environment"), each.get("expandSecretReferences"), each.get("recursive")],
        ["production", "false", "false"],
      );
  });

  test("reads one project if the environment names it", async () => {
    const { server, options } = await service({ own: [DOWN], shared: [listOf({ B: "2" })] });
    const { project, folder } = SHARED;
    const environ = { INFISICAL_PROJECT_ID: project, INFISICAL_SECRET_PATH: folder };
    const config = await loadFrom({ ...credentials(), ...environ }, options);
    assert.deepEqual([{ ...config }, server.counts], [{ B: "2" }, [0, 1]]);
  });

  test("starts by the runner", async () => {
    const { options } = await service({
      own: [listOf({ A: "own" })],
      shared: [listOf({ A: "shared", B: "shared" })],
    });
    const { status, stdout, stderr } = await node(
      [join(PACKAGE, "bin/with-secrets.js"), "--", "sh", "-c", 'printf %s "$A $B"'],
      credentials(),
      options.directory,
    );
    assert.deepEqual([status, stdout, stderr], [0, "own shared", ""]);
  });

  test("starts from the cache while one list is down", async () => {
    const { options, warnings } = await service({
      own: [listOf({ A: "1" }), listOf({ A: "2" })],
      shared: [listOf({ B: "1" }), DOWN],
    });
    const cache = { file: join(directory(), "cache") };
    await loadFrom(credentials(), { ...options, cache });
    const config = await loadFrom(credentials(), { ...options, cache });
    assert.deepEqual({ ...config }, { A: "1", B: "1" });
    assert.match(String(warnings), /answers 503.*STARTING WITH THE CACHE/);
  });

  test("does not start from the cache if one list is refused while another is down", async () => {
    const { options } = await service({
      own: [listOf({ A: "1" }), DOWN],
      shared: [listOf({ B: "1" }), DENIED],
    });
    const cache = { file: join(directory(), "cache") };
    await loadFrom(credentials(), { ...options, cache });
    await assert.rejects(loadFrom(credentials(), { ...options, cache }), { code: "forbidden" });
  });

  test("does not start from the cache of another set of projects", async () => {
    const { server, options, warnings } = await service({
      login: [LOGIN, DOWN],
      own: [listOf({ A: "1" })],
      shared: [listOf({ B: "1" })],
    });
    const cache = { file: join(directory(), "cache") };
    await loadFrom(credentials(), { ...options, cache });
    const alone = { ...options, cache, directory: directoryOf(server.address, [OWN]) };
    await assert.rejects(loadFrom(credentials(), alone), { code: "server" });
    assert.match(String(warnings), /cache .* can't be used/);
  });

  test("notes a refused credential once for all projects", async () => {
    const own = [listOf({ A: "1" })];
    const { server, options } = await service({ login: [REFUSED], own, shared: own });
    const environ = credentials();
    await assert.rejects(loadFrom(environ, options), { code: "refused" });
    await assert.rejects(loadFrom(environ, options), { code: "refused_before" });
    assert.deepEqual([server.requests.login, server.counts], [1, [0, 0]]);
  });

  test("shows no secret in an error of one list", async () => {
    const text = `${SECRET} token-example value-example`;
    const bad = refusal(403, { error: "PermissionDenied", message: text });
    const { options } = await service({ own: [listOf({ A: "value-example" })], shared: [bad] });
    const error = await loadFrom(credentials(), options).catch((reason) => reason);
    assert.equal(error.code, "forbidden");
    assert.ok(!text.split(" ").some((each) => `${error.stack}${error.message}`.includes(each)));
  });
});

/**
 * A list that changes, with an ETag, as the real server answers.
 * @param {Record<string, string>} values
 */
function vault(values) {
  const made = {
    values,
    /** @type {Step[]} the first answers, each given once */
    broken: [],
    /** An authorization that has ended. */
    ended: "",
    /** @type {(number | undefined)[]} */
    statuses: [],
    /** @param {import("./server.js").Request} request */
    answers(request) {
      const etag = JSON.stringify(Buffer.from(JSON.stringify(made.values)).toString("hex"));
      const unchanged = request.headers["if-none-match"] === etag;
      const answer = unchanged ? { status: 304 } : listOf(made.values, { etag });
      const isEnded = request.headers.authorization === made.ended;
      const step = made.broken.shift() ?? (isEnded ? ENDED : answer);
      made.statuses.push(step.status);
      return step;
    },
  };
  return made;
}

/**
 * Watch two changing lists.
 * @param {Partial<import("../src/watcher.js").Options>} [options]
 * @param {Step[]} [login]
 */
async function watching(options = {}, login = [LOGIN]) {
  const [own, shared] = [vault({ A: "1" }), vault({ A: "0", B: "1" })];
  const started = await service({ login, own: own.answers, shared: shared.answers });
  /** @type {unknown[][]} */
  const reports = [];
  const watch = await watchFrom(credentials(), {
    ...started.options,
    every: EVERY,
    onChange: (config, names) => reports.push(["change", { ...config }, names]),
    onError: (error) => reports.push(["error", /** @type {any} */ (error).code ?? error]),
    ...options,
  });
  const until = async (/** @type {() => boolean} */ condition) => {
    for (let turn = 0; turn < 500 && !condition(); turn += 1) await sleep(20);
    assert.ok(condition());
  };
  after(() => watch.stop());
  return { own, shared, reports, watch, until, ...started };
}

describe("a watch of several projects", { concurrency: true }, () => {
  test("asks each list by its ETag, and reports a change of one", async () => {
    const { own, shared, reports, watch, until, server } = await watching();
    await until(() => shared.statuses.length >= 3);
    shared.values = { A: "0", B: "2" };
    await until(() => reports.length > 0);
    own.values = { A: "2" };
    await until(() => reports.length > 1);
    watch.stop();
    assert.deepEqual(reports, [
      ["change", { A: "1", B: "2" }, ["B"]],
      ["change", { A: "2", B: "2" }, ["A"]],
    ]);
    assert.deepEqual(
      [own.statuses.slice(0, 3), shared.statuses.slice(0, 3)],
      [
        [200, 304, 304],
        [200, 304, 304],
      ],
    );
    assert.equal(own.statuses.filter((each) => each === 200).length, 2);
    assert.equal(shared.statuses.filter((each) => each === 200).length, 2);
    assert.equal(server.requests.login, 1);
  });

  test("reports no change of an import that the own folder overrides", async () => {
    const { shared, reports, watch, until } = await watching();
    shared.values = { A: "other", B: "1" };
    const asked = () => shared.statuses.length;
    const before = asked();
    await until(() => asked() > before + 2);
    watch.stop();
    assert.deepEqual(reports, []);
  });

  test("keeps a change of one list although another failed at that time", async () => {
    const { own, shared, reports, until, watch } = await watching();
    shared.broken = Array(1000).fill(DENIED);
    await until(() => reports.length > 0);
    own.values = { A: "2" };
    await until(() => own.statuses.at(-1) === 200);
    shared.broken = [];
    await until(() => reports.at(-1)?.[0] === "change");
    watch.stop();
    const [change, ...errors] = reports.reverse();
    assert.deepEqual(change, ["change", { A: "2", B: "1" }, ["A"]]);
    assert.deepEqual(new Set(errors.map((each) => each[1])), new Set(["forbidden"]));
  });

  test("reports no change that was taken back while another list failed", async () => {
    const { own, shared, reports, until, watch } = await watching();
    shared.broken = Array(1000).fill(DENIED);
    await until(() => reports.length > 0);
    own.values = { A: "2" };
    await until(() => own.statuses.at(-1) === 200);
    own.values = { A: "1" };
    await until(() => own.statuses.at(-1) === 304);
    shared.values = { B: "2" };
    shared.broken = [];
    const changes = () => reports.filter(([kind]) => kind === "change");
    await until(() => changes().length > 0);
    own.values = { A: "2" };
    await until(() => changes().length > 1);
    watch.stop();
    assert.deepEqual(changes(), [
      ["change", { A: "1", B: "2" }, ["B"]],
      ["change", { A: "2", B: "2" }, ["A"]],
    ]);
  });

  test("logs in once when the token has ended for all lists, and lists again", async () => {
    const next = { status: 200, json: { accessToken: "token-2-example" } };
    const { own, shared, reports, until, watch, server } = await watching({}, [LOGIN, next]);
    own.values = { A: "2" };
    own.ended = shared.ended = "Bearer token-example";
    await until(() => reports.length > 0 && server.requests.login > 1);
    const lists = server.requests.list;
    await until(() => server.requests.list > lists + 6);
    watch.stop();
    assert.deepEqual(reports, [["change", { A: "2", B: "1" }, ["A"]]]);
    assert.equal(server.requests.login, 2);
  });

  test("lists only those again whose token has ended", async () => {
    const { own, shared, reports, until, watch, server } = await watching();
    await until(() => own.statuses.length > 1);
    shared.broken = [ENDED];
    await until(() => shared.statuses.includes(401));
    await until(() => shared.statuses.at(-1) === 304);
    watch.stop();
    assert.deepEqual([reports, server.requests.login], [[], 2]);
    assert.equal(own.statuses.filter((each) => each === 200).length, 1);
  });

  test("makes no login for a membership that was taken away", async () => {
    const { shared, reports, until, watch, server } = await watching();
    shared.broken = [DENIED];
    await until(() => reports.length > 0);
    watch.stop();
    assert.deepEqual([reports[0], server.requests.login], [["error", "forbidden"], 1]);
  });

  test("ends at a refused login", async () => {
    const { own, shared, reports, until, server } = await watching({}, [LOGIN, REFUSED]);
    own.broken = [ENDED];
    shared.broken = [ENDED];
    await until(() => reports.length > 0);
    await sleep(4 * EVERY * 1000);
    assert.deepEqual([reports, server.requests.login], [[["error", "refused"]], 2]);
  });

  test("renews the cache with the values of all lists", async () => {
    const file = join(directory(), "cache");
    const { watch, until, options } = await watching({ cache: { file } });
    const first = readFileSync(file, "utf8");
    await until(() => readFileSync(file, "utf8") !== first);
    watch.stop();
    const down = { ...options, cache: { file }, timeout: 0.001 };
    assert.deepEqual({ ...(await loadFrom(credentials(), down)) }, { A: "1", B: "1" });
  });
});
