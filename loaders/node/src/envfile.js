// @ts-check
/** The grammar of `.env.local`: lines of NAME=value, nothing expanded. */

const LINE = /^\s*(?:export\s+)?([^\s=#][^\s=]*)\s*=\s*(.*?)\s*$/;
const QUOTED = /^(["'])(.*)\1$/;
const CONVENTIONAL = /^[A-Z_][A-Z0-9_]*$/;
const OURS = /^(INFISICAL_.*|NODE_ENV)$/;

/**
 * @typedef {object} LocalFile
 * @property {Record<string, string>} settings the names that a loader takes from the file
 * @property {string[]} ignored the other names in it, as `told` tells them
 */

/**
 * Read the text of a `.env.local`; quotes around a whole value are taken off.
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
  return { settings, ignored: told([...ignored]) };
}

/**
 * Names as they may be shown: what has not the form of one may be a line in the middle of a key.
 * @param {string[]} names
 */
function told(names) {
  const shown = names.filter((name) => CONVENTIONAL.test(name));
  const others = names.length - shown.length;
  return others > 0 ? [...shown, `${others} of another form`] : shown;
}
