// @ts-check
/** The two files that a start may read: `.infisical.json`, and `.env.local` beside it. */

import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

import { notConfigured } from "./errors.js";

const PROJECT_FILE = ".infisical.json";

/**
 * @typedef {object} TextFile
 * @property {string} path
 * @property {string | null} text null where there is no such file
 */

/**
 * Look for `.infisical.json` in a directory and its parents, and for `.env.local` beside it, or in
 * the directory itself where no parent has one.
 * @param {string} directory
 * @returns {{ project: TextFile, local: TextFile }}
 * @throws {ConfigError} not_configured, if one of them can't be read
 */
export function findFiles(directory) {
  const start = resolve(directory);
  for (let at = start; ; at = dirname(at)) {
    const project = read(join(at, PROJECT_FILE));
    if (project.text !== null) return { project, local: read(join(at, ".env.local")) };
    if (at === dirname(at)) break;
  }
  return {
    project: { path: join(start, PROJECT_FILE), text: null },
    local: read(join(start, ".env.local")),
  };
}

/**
 * @param {string} path
 * @returns {TextFile}
 */
function read(path) {
  try {
    return { path, text: new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path)) };
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    if (code === "ERR_ENCODING_INVALID_ENCODED_DATA")
      throw notConfigured(`${path} is no text in UTF-8: save it as UTF-8`);
    if (code === "ENOENT" || code === "ENOTDIR") return { path, text: null };
    throw notConfigured(`${path} can't be read (${code}): check its owner and its mode`);
  }
}
