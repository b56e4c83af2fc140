// @ts-check
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";

import { bootstrap } from "../src/bootstrap.js";
import { parseLocal } from "../src/envfile.js";
import { ConfigError, EXIT_STATUS, MESSAGES } from "../src/errors.js";
import { findFiles } from "../src/files.js";
import { loadFrom } from "../src/loader.js";
import { directoryWith, vectors } from "./tools.js";

describe("where things come from", () => {
  for (const { name, file, envLocal, environ, environment, want } of vectors.bootstrap)
    test(name, () => {
      const directory = directoryWith({ ".infisical.json": file, ".env.local": envLocal });
      const found = findFiles(directory);
      const { settings } = parseLocal(found.local.text ?? "");
      const decide = () => bootstrap(found.project, settings, environ, environment ?? undefined);
      if (!want.error) return assert.deepEqual(decide(), want);
      const message = want.message.replace("{file}", join(directory, ".infisical.json"));
      assert.throws(decide, { name: "ConfigError", code: want.error, message });
    });
});

test("the messages are those of both languages", () => {
  assert.deepEqual({ ...MESSAGES }, vectors.errors);
});

test("the exit statuses are those of both languages", () => {
  assert.deepEqual({ ...EXIT_STATUS }, vectors.exitStatus);
});

test("the file is found in a parent, and .env.local beside it", () => {
  const top = directoryWith({ ".infisical.json": "{}", ".env.local": "NODE_ENV=development" });
  const deep = join(top, "packages", "web");
  mkdirSync(deep, { recursive: true });
  const { project, local } = findFiles(deep);
  assert.equal(project.path, join(top, ".infisical.json"));
  assert.equal(local.text, "NODE_ENV=development");
});

test("a file that can't be read is told", () => {
  const top = directoryWith({});
  mkdirSync(join(top, ".infisical.json"));
  assert.throws(() => findFiles(top), /\.infisical\.json can't be read \(EISDIR\)/);
});

test("a file that is no UTF-8 is told", () => {
  const top = directoryWith({});
  writeFileSync(join(top, ".env.local"), Buffer.from([0x41, 0x3d, 0xff]));
  assert.throws(() => findFiles(top), /\.env\.local is no text in UTF-8: save it as UTF-8/);
});

test("other names in .env.local are told once, without their values", async () => {
  const directory = directoryWith({
    ".env.local": "DATABASE_URL=postgres://example\nPORT=1\nPORT=2\n",
  });
  /** @type {string[]} */
  const warnings = [];
  const warn = (/** @type {string} */ text) => warnings.push(text);
  await assert.rejects(loadFrom({}, { directory, warn }), ConfigError);
  const path = join(directory, ".env.local");
  assert.deepEqual(warnings, [
    `${path}: DATABASE_URL, PORT are ignored: secrets belong in Infisical`,
  ]);
});

test("a line in the middle of a key in .env.local isn't told", () => {
  const { ignored } = parseLocal('KEY="-----BEGIN\nc2VjcmV0LWV4YW1wbGU==\n-----END"\n');
  assert.deepEqual(ignored, ["KEY", "1 of another form"]);
});
