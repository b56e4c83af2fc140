// @ts-check
/** Seal and open the cache of the last good start, in a format that both languages share. */

import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";

import { jsonObject } from "./json.js";

/** @typedef {import("./bootstrap.js").Place} Place */
/** @typedef {import("./merge.js").Secrets} Secrets */

const VERSION = 1;
const CIPHER = "aes-256-gcm";
const TAG_BYTES = 16;
const NONCE_BYTES = 12;

/**
 * Return the text of a cache file, sealed for this place and this client secret.
 * @param {Secrets} secrets
 * @param {Place} place
 * @param {number} now seconds since 1970
 */
export function seal(secrets, place, now) {
  const saved = Math.floor(now);
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, keyOf(place), nonce);
  cipher.setAAD(contextOf(place, saved));
  const plain = JSON.stringify(Object.fromEntries(secrets));
  const sealed = Buffer.concat([cipher.update(plain, "utf8"), cipher.final(), cipher.getAuthTag()]);
  const [first, second] = [nonce, sealed].map((bytes) => bytes.toString("base64"));
  return `${JSON.stringify({ version: VERSION, saved, nonce: first, sealed: second })}\n`;
}

/**
 * Open a text that `seal` made.
 * @param {string} text
 * @param {Place} place
 * @param {number} now seconds since 1970
 * @returns {{ secrets: Secrets, age: number } | null} null if it isn't for this place and secret
 */
export function open(text, place, now) {
  const file = jsonObject(text);
  if (file?.version !== VERSION || !Number.isSafeInteger(file.saved) || file.saved > now)
    return null;
  const plain = unseal(file, place);
  return plain && { secrets: new Map(Object.entries(plain)), age: now - file.saved };
}

/**
 * @param {{ saved: number, nonce: unknown, sealed: unknown }} file
 * @param {Place} place
 */
function unseal(file, place) {
  const nonce = Buffer.from(String(file.nonce), "base64");
  const sealed = Buffer.from(String(file.sealed), "base64");
  if (nonce.length !== NONCE_BYTES || sealed.length < TAG_BYTES) return null;
  const decipher = createDecipheriv(CIPHER, keyOf(place), nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(contextOf(place, file.saved));
  decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
  try {
    const plain = [decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()];
    return jsonObject(Buffer.concat(plain).toString("utf8"));
  } catch {
    return null;
  }
}

/** @param {Place} place */
const keyOf = ({ clientId, clientSecret }) =>
  new Uint8Array(hkdfSync("sha256", clientSecret, clientId, "infisical-config cache 1", 32));

/**
 * @param {Place} place
 * @param {number} saved
 */
function contextOf({ address, project, environment, folder, imports }, saved) {
  const others = imports.flatMap((part) => [part.project, part.folder]);
  return Buffer.from([VERSION, saved, address, project, environment, folder, ...others].join("\n"));
}

/**
 * Write the secrets into the file, completely or not at all; only its owner may read it.
 * @param {string} file in a directory that exists
 * @param {Secrets} secrets
 * @param {Place} place
 */
export function save(file, secrets, place) {
  const temporary = `${file}.${process.pid}.${randomBytes(4).toString("hex")}`;
  try {
    writeFileSync(temporary, seal(secrets, place, Date.now() / 1000), { mode: 0o600, flag: "wx" });
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/**
 * Return the secrets of the file for this place.
 * @param {string} file
 * @param {Place} place
 * @returns {{ secrets: Secrets, age: number } | null | undefined} undefined if there is no file,
 *     null if it can't be used
 */
export function restore(file, place) {
  try {
    return open(readFileSync(file, "utf8"), place, Date.now() / 1000);
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "ENOENT" ? undefined : null;
  }
}
