// @ts-check
/** Turn the server's answer into a service's values, as pure functions of environments. */

import { placesOf } from "./bootstrap.js";
import { failure } from "./errors.js";
import { isExportable, findRefused } from "./withheld.js";

/** @typedef {import("./bootstrap.js").Place} Place */
/** @typedef {Map<string, string>} Secrets names and values */
/**
 * @typedef {{ secretKey: string, secretValue: string, secretValueHidden?: boolean,
 *     type?: string }} Secret
 */
/** @typedef {{ secrets: Secret[], imports?: { secrets: Secret[] }[] }} Answer */

/** The type of a person's own value, which only version 3 of the API lists unrequested. */
const PERSONAL = "personal";
const OPEN = { strict: false, allow: [] };

/**
 * Merge the answers for a place by the server's rules: a later import wins over an earlier one, own
 * secrets win over all imports. The rules apply to folders of other projects as well.
 * @param {readonly Answer[]} answers of the own folder, then of each of `place.imports`
 * @param {Place} place
 * @returns {Secrets}
 * @throws {ConfigError} hidden, empty
 */
export function merge(answers, place) {
  const places = placesOf(place);
  const lists = answers.map(({ secrets, imports = [] }, index) => {
    const own = secrets.filter(({ type }) => type !== PERSONAL);
    const imported = imports.flatMap((group) => group.secrets);
    refuseHidden([...own, ...imported], places[index] ?? place);
    return [...imported, ...own];
  });
  const [own = [], ...others] = lists;
  const secrets = new Map(
    [...others, own].flat().map((secret) => [secret.secretKey, secret.secretValue]),
  );
  if (secrets.size === 0) {
    const folder = places.map((each) => each.folder).join(", ");
    throw failure("empty", { ...place, folder, person: place.person?.email });
  }
  return secrets;
}

/**
 * @param {readonly Secret[]} secrets
 * @param {Place} place
 */
function refuseHidden(secrets, place) {
  const hidden = secrets.filter((secret) => secret.secretValueHidden);
  if (hidden.length === 0) return;
  const names = [...new Set(hidden.map((secret) => secret.secretKey))].join(", ");
  throw failure("hidden", { ...place, names, person: place.person?.email });
}

/**
 * @typedef {object} Resolved
 * @property {Secrets} values the service's values
 * @property {string[]} withheld names that could take over a process
 * @property {string[]} leftOut names that strict mode leaves out
 * @property {string[]} notExported names in `values` that no environment can hold
 */

/**
 * Merge secrets with an environment. Without `override` the environment wins. Requested names that
 * Infisical lacks are read from the environment.
 * @param {Secrets} secrets
 * @param {import("./bootstrap.js").Environ} environ
 * @param {{ override?: boolean | undefined, requested?: readonly string[],
 *     policy?: import("./withheld.js").Policy, overrides?: Record<string, string> }} options
 *     `overrides`: values that replace those of secrets
 * @returns {Resolved}
 */
export function resolve(secrets, environ, options) {
  const { override = false, requested = [], policy = OPEN, overrides = {} } = options;
  const mine = new Map(Object.entries(overrides));
  /** @type {Secrets} */
  const values = new Map();
  const own = new Map(Object.entries(environ));
  const others = [...secrets.keys()].filter((name) => !mine.has(name));
  const { withheld, leftOut } = findRefused(others, requested, policy);
  const out = new Set([...withheld, ...leftOut]);
  for (const [name, value] of [...secrets, ...mine])
    if (!out.has(name)) values.set(name, (override ? undefined : own.get(name)) ?? value);
  for (const name of requested) {
    const value = own.get(name);
    if (!values.has(name) && value !== undefined) values.set(name, value);
  }
  return {
    values,
    withheld,
    leftOut,
    notExported: [...values]
      .filter(([name, value]) => !isExportable(name, value))
      .map(([name]) => name)
      .sort(),
  };
}

/**
 * Check that names exist and are not empty.
 * @param {readonly string[]} required
 * @param {Secrets} values
 * @param {Place} place
 * @throws {ConfigError} missing, with all of them
 */
export function insistOn(required, values, place) {
  const missing = required.filter((name) => !values.get(name));
  if (missing.length > 0)
    throw failure("missing", { ...place, names: missing.join(", "), person: undefined });
}
