// @ts-check
/** Parse JSON from other programs. */

/**
 * Return the object of a text in JSON, or null.
 * @param {string} text
 * @returns {any}
 */
export function jsonObject(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null; // Never the parser's message: it quotes the text.
  }
}
