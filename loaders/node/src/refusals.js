// @ts-check
/** Note a credential that Infisical refused, so that restarts don't try it again. */

import { createHash, randomBytes } from "node:crypto";
import { lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { failure } from "./errors.js";
import { inWords } from "./fallback.js";
import { jsonObject } from "./json.js";

/** @typedef {import("./bootstrap.js").Place} Place */
/** @typedef {import("./bootstrap.js").Environ} Environ */

const VERSION = 1;
/** Seconds for which a refused credential is not tried again. */
const PAUSE = 600;
const OPEN = 0o077;

/** The note of a refused credential. */
export class Refusals {
  #place;
  #file;
  #directory;

  /**
   * Keep the note next to the cache, or in this user's own directory among the temporary files.
   * @param {Place} place
   * @param {Environ} environ
   * @param {string} [cache] the cache's file
   */
  constructor(place, environ, cache) {
    const user = process.geteuid?.();
    const own = user === undefined ? "infisical-config" : `infisical-config-${user}`;
    this.#place = place;
    this.#directory = cache ? null : join(environ["TMPDIR"] || tmpdir(), own);
    this.#file = this.#directory
      ? join(this.#directory, `${digest(place).slice(0, 16)}.refused`)
      : `${cache}.refused`;
  }

  /**
   * Refuse a login with a credential that was refused recently.
   * @throws {ConfigError} refused_before
   */
  check() {
    let text;
    try {
      text = readFileSync(this.#file, "utf8");
    } catch {
      return;
    }
    const age = ageOf(text, this.#place, Date.now() / 1000);
    if (age === null) return;
    const { address, clientId } = this.#place;
    const [ago, left] = [inWords(age), inWords(PAUSE - age)];
    throw failure("refused_before", { address, client_id: clientId, ago, left, file: this.#file });
  }

  /** Note that the credential was refused. Without a place for it, a restart asks again. */
  add() {
    const temporary = `${this.#file}.${process.pid}.${randomBytes(4).toString("hex")}`;
    try {
      if (this.#directory && !isOwn(this.#directory)) return;
      const note = noteOf(this.#place, Date.now() / 1000);
      writeFileSync(temporary, note, { mode: 0o600, flag: "wx" });
      renameSync(temporary, this.#file);
    } catch {
      remove(temporary);
    }
  }
}

/**
 * Return the text of a note.
 * @param {Place} place
 * @param {number} now seconds since 1970
 */
export const noteOf = (place, now) =>
  `${JSON.stringify({ version: VERSION, refused: Math.floor(now), credential: digest(place) })}\n`;

/**
 * Return how many seconds ago the credential was refused, or null if it may be tried.
 * @param {string} text of a note
 * @param {Place} place
 * @param {number} now seconds since 1970
 */
export function ageOf(text, place, now) {
  const note = jsonObject(text);
  if (note?.version !== VERSION || !Number.isSafeInteger(note.refused)) return null;
  const age = now - note.refused;
  return age >= 0 && age < PAUSE && note.credential === digest(place) ? age : null;
}

/** @param {Place} place */
const digest = ({ address, clientId, clientSecret }) =>
  createHash("sha256")
    .update(["infisical-config refused 1", address, clientId, clientSecret].join("\n"))
    .digest("hex");

/**
 * Return whether only this user can use a directory; make it if it is missing.
 * @param {string} path
 */
export function isOwn(path) {
  mkdirSync(dirname(path), { recursive: true });
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EEXIST") throw error;
  }
  const found = lstatSync(path);
  const user = process.geteuid?.();
  if (user === undefined) return found.isDirectory();
  return found.isDirectory() && found.uid === user && !(found.mode & OPEN);
}

/** @param {string} file that may be there */
function remove(file) {
  try {
    rmSync(file, { force: true });
  } catch {
    // Its parent is not a directory.
  }
}
