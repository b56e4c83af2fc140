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

/**
 * Return whether a value of JSON is an object, and no list.
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
export const isObject = (value) =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * Return whether a value of JSON is a text that is not empty.
 * @param {unknown} value
 */
export const isText = (value) => typeof value === "string" && value !== "";
