// @ts-check
/** Decide which failures to retry, and after what pause, without effects. */

const PAUSES = [0.5, 1, 2];
const SPREAD = 0.2;

/**
 * Return the seconds to wait before the next attempt, or null if there is none.
 * @param {number} attempts the number of attempts made
 * @param {{ status: number, headers: { "retry-after"?: string | undefined } } | null} answer
 *     null after a network error
 * @param {() => number} [random]
 * @returns {number | null}
 */
export function pauseAfter(attempts, answer, random = Math.random) {
  const base = PAUSES[attempts - 1];
  const again = answer === null || answer.status === 429 || answer.status >= 500;
  if (base === undefined || !again) return null;
  const asked = retryAfter(answer?.headers["retry-after"]);
  return asked ?? base * (1 + SPREAD * (2 * random() - 1));
}

/**
 * Return the seconds of a Retry-After header; null if it has none.
 * @param {string | undefined} header a number of seconds, or a date
 */
function retryAfter(header) {
  if (!header) return null;
  const seconds = Number(header);
  if (seconds >= 0) return seconds;
  const date = header.endsWith("GMT") ? Date.parse(header) : NaN;
  return Number.isNaN(date) ? null : Math.max(0, (date - Date.now()) / 1000);
}
