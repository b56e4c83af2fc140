// @ts-check
/** Write the cache, and start from it while Infisical is down. */

import { ConfigError, isTemporary } from "./errors.js";

const DAY = 86400;

/** @typedef {import("./merge.js").Secrets} Secrets */
/**
 * @typedef {object} Use
 * @property {import("../index.js").CacheOptions} cache
 * @property {import("./bootstrap.js").Place} place
 * @property {(text: string) => void} warn
 */

/**
 * Write secrets into the cache; a failure is only a warning.
 * @param {Secrets} secrets
 * @param {Use} use
 */
export async function remember(secrets, { cache: { file }, place, warn }) {
  const { save } = await import("./cache.js");
  try {
    save(file, secrets, place);
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    warn(`the cache ${file} can't be written (${code}): check its directory`);
  }
}

/**
 * Return the cached secrets, if the error means that Infisical is down and they are not too old.
 * @param {unknown} error the failure of a start without a cache
 * @param {Use} use
 * @returns {Promise<Secrets>}
 * @throws the given error if there is no usable cache
 */
export async function fallBack(error, { cache: { file, maxAge = DAY }, place, warn }) {
  if (!isTemporary(error)) throw error;
  const { restore } = await import("./cache.js");
  const found = restore(file, place);
  if (found === null)
    warn(
      `the cache ${file} can't be used: it is damaged, or belongs to another credential or place`,
    );
  if (!found) throw error;
  const age = inWords(found.age);
  if (found.age > maxAge)
    throw new ConfigError(
      error.code,
      `${error.message}; the cache ${file} is ${age} old, older than ${inWords(maxAge)}`,
    );
  warn(`${error.message}. STARTING WITH THE CACHE ${file}, which is ${age} old`);
  return found.secrets;
}

/**
 * Return a time span for people, such as `5 min`.
 * @param {number} seconds
 */
export function inWords(seconds) {
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  return seconds < 7200 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
}
