// @ts-check
/** Parse `.env.local`: lines of NAME=value, without expansions. */

const LINE = /^\s*(?:export\s+)?([^\s=#][^\s=]*)\s*=\s*(.*?)\s*$/;
const QUOTED = /^(["'])(.*)\1$/;
const CONVENTIONAL = /^[A-Z_][A-Z0-9_]*$/;
const OURS = /^(INFISICAL_.*|NODE_ENV)$/;

/**
 * @typedef {object} LocalFile
 * @property {Record<string, string>} settings the names that a loader reads from the file
 * @property {string[]} ignored the other names in it, as `listForDisplay` returns them
 */

/**
 * Parse the text of a `.env.local`; quotes around a whole value are removed.
 * @param {string} text
 * @returns {LocalFile}
 */
export function parseLocal(text) {
  /** @type {Record<string, string>} */
  const settings = {};
  const ignored = new Set();
  for (const line of text.replace(/^\ufeff/, "").split(/\r?\n/)) {
    const [, name, raw] = LINE.exec(line) ?? [];
    if (name === undefined || raw === undefined) continue;
    if (OURS.test(name)) settings[name] = QUOTED.exec(raw)?.[2] ?? raw;
    else ignored.add(name);
  }
  return { settings, ignored: listForDisplay([...ignored]) };
}

/**
 * Return names that are safe to print; count the others, which may be lines within a key.
 * @param {string[]} names
 */
function listForDisplay(names) {
  const shown = names.filter((name) => CONVENTIONAL.test(name));
  const others = names.length - shown.length;
  return others > 0 ? [...shown, `${others} of another form`] : shown;
}
