// @ts-check
/** The grammar of `.env.local`: lines of NAME=value, nothing expanded. */

const LINE = /^\s*(?:export\s+)?([^\s=#][^\s=]*)\s*=\s*(.*?)\s*$/;
const QUOTED = /^(["'])(.*)\1$/;
const OURS = /^(INFISICAL_.*|NODE_ENV)$/;

/**
 * @typedef {object} LocalFile
 * @property {Record<string, string>} settings the names that a loader takes from the file
 * @property {string[]} ignored the other names in it
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
  return { settings, ignored: [...ignored] };
}
