// @ts-check
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";

import { dayOf } from "../src/commands.js";
import { listOf, serve } from "./server.js";
import { SECRET, certificate, directory, environFor, node } from "./tools.js";

const DAY = 86_400_000;
const LIST = [listOf({ A: "value-of-a" })];
const PAGE = "<!doctype html><title>Welcome</title>";

describe("doctor on the clock", () => {
  for (const { minutes, wrong } of [
    { minutes: -7, wrong: true },
    { minutes: 7, wrong: true },
    { minutes: 0.2, wrong: false },
  ])
    test(`${minutes} minutes from the server's`, async () => {
      const date = new Date(Date.now() + minutes * 60_000).toUTCString();
      const status = { json: { message: "Ok" }, headers: { date } };
      const { code, found } = await examine({ status });
      assert.equal(code, wrong ? 78 : 0);
      assert.ok(found.clock?.startsWith(wrong ? "WRONG" : "ok"), found.clock);
      const seconds = Number(/(\d+) s /.exec(String(found.clock))?.[1]);
      assert.ok(Math.abs(seconds - Math.abs(minutes) * 60) <= 10, found.clock);
      assert.match(String(found.secrets), /^ok +secrets +1 /);
    });
});

describe("doctor on the certificate", () => {
  test("accepts one that lives for a day, as Caddy's own are", async () => {
    const { found } = await examine({}, pair(...certificate(1)));
    assert.match(String(found.certificate), /^ok +certificate .* UTC$/);
  });

  test("accepts one with more than a week left", async () => {
    const { code, found } = await examine({}, dated(-80, 10));
    assert.match(String(found.certificate), /^ok /);
    assert.equal(code, 0);
  });

  test("reports one that ends within days, and goes on", async () => {
    const { code, found } = await examine({}, dated(-84, 6));
    assert.match(String(found.certificate), /^WRONG /);
    assert.ok(found.certificate?.includes(dayOf(Date.now() + 6 * DAY)), found.certificate);
    assert.match(String(found.secrets), /^ok /);
    assert.equal(code, 75);
  });

  for (const [what, from, to, reason] of /** @type {const} */ ([
    ["has ended", -90, -1, "CERT_HAS_EXPIRED"],
    ["is not valid yet", 1, 90, "CERT_NOT_YET_VALID"],
  ]))
    test(`reports one that ${what} as a matter of time, not of trust`, async () => {
      const { code, found } = await examine({}, dated(from, to));
      assert.match(String(found.certificate), new RegExp(`^WRONG .*${reason}.*clock`));
      assert.doesNotMatch(String(found.certificate), /NODE_EXTRA_CA_CERTS/);
      assert.match(String(found.server), /^WRONG /);
      assert.equal(code, 75);
    });

  test("reports one that is not trusted, with the variable for its authority", async () => {
    const { code, found } = await examine({}, { ...pair(...certificate()), authority: "" });
    const expected = /^WRONG .*DEPTH_ZERO_SELF_SIGNED_CERT.*NODE_EXTRA_CA_CERTS/;
    assert.match(String(found.certificate), expected);
    assert.match(String(found.server), /^WRONG /);
    assert.equal(code, 75);
  });
});

describe("doctor on the server", { concurrency: 4 }, () => {
  for (const [what, status, exit, fact] of /** @type {const} */ ([
    ["fails", { status: 500, json: { message: "Something went wrong" } }, 75, "500"],
    ["is down", { status: 502, text: PAGE }, 75, "502"],
    ["is a proxy that refuses", { status: 403, text: PAGE }, 75, "403"],
    ["is an ingress without it", { status: 404, text: PAGE }, 75, "404"],
    ["is another website", { status: 200, text: PAGE }, 78, "\\.infisical\\.json"],
    ["is another service", { status: 200, json: { status: "up" } }, 78, "\\.infisical\\.json"],
    [
      "redirects",
      { status: 302, headers: { location: "/login" }, text: "" },
      78,
      "\\.infisical\\.json",
    ],
  ]))
    test(`reports that it ${what}`, async () => {
      const { code, found } = await examine({ status });
      assert.match(String(found.server), new RegExp(`^WRONG .*${fact}`));
      assert.doesNotMatch(String(found.server), /html/);
      assert.equal(found.clock, undefined);
      assert.equal(code, exit);
    });

  test("reports that nothing listens", async () => {
    const server = await serve({});
    await server.close();
    const { code, found } = read(await run(environFor(server.address)));
    assert.match(String(found.server), /^WRONG .*127\.0\.0\.1/);
    assert.equal(code, 75);
  });
});

/**
 * @typedef {import("./server.js").Pair & { authority: string }} Trusted a certificate with its key,
 *     and the file of a trusted authority
 */

/**
 * Run `doctor` of a service with this server; return its exit status and the lines by their names.
 * @param {{ status?: import("./server.js").Step }} scripts
 * @param {Trusted} [tls]
 */
async function examine(scripts, tls) {
  const server = await serve({ list: LIST, ...scripts, ...(tls ? { tls } : {}) });
  const environ = { ...environFor(server.address), NODE_EXTRA_CA_CERTS: tls?.authority ?? "" };
  return read(await run(environ).finally(server.close));
}

/** @param {Record<string, string>} environ */
const run = (environ) => node(["bin/with-secrets.js", "doctor"], environ);

/** @param {Awaited<ReturnType<typeof node>>} ended */
function read({ status: code, stdout, stderr }) {
  assert.ok(!`${stdout}${stderr}`.includes(SECRET));
  assert.ok(!`${stdout}${stderr}`.includes("value-of-a"));
  assert.equal(stderr, "");
  const lines = stdout.trimEnd().split("\n");
  return {
    code,
    /** @type {Record<string, string | undefined>} */
    found: Object.fromEntries(lines.map((line) => [/^\S+ +(\S+)/.exec(line)?.[1], line])),
  };
}

/**
 * @param {string} key
 * @param {string} cert
 * @returns {Trusted}
 */
const pair = (key, cert) => ({
  key: readFileSync(key),
  cert: readFileSync(cert),
  authority: cert,
});

/**
 * Make a certificate of localhost that is valid between two days, counted from now.
 * @param {number} from
 * @param {number} to
 */
function dated(from, to) {
  const made = directory();
  const [key, cert, request] = [join(made, "key"), join(made, "cert"), join(made, "request")];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl("req", ...curve, "-subj", "/CN=localhost", "-keyout", key, "-out", request);
  writeFileSync(join(made, "index"), "");
  writeFileSync(join(made, "settings"), settingsIn(made));
  const [begin, end] = [from, to].map((days) =>
    new Date(Date.now() + days * DAY).toISOString().replace(/\.\d+|[-:T]/g, ""),
  );
  const signing = ["-selfsign", "-config", join(made, "settings"), "-keyfile", key, "-batch"];
  const dates = ["-startdate", String(begin), "-enddate", String(end)];
  openssl("ca", ...signing, ...dates, "-in", request, "-out", cert, "-notext");
  return pair(key, cert);
}

/** @param {string} made */
const settingsIn = (made) => `
[ca]
default_ca = own
[own]
database = ${made}/index
new_certs_dir = ${made}
rand_serial = yes
default_md = sha256
policy = names
x509_extensions = extensions
[names]
commonName = supplied
[extensions]
basicConstraints = critical, CA:TRUE
subjectAltName = DNS:localhost
`;

/** @param {string[]} args */
const openssl = (...args) => execFileSync("openssl", args, { stdio: "pipe" });
