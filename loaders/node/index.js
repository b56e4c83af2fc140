// @ts-check
/** Start a service with its secrets from Infisical. The contract is in index.d.ts. */

import { loadFrom } from "./src/loader.js";
import { watchFrom } from "./src/watcher.js";

export { ConfigError, exitOnError } from "./src/errors.js";

/** @type {typeof import("./index.js").load} */
export const load = (/** @type {import("./src/loader.js").Options} */ options = {}) =>
  loadFrom(process.env, options);

/** @type {typeof import("./index.js").watch} */
export const watch = (/** @type {import("./src/watcher.js").Options} */ options = {}) =>
  watchFrom(process.env, options);
