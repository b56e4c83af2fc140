// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { DOWN, LOGIN, REFUSED, listOf, refusal, serve } from "./server.js";
import { PACKAGE, PROJECT, SECRET, directoryWith, environFor, node, script } from "./tools.js";

const IMPORT = 'const { config } = await import("infisical-config/config.js");';

/**
 * Run a script against a server that answers so.
 * @param {string} text
 * @param {Parameters<typeof serve>[0]} scripts
 */
async function against(text, scripts) {
  const server = await serve(scripts);
  const result = await script(text, environFor(server.address));
  await server.close();
  return { ...result, ...server };
}

test("a service only needs to import config.js", async () => {
  const { status, stdout, stderr, requests } = await against(
    `${IMPORT} console.log(config.A, config)`,
    { list: [listOf({ A: "1" })] },
  );
  assert.deepEqual(
    { status, stdout, stderr },
    { status: 0, stdout: "1 Config { A }\n", stderr: "" },
  );
  assert.deepEqual(requests, { login: 1, list: 1 });
});

/** @type {[string, number, Parameters<typeof serve>[0], { login: number, list: number }][]} */
const FAILURES = [
  ["is down", 75, { login: [DOWN] }, { login: 1, list: 0 }],
  ["refuses", 77, { login: [REFUSED] }, { login: 1, list: 0 }],
  ["has no such folder", 78, { login: [LOGIN], list: [refusal(404)] }, { login: 1, list: 1 }],
];
for (const [what, expected, scripts, asked] of FAILURES)
  test(`a process whose Infisical ${what} ends at once with ${expected} and a line`, async () => {
    const { status, stderr, address, requests } = await against(`${IMPORT} assert.fail()`, scripts);
    assert.equal(status, expected);
    assert.match(stderr, /^infisical-config: .*\n$/);
    assert.ok(stderr.startsWith(`infisical-config: ${address} `));
    assert.ok(!stderr.includes(SECRET));
    assert.deepEqual(requests, asked);
  });

test("a start without settings ends with 78 and names the settings", async () => {
  const { status, stderr } = await script(IMPORT, {});
  assert.equal(status, 78);
  assert.match(
    stderr,
    /^infisical-config: INFISICAL_CLIENT_ID.* INFISICAL_CLIENT_SECRET .*are not set/,
  );
});

/** @param {number} timeout in seconds */
const caught = (timeout) =>
  'import { load } from "infisical-config";' +
  `const { code } = await load({ timeout: ${timeout} }).catch((error) => error);` +
  "const ended = performance.now();" +
  'process.on("exit", () => console.log(code, performance.now() - ended < 4000));';
const CAUGHT = caught(0.7);

for (const stall of /** @type {const} */ (["headers", "body"]))
  test(`nothing keeps a process alive after a deadline with stalled ${stall}`, async () => {
    const { status, stdout } = await against(CAUGHT, { list: [{ stall }] });
    assert.deepEqual({ status, stdout }, { status: 0, stdout: "deadline true\n" });
  });

test("nothing keeps a process alive after a refusal or a good start", async () => {
  const refused = await against(caught(20), { login: [refusal(401)] });
  assert.equal(refused.stdout, "refused true\n");
  const good = await against(caught(20), { list: [listOf({ A: "1" })] });
  assert.equal(good.stdout, "undefined true\n");
});

test("a login whose refusal breaks off is not repeated", async () => {
  const { requests, stdout } = await against(CAUGHT, {
    login: [{ status: 401, headers: { "content-length": "100" }, stall: "body" }],
  });
  assert.equal(stdout, "refused true\n");
  assert.equal(requests.login, 1);
});

test("a start needs less than 150 MB, with a thousand secrets", async () => {
  const many = Array.from({ length: 1000 }, (_, at) => [`NAME_${at}`, "x".repeat(200)]);
  const { stdout } = await against(
    `${IMPORT} console.log(Object.keys(config).length, process.memoryUsage.rss() / 1e6 < 150)`,
    { list: [listOf(Object.fromEntries(many))] },
  );
  assert.equal(stdout, "1000 true\n");
});

test("the file sets Infisical's address and the project", async () => {
  const server = await serve({ list: [listOf({ A: "1" })] });
  const cwd = directoryWith({
    ".infisical.json": JSON.stringify({ workspaceId: PROJECT, domain: server.address }),
    ".env.local": `INFISICAL_CLIENT_ID=id-example\nINFISICAL_CLIENT_SECRET=${SECRET}\n`,
    "app.mjs": `import { config } from "${PACKAGE}config.js"; console.log(config.A);`,
  });
  const { stdout } = await node(["app.mjs"], { NODE_ENV: "production" }, cwd);
  await server.close();
  assert.equal(stdout, "1\n");
  assert.match(String(server.bodies[1]), new RegExp(`projectId=${PROJECT}.*secretPath=%2F`));
});
