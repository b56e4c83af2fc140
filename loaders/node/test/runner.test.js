// @ts-check
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { listOf, serve } from "./server.js";
import { PACKAGE, directory, directoryWith, environFor, node, startRunner } from "./tools.js";

const SHOW = "process.stdout.write(JSON.stringify(process.env))";

describe("with-secrets", { concurrency: true }, () => {
  /** @type {Awaited<ReturnType<typeof serve>>} */
  let server;
  before(async () => {
    server = await serve({
      list: [listOf({ A: "infisical", B: "infisical", NODE_OPTIONS: "-x" })],
    });
  });
  after(() => server.close());

  /**
   * @param {string[]} args
   * @param {Record<string, string>} environ
   */
  const run = (args, environ = {}) =>
    node(["bin/with-secrets.js", ...args], { ...environFor(server.address), ...environ });

  test("gives the child its own environment and the secrets, without the credential", async () => {
    const { stdout, stderr } = await run(["--", process.execPath, "-e", SHOW], { A: "own" });
    const { A, B, NODE_ENV, NODE_OPTIONS, ...others } = JSON.parse(stdout);
    assert.deepEqual({ A, B, NODE_ENV }, { A: "own", B: "infisical", NODE_ENV: "production" });
    assert.equal(NODE_OPTIONS, undefined);
    const credential = Object.keys(others).filter((name) => name.startsWith("INFISICAL_CLIENT_"));
    assert.deepEqual(credential, []);
    assert.match(stderr, /^infisical-config: withheld .*: NODE_OPTIONS\n$/);
  });

  test("gives the child the NODE_ENV of .env.local if the environment has none", async () => {
    const {
      NODE_ENV: _,
      INFISICAL_CLIENT_ID,
      INFISICAL_CLIENT_SECRET,
      ...environ
    } = environFor(server.address);
    const cwd = directoryWith({
      ".env.local":
        `INFISICAL_CLIENT_ID=${INFISICAL_CLIENT_ID}\n` +
        `INFISICAL_CLIENT_SECRET=${INFISICAL_CLIENT_SECRET}\nNODE_ENV=development\n`,
    });
    const command = [join(PACKAGE, "bin/with-secrets.js"), "--", process.execPath, "-e", SHOW];
    assert.equal(JSON.parse((await node(command, environ, cwd)).stdout).NODE_ENV, "development");
    const given = await node(command, { NODE_ENV: "production", ...environ }, cwd);
    assert.equal(JSON.parse(given.stdout).NODE_ENV, "production");
  });

  test("gives the child only allowed names in strict mode", async () => {
    const child = ["--", process.execPath, "-e", SHOW];
    const { stdout, stderr } = await run(["--strict", "--allow", "B", ...child]);
    const { A, B } = JSON.parse(stdout);
    assert.deepEqual({ A, B }, { A: undefined, B: "infisical" });
    assert.match(stderr, /; left out, .*: A\n$/);
    const none = await run(["--", "true"], { INFISICAL_STRICT: "1" });
    assert.equal(none.status, 78);
    assert.match(none.stderr, /strict mode/);
  });

  test("gives the child a withheld name that is allowed", async () => {
    const child = ["--", "sh", "-c", 'printf %s "$NODE_OPTIONS"'];
    assert.equal((await run(["--allow", "NODE_OPTIONS", ...child])).stdout, "-x");
  });

  test("allows plain http to another machine with --allow-http", async () => {
    // The name does not look like loopback, but nothing leaves this machine.
    const elsewhere = { INFISICAL_DOMAIN: "http://0.0.0.0:1" };
    const refused = await run(["--", "true"], elsewhere);
    assert.equal(refused.status, 78);
    assert.match(refused.stderr, /would go unencrypted/);
    const allowed = await run(["--allow-http", "--", "true"], elsewhere);
    assert.equal(allowed.status, 75);
  });

  test("lets Infisical win with --override", async () => {
    const { stdout } = await run(["--override", "--", process.execPath, "-e", SHOW], { A: "own" });
    assert.equal(JSON.parse(stdout).A, "infisical");
  });

  test("takes the environment from --environment", async () => {
    await run(["--environment", "staging", "--", "true"]);
    assert.ok(server.bodies.some((body) => body.includes("environment=staging")));
  });

  test("keeps the child's exit code", async () => {
    assert.equal((await run(["--", "sh", "-c", "exit 42"])).status, 42);
    assert.equal((await run(["--", "true"])).status, 0);
  });

  test("keeps everything after the first -- for the child", async () => {
    const { stdout } = await run(["--", "echo", "--override", "--", "x"]);
    assert.equal(stdout, "--override -- x\n");
  });

  test("distinguishes a missing command from one that can't be run", async () => {
    const missing = await run(["--", "no-such-command-example"]);
    assert.equal(missing.status, 127);
    assert.match(missing.stderr, /no-such-command-example is not found/);
    const file = join(directoryWith({ script: "#!/bin/sh\n" }), "script");
    chmodSync(file, 0o644);
    const refused = await run(["--", file]);
    assert.equal(refused.status, 126);
    assert.match(refused.stderr, /can't be run \(EACCES\)/);
  });

  test("reports secrets that are too large for an environment", async () => {
    const huge = await serve({ list: [listOf({ A: "x".repeat(200_000) })] });
    const result = await run(["--", "true"], { INFISICAL_DOMAIN: huge.address });
    await huge.close();
    assert.equal(result.status, 126);
    assert.match(result.stderr, /^infisical-config: true can't be run \(E2BIG\)\n$/);
  });

  for (const args of [[], ["true"], ["--"], ["--unknown", "--", "true"]])
    test(`reports wrong usage: with-secrets ${args.join(" ")}`, async () => {
      const { status, stderr } = await run(args);
      assert.equal(status, 64);
      assert.match(stderr, /Usage: with-secrets/);
    });

  test("names the missing -- before a command", async () => {
    const { stderr } = await run(["npm", "start"]);
    assert.match(stderr, /with-secrets -- npm/);
  });

  test("has a doctor that fails outside a service", async () => {
    const { INFISICAL_DOMAIN: _, ...environ } = environFor("");
    const runner = join(PACKAGE, "bin/with-secrets.js");
    const { status, stdout } = await node([runner, "doctor"], environ, directory());
    assert.equal(status, 78);
    assert.match(stdout, /^WRONG address/m);
  });

  test("has a doctor that asks the address of its option only", async () => {
    const args = ["doctor", "--address", server.address];
    const { status, stdout } = await run(args, { INFISICAL_DOMAIN: "http://127.0.0.1:1" });
    assert.equal(status, 0, stdout);
    assert.match(stdout, new RegExp(`^ok +address +${server.address}, from --address$`, "m"));
  });

  test("prints its usage", async () => {
    const { status, stdout } = await run(["--help"]);
    assert.equal(status, 0);
    assert.match(stdout, /^Usage: with-secrets/);
  });

  test("ends with the loader's status, and starts nothing", async () => {
    const { status, stdout, stderr } = await run(["--", "echo", "started"], { NODE_ENV: "" });
    assert.equal(status, 78);
    assert.equal(stdout, "");
    assert.match(stderr, /^infisical-config: INFISICAL_ENVIRONMENT is not set/);
  });

  for (const signal of ["SIGKILL", "SIGTERM", "SIGINT", "SIGQUIT", "SIGABRT"])
    test(`dies of the ${signal} that its child died of`, async () => {
      const result = await run(["--", "sh", "-c", `kill -s ${signal.slice(3)} $$`]);
      assert.equal(result.signal, signal);
    });

  test("ends with 138 if the child died of SIGUSR1, which Node uses for the debugger", async () => {
    const { status, stderr } = await run(["--", "sh", "-c", "kill -s USR1 $$"]);
    assert.equal(status, 138);
    assert.doesNotMatch(stderr, /Debugger/);
  });

  const forwarded = ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "CONT", "WINCH"];
  for (const name of forwarded)
    test(`forwards SIG${name}`, async () => {
      const child = `trap 'exit 7' ${name}; echo ready; for _ in {1..100}; do sleep 0.1; done`;
      const runner = await startRunner(["--", "bash", "-c", child], environFor(server.address));
      runner.kill(/** @type {NodeJS.Signals} */ (`SIG${name}`));
      const [status] = await once(runner, "exit");
      assert.equal(status, 7);
    });

  test("leaves Ctrl-C to the terminal, so that the child gets it once", async () => {
    const child = "trap 'echo caught' INT; echo ready; for _ in {1..20}; do sleep 0.1; done";
    const command = `node bin/with-secrets.js -- bash -c "${child}"`;
    // util-linux's script(1) runs a command in a terminal.
    const terminal = spawn("script", ["-qec", command, "/dev/null"], {
      cwd: PACKAGE,
      env: { PATH: process.env["PATH"], SHELL: "/bin/sh", ...environFor(server.address) },
      timeout: 30_000,
    });
    let printed = "";
    for await (const chunk of terminal.stdout) {
      printed += chunk;
      if (String(chunk).includes("ready")) terminal.stdin.write("\x03");
    }
    assert.equal(printed.match(/caught/g)?.length, 1, printed);
  });
});
