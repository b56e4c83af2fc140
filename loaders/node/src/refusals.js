// @ts-check
/** Note a credential that Infisical refused, so that restarts don't try it again. */

import { createHash, randomBytes } from "node:crypto";
import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { failure } from "./errors.js";
import { inWords } from "./fallback.js";
import { jsonObject } from "./json.js";

/** @typedef {import("./bootstrap.js").Place} Place */
/** @typedef {import("./bootstrap.js").Environ} Environ */

const VERSION = 1;
/** Seconds for which a refused credential is not tried again. */
export const PAUSE = 600;
/**
 * Seconds that a start waits if it can't note the refusal: the server counts wrong logins that are
 * at most 30 s apart, and locks the identity at the third.
 */
export const WAIT = 31;
/** The most seconds that a start waits while another one logs in. */
export const PATIENCE = 5;
/** Seconds after which a lock counts as left by a process that has ended. */
export const LOCK_AGE = 30;
const POLL_MS = 50;
const OPEN = 0o077;

/** The note of a refused credential. */
export class Refusals {
  #place;
  #file;
  #directory;

  /**
   * Keep the note next to the cache, or in this user's own directory below systemd's cache
   * directory of the unit, or among the temporary files.
   * @param {Place} place
   * @param {Environ} environ
   * @param {string} [cache] the cache's file
   */
  constructor(place, environ, cache) {
    const user = process.geteuid?.();
    const own = user === undefined ? "infisical-config" : `infisical-config-${user}`;
    this.#place = place;
    const [cached = ""] = (environ["CACHE_DIRECTORY"] ?? "").split(":");
    const among = isAbsolute(cached) ? cached : environ["TMPDIR"] || tmpdir();
    this.#directory = cache ? null : join(among, own);
    this.#file = this.#directory
      ? join(this.#directory, `${digest(place).slice(0, 16)}.refused`)
      : `${cache}.refused`;
  }

  /** The path of the note. */
  get file() {
    return this.#file;
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

  /**
   * Log in while no other process with the same note does, so that replicas that start at the same
   * time make one wrong login together. They do not wait for a login that takes long, as it must
   * not cost them their start.
   * @template T
   * @param {{ timeout: number, background: boolean }} rest `timeout`: the seconds that are left for
   *     the start; `background`: the process may end meanwhile
   * @param {() => Promise<T>} login
   * @returns {Promise<T>}
   * @throws {ConfigError} refused_before, if another process was refused meanwhile
   */
  async alone({ timeout, background }, login) {
    const end = performance.now() + Math.min(PATIENCE, timeout / 2) * 1000;
    const lock = `${this.#file}.lock`;
    let isLocked;
    while ((isLocked = this.#lock(lock)) === false && performance.now() < end)
      await sleep(POLL_MS, undefined, { ref: !background });
    try {
      this.check();
      return await login();
    } finally {
      if (isLocked) remove(lock);
    }
  }

  /**
   * Return whether the lock was free; undefined where there is no place for it, and for the note.
   * @param {string} lock
   */
  #lock(lock) {
    try {
      if (this.#directory && !isOwn(this.#directory)) return undefined;
      const found = statSync(lock, { throwIfNoEntry: false });
      if (found && Date.now() - found.mtimeMs > LOCK_AGE * 1000) remove(lock);
    } catch {
      return undefined;
    }
    try {
      closeSync(openSync(lock, "wx", 0o600));
      return true;
    } catch (error) {
      return /** @type {NodeJS.ErrnoException} */ (error).code === "EEXIST" ? false : undefined;
    }
  }

  /** Note that the credential was refused; return false if there is no place for the note. */
  add() {
    const temporary = `${this.#file}.${process.pid}.${randomBytes(4).toString("hex")}`;
    try {
      if (this.#directory && !isOwn(this.#directory)) return false;
      const note = noteOf(this.#place, Date.now() / 1000);
      writeFileSync(temporary, note, { mode: 0o600, flag: "wx" });
      renameSync(temporary, this.#file);
      return true;
    } catch {
      remove(temporary);
      return false;
    }
  }

  /**
   * Wait until a restart may log in again, as no note keeps it from doing so at once. Does not wait
   * at a person's terminal.
   * @param {(text: string) => void} warn
   * @param {(milliseconds: number) => Promise<unknown>} [pause]
   */
  async wait(warn, pause = sleep) {
    if (process.stderr.isTTY) return;
    warn(
      `the refusal can't be noted in ${this.#file}, so this start ends only after ${WAIT} s: ` +
        "immediate restarts would lock the login",
    );
    await pause(WAIT * 1000);
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
