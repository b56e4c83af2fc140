// @ts-check
/** Parse `.env.local` and `.env.override`: lines of NAME=value, without expansions. */

import { notConfigured } from "./errors.js";

const LINE = /^\s*(?:export\s+)?([^\s=#][^\s=]*)\s*=\s*(.*?)\s*$/;
const QUOTED = /^(["'])(.*)\1$/;
const CONVENTIONAL = /^[A-Z_][A-Z0-9_]*$/;
const OVERRIDES = /^\s*#\s*overrides\s*$/i;
const OWN = /^INFISICAL_/;

/**
 * @typedef {object} LocalFile a developer's own file
 * @property {string} path
 * @property {Record<string, string>} settings the variables that a loader reads from the file
 * @property {Record<string, string>} overrides values that replace Infisical's
 * @property {string[]} ignored names that belong to neither, as `listForDisplay` returns them
 */

/**
 * Parse the text of a `.env.local`, whose overrides are below a line `# overrides`. Quotes around a
 * whole value are removed.
 * @param {import("./files.js").TextFile} file
 * @returns {LocalFile}
 * @throws {ConfigError} not_configured, for an override of several lines
 */
export function parseLocal({ path, text }) {
  const lines = split(text);
  const end = lines.findIndex((line) => OVERRIDES.test(line));
  const above = pairs(end < 0 ? lines : lines.slice(0, end));
  const below = pairs(end < 0 ? [] : lines.slice(end));
  const isSetting = (/** @type {string} */ name) => name === "NODE_ENV" || OWN.test(name);
  const settings = [...above.filter(([name]) => isSetting(name)), ...below.filter(isOwn)];
  return {
    path,
    settings: unquoted(settings),
    overrides: overridesIn(below, path),
    ignored: listForDisplay(above.map(([name]) => name).filter((name) => !isSetting(name))),
  };
}

/**
 * Parse the text of a `.env.override`, which has overrides only.
 * @param {import("./files.js").TextFile} file
 * @returns {LocalFile}
 * @throws {ConfigError} not_configured, for an override of several lines
 */
export function parseOverrides({ path, text }) {
  const all = pairs(split(text));
  return {
    path,
    settings: {},
    overrides: overridesIn(all, path),
    ignored: listForDisplay(all.filter(isOwn).map(([name]) => name)),
  };
}

/**
 * Return the names of a file's overrides, safe to print; "" without any.
 * @param {LocalFile} file
 */
export const overrideNames = ({ overrides }) => listForDisplay(Object.keys(overrides)).join(", ");

/** @typedef {[name: string, value: string]} Pair */

/** @param {string | null} text */
const split = (text) => (text ?? "").replace(/^\ufeff/, "").split(/\r?\n/);

/** @param {Pair} pair */
const isOwn = ([name]) => OWN.test(name);

/**
 * @param {string[]} lines
 * @returns {Pair[]}
 */
const pairs = (lines) =>
  lines.flatMap((line) => {
    const [, name, value] = LINE.exec(line) ?? [];
    return name === undefined || value === undefined ? [] : [/** @type {Pair} */ ([name, value])];
  });

/**
 * @param {Pair[]} all
 * @param {string} path
 */
function overridesIn(all, path) {
  const found = all.filter((pair) => !isOwn(pair));
  const open = found.find(([, value]) => /^["']/.test(value) && !QUOTED.test(value));
  if (open)
    throw notConfigured(
      `${path} has an override ${listForDisplay([open[0]])} whose quote does not end in its line: ` +
        "write the value in one line",
    );
  return unquoted(found);
}

/**
 * @param {Pair[]} all
 * @returns {Record<string, string>}
 */
const unquoted = (all) =>
  Object.fromEntries(all.map(([name, value]) => [name, QUOTED.exec(value)?.[2] ?? value]));

/**
 * Return names that are safe to print; count the others, which may be lines of a key.
 * @param {string[]} names
 */
function listForDisplay(names) {
  const each = [...new Set(names)];
  const shown = each.filter((name) => CONVENTIONAL.test(name));
  const others = each.length - shown.length;
  return others > 0 ? [...shown, `${others} of another form`] : shown;
}
