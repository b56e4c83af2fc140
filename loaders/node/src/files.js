// @ts-check
/** Find the two files that a start may read; refuse those that somebody else may have written. */

import { lstatSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

import { notConfigured } from "./errors.js";

const PROJECT_FILE = ".infisical.json";
const ENV_FILE = ".env.local";
const OVERRIDES_FILE = ".env.override";
const ROOT = 0;
const WRITABLE = { group: 0o020, others: 0o002 };
const OPEN = 0o077;

/**
 * @typedef {object} TextFile
 * @property {string} path
 * @property {string | null} text null if there is no such file
 */
/** @typedef {{ uid: number, gid: number }} Process the user and group that this process runs as */
/**
 * @typedef {object} Directory its owner, group and mode
 * @property {number} uid
 * @property {number} gid
 * @property {number} mode
 * @property {number | null} file the owner of the file in it, null if there is none
 */

/**
 * Decide what to do with a directory on the way from `start` upwards. A directory counts if only
 * root, this process's user and the owner of `start` may put a file into it. The search ends at any
 * other directory. A file in it is refused, except in `start` itself if one of these users owns it.
 * @param {Directory} place
 * @param {Directory} start
 * @param {Process} user
 * @returns {"take" | "go on" | "stop" | "refuse"}
 */
export function judge(place, start, user) {
  const owners = [ROOT, user.uid, start.uid];
  const groups = start.mode & WRITABLE.group ? [user.gid, start.gid] : [user.gid];
  const openToGroup = place.mode & WRITABLE.group && !groups.includes(place.gid);
  if (owners.includes(place.uid) && !openToGroup && !(place.mode & WRITABLE.others))
    return place.file === null ? "go on" : "take";
  if (place.file === null) return "stop";
  return place === start && owners.includes(place.file) ? "take" : "refuse";
}

/**
 * Find the `.infisical.json` that counts, in a directory and its parents, and the path of
 * `.env.local`: next to it, or in the directory itself if none counts.
 * @param {string} directory
 * @param {(text: string) => void} warn called with a file that exists and does not count
 * @returns {{ project: TextFile, localPath: string }}
 * @throws {ConfigError} not_configured, if it can't be read
 */
export function findFiles(directory, warn) {
  const top = resolve(directory);
  const start = inspect(join(top, PROJECT_FILE));
  for (let at = top; ; at = dirname(at)) {
    const path = join(at, PROJECT_FILE);
    const place = at === top ? start : inspect(path);
    const verdict = place ? judgeForProcess(place, start ?? place) : "go on";
    if (verdict === "take") return { project: read(path), localPath: join(at, ENV_FILE) };
    if (verdict === "refuse")
      warn(
        `${path} is not read, because somebody else may have written it: keep it in a directory ` +
          "that only its owner and this user may write to",
      );
    if (verdict !== "go on" || at === dirname(at)) break;
  }
  return {
    project: { path: join(top, PROJECT_FILE), text: null },
    localPath: join(top, ENV_FILE),
  };
}

/**
 * Read a file that only its owner may open.
 * @param {string} path
 * @returns {TextFile}
 * @throws {ConfigError} not_configured, if it is open to others, or somebody else may have put it
 *     there
 */
export function readPrivate(path) {
  const place = inspect(path);
  if (place && judgeForProcess(place, place) === "refuse")
    throw notConfigured(`${path} belongs to another user: delete it, or make it your own`);
  if (place && place.file !== null && self() && statSync(path).mode & OPEN)
    throw notConfigured(`${path} is open to other users: run \`chmod 600 ${path}\``);
  return read(path);
}

/**
 * Return the path of the file of overrides next to an `.env.local`.
 * @param {string} localPath
 */
export const overridesPath = (localPath) => join(dirname(localPath), OVERRIDES_FILE);

/**
 * Return whether anything exists at a path, even a broken link.
 * @param {string} path
 */
export const exists = (path) => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

/** @returns {Process | null} null on Windows, where modes have no meaning */
function self() {
  const [uid, gid] = [process.geteuid?.(), process.getegid?.()];
  return uid === undefined || gid === undefined ? null : { uid, gid };
}

/**
 * @param {Directory} place
 * @param {Directory} start
 */
function judgeForProcess(place, start) {
  const user = self();
  if (user) return judge(place, start, user);
  return place.file === null ? "go on" : "take";
}

/**
 * Return the attributes of a file's directory; null if it, and so the file, can't be read.
 * @param {string} path
 * @returns {Directory | null}
 */
function inspect(path) {
  try {
    const { uid, gid, mode } = statSync(dirname(path));
    // The owner of the link itself, who decides which file is read.
    return {
      uid,
      gid,
      mode,
      file: statSync(path, { throwIfNoEntry: false }) ? lstatSync(path).uid : null,
    };
  } catch {
    return null;
  }
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
      throw notConfigured(`${path} is not text in UTF-8: save it as UTF-8`);
    if (code === "ENOENT" || code === "ENOTDIR") return { path, text: null };
    throw notConfigured(`${path} can't be read (${code}): check its owner and its mode`);
  }
}
