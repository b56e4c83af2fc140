// @ts-check
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";

import { PRODUCTION } from "../src/bootstrap.js";
import { parseLocal } from "../src/envfile.js";
import {
  ConfigError,
  EXIT_STATUS,
  ABSENT,
  IN_PLACE_OF,
  MESSAGES,
  TUNNEL,
  UNTRUSTED,
} from "../src/errors.js";
import { findFiles, judge } from "../src/files.js";
import { Loader, loadFrom } from "../src/loader.js";
import { serve } from "./server.js";
import { directoryWith, environFor, vectors } from "./tools.js";

const never = assert.fail;

describe("the place of the secrets", () => {
  for (const { name, file, envLocal, envLocalMode, environ, want, ...given } of vectors.bootstrap)
    test(name, () => {
      const directory = directoryWith({ ".infisical.json": file, ".env.local": envLocal });
      const local = join(directory, ".env.local");
      if (envLocal !== null) chmodSync(local, parseInt(envLocalMode, 8));
      const filled = (/** @type {string} */ text) =>
        text
          .replaceAll("{file}", join(directory, ".infisical.json"))
          .replaceAll("{envLocal}", local);
      /** @type {string[]} */
      const warnings = [];
      const { environment, allowHttp, strict, allow, required } = given;
      const warn = (/** @type {string} */ text) => warnings.push(text);
      const decide = () =>
        new Loader(environ, {
          directory,
          environment: environment ?? undefined,
          allowHttp,
          strict: strict ?? undefined,
          allow,
          required,
          warn,
        }).place;
      if (want.error)
        assert.throws(decide, {
          name: "ConfigError",
          code: want.error,
          message: filled(want.message),
        });
      else assert.deepEqual(decide(), want);
      assert.deepEqual(warnings, given.warnings.map(filled));
    });
});

describe("a developer's own files", () => {
  for (const {
    name,
    envLocal,
    envOverride,
    mode,
    environ,
    secrets,
    want,
    ...given
  } of vectors.local)
    test(name, () => {
      const settings = { workspaceId: "project", domain: "https://secrets.example.com" };
      const directory = directoryWith({
        ".infisical.json": JSON.stringify(settings),
        ".env.local": envLocal,
        ".env.override": envOverride,
      });
      const own = join(directory, ".env.override");
      if (envOverride !== null) chmodSync(own, parseInt(mode, 8));
      const filled = (/** @type {string} */ text) =>
        text
          .replaceAll("{envLocal}", join(directory, ".env.local"))
          .replaceAll("{envOverride}", own);
      /** @type {string[]} */
      const warnings = [];
      /** @type {Record<string, string | undefined>} */
      const into = {};
      const begin = () =>
        new Loader(environ, {
          directory,
          environment: given.environment ?? undefined,
          override: given.override,
          strict: given.strict ?? undefined,
          allow: given.allow,
          required: given.required,
          into,
          warn: (text) => warnings.push(text),
        }).resolve(new Map(Object.entries(secrets)));
      if (want.error) assert.throws(begin, { code: want.error, message: filled(want.message) });
      else {
        begin();
        assert.deepEqual(into, want.into);
      }
      assert.deepEqual(warnings, given.warnings.map(filled));
    });
});

describe("files of other users", () => {
  for (const { name, process: user, directories, want, refused } of vectors.places)
    test(name, () => {
      const places = directories.map((/** @type {any} */ each) => ({
        ...each,
        mode: parseInt(each.mode, 8),
      }));
      const verdicts = places.map((/** @type {any} */ each) => judge(each, places[0], user));
      const end = verdicts.findIndex((/** @type {string} */ verdict) => verdict !== "go on");
      assert.deepEqual(
        [verdicts[end] === "take" ? end : null, verdicts[end] === "refuse" ? end : null],
        [want, refused],
      );
    });
});

test("the messages equal the shared ones", () => {
  assert.deepEqual({ ...MESSAGES }, vectors.errors);
  assert.equal(TUNNEL, vectors.tunnel);
  const { untrusted, inPlaceOf, absent } = vectors;
  assert.deepEqual([UNTRUSTED, IN_PLACE_OF, ABSENT], [untrusted, inPlaceOf, absent]);
});

test("the names of production equal the shared ones", () => {
  assert.deepEqual(PRODUCTION, vectors.production);
});

test("the exit statuses equal the shared ones", () => {
  assert.deepEqual({ ...EXIT_STATUS }, vectors.exitStatus);
});

test("the file is found in a parent, and .env.local next to it", () => {
  const top = directoryWith({ ".infisical.json": "{}" });
  const deep = join(top, "packages", "web");
  mkdirSync(deep, { recursive: true });
  const { project, localPath } = findFiles(deep, never);
  assert.equal(project.path, join(top, ".infisical.json"));
  assert.equal(localPath, join(top, ".env.local"));
});

test("a file in a parent that anybody may write to is not read", async () => {
  const top = directoryWith({ ".infisical.json": "{}" });
  mkdirSync(join(top, "below"));
  chmodSync(top, 0o1777);
  /** @type {string[]} */
  const warnings = [];
  const { project } = findFiles(join(top, "below"), (text) => warnings.push(text));
  assert.equal(project.text, null);
  assert.deepEqual(warnings, [
    `${join(top, ".infisical.json")} is not read, because somebody else may have written it: ` +
      "keep it in a directory that only its owner and this user may write to",
  ]);
});

test("an .env.local that is ignored is not opened", async () => {
  const directory = directoryWith({});
  symlinkSync("nowhere", join(directory, ".env.local"));
  /** @type {string[]} */
  const warnings = [];
  new Loader(environFor("https://secrets.example.com"), {
    directory,
    warn: (text) => warnings.push(text),
  });
  assert.match(String(warnings), /^[^,]*\.env\.local is ignored, /);
});

test("a redirect to plain http is not followed", async () => {
  const other = await serve({});
  const headers = { location: `${other.address}/api/v1/auth/universal-auth/login` };
  const server = await serve({ login: [{ status: 308, headers }] });
  const start = loadFrom(environFor(server.address), { directory: directoryWith({}) });
  await assert
    .rejects(start, { code: "not_infisical" })
    .finally(() => Promise.all([server.close(), other.close()]));
  assert.deepEqual(other.requests, { login: 0, list: 0 });
});

test("a file that can't be read is reported", () => {
  const top = directoryWith({});
  mkdirSync(join(top, ".infisical.json"));
  assert.throws(() => findFiles(top, never), /\.infisical\.json can't be read \(EISDIR\)/);
});

test("a file that is not UTF-8 is reported", async () => {
  const directory = directoryWith({ ".env.local": "" });
  writeFileSync(join(directory, ".env.local"), Buffer.from([0x41, 0x3d, 0xff]));
  await assert.rejects(
    loadFrom({}, { directory }),
    /\.env\.local is not text in UTF-8: save it as UTF-8/,
  );
});

test("other names in .env.local are reported once, without their values", async () => {
  const directory = directoryWith({
    ".env.local": "DATABASE_URL=postgres://example\nPORT=1\nPORT=2\n",
  });
  /** @type {string[]} */
  const warnings = [];
  const warn = (/** @type {string} */ text) => warnings.push(text);
  await assert.rejects(loadFrom({}, { directory, warn }), ConfigError);
  const path = join(directory, ".env.local");
  assert.deepEqual(warnings, [
    `${path}: DATABASE_URL, PORT are ignored: secrets belong in Infisical, your own values below ` +
      "a line `# overrides`",
  ]);
});

test("a line within a key in .env.local isn't shown", () => {
  const text = 'KEY="-----BEGIN\nc2VjcmV0LWV4YW1wbGU==\n-----END"\n';
  const { ignored } = parseLocal({ path: ".env.local", text });
  assert.deepEqual(ignored, ["KEY", "1 of another form"]);
});
