// @ts-check
/** JSON from elsewhere. */

/**
 * The object that a text holds as JSON, or null.
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
