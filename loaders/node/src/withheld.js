// @ts-check
/** Decide which names get through to a service, and which values an environment can hold. */

import { CREDENTIALS, FAMILIES } from "./families.js";

const OWN = /^INFISICAL_/i;

/**
 * The rules by which names get through.
 * @typedef {object} Policy
 * @property {boolean} strict whether only names that are allowed or requested get through
 * @property {readonly string[]} allow names that get through although they are of a withheld
 *     family; the loader's own names never do
 */

/**
 * Return whether a name changes how programs run, or where they connect to.
 * @param {string} name
 * @param {boolean} [windows] whether names are the same in any case
 */
export const isWithheld = (name, windows = process.platform === "win32") =>
  FAMILIES.some((family) => has(family, name, windows || family.anyCase));

/**
 * @param {(typeof FAMILIES)[number]} family
 * @param {string} name
 * @param {boolean} anyCase
 */
function has(family, name, anyCase) {
  const folded = (/** @type {string} */ text) => (anyCase ? text.toUpperCase() : text);
  const shown = folded(name);
  const is = (/** @type {string} */ each) => shown === folded(each);
  const ends = (/** @type {string} */ each) => shown.endsWith(folded(each));
  if (family.names.some(is)) return true;
  const begins = family.prefixes.some((each) => shown.startsWith(folded(each)));
  if (!begins && !family.suffixes.some(ends)) return false;
  return family.closed || !(family.except.some(is) || CREDENTIALS.some(ends));
}

/**
 * Return the names, sorted, that could take over the process, and those that strict mode omits.
 * @param {readonly string[]} names of secrets
 * @param {readonly string[]} requested
 * @param {Policy} policy
 * @returns {{ withheld: string[], leftOut: string[] }}
 */
export function findRefused(names, requested, { strict, allow }) {
  const passing = new Set([...allow, ...requested]);
  const mayPass = (/** @type {string} */ name) => allow.includes(name) && !OWN.test(name);
  const withheld = names.filter((name) => isWithheld(name) && !mayPass(name)).sort();
  const leftOut = names.filter((name) => strict && !passing.has(name) && !withheld.includes(name));
  return { withheld, leftOut: leftOut.sort() };
}

/**
 * Return whether an environment can hold this name with this value.
 * @param {string} name
 * @param {string} value
 */
export const isExportable = (name, value) =>
  name !== "" && !/[=\0]/.test(name) && !value.includes("\0");
