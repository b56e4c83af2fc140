// @ts-check
/** The package as npm publishes it. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import { PACKAGE } from "./tools.js";

const MOST_BYTES = 1_000_000;

test("the package without the SDK is small and has no dependencies", () => {
  const packed = execFileSync("npm", ["pack", "--dry-run", "--json"], {
    cwd: PACKAGE,
    encoding: "utf8",
  });
  const [{ unpackedSize, files }] = JSON.parse(packed);
  assert.ok(unpackedSize <= MOST_BYTES, `${unpackedSize} bytes`);
  const described = execFileSync("npm", ["pkg", "get"], { cwd: PACKAGE, encoding: "utf8" });
  const { dependencies, optionalDependencies, bundleDependencies, ...rest } = JSON.parse(described);
  assert.deepEqual(
    [dependencies, optionalDependencies, bundleDependencies],
    Array(3).fill(undefined),
  );
  const peers = Object.keys(rest.peerDependencies);
  assert.ok(peers.every((name) => rest.peerDependenciesMeta[name].optional));
  assert.ok(files.every((/** @type {any} */ { path }) => !/^(test|node_modules)/.test(path)));
});
