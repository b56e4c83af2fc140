// @ts-check
/** Refresh in the background: read again regularly, and report changes. */

import { ConfigError, notConfigured, say } from "./errors.js";
import { Loader } from "./loader.js";

/** @typedef {import("./merge.js").Secrets} Secrets */
/** @typedef {import("./loader.js").Options & import("../index.js").WatchOptions<any>} Options */

const EVERY = 60;
const SLOWEST = 10;

/**
 * Load once, then check for changes.
 * @param {import("./bootstrap.js").Environ} environ
 * @param {Options} options
 * @returns {Promise<import("../index.js").Watch<any>>}
 */
export async function watchFrom(environ, options) {
  if (options.client === "sdk")
    throw notConfigured(
      "a watch sends requests with ETags, which the SDK can't: leave out the option client",
    );
  // A copy: with `into`, the environment gets Infisical's values, which would win over later ones.
  const loader = new Loader({ ...environ }, options);
  return new Watcher(loader, loader.resolve(await loader.start()), options);
}

class Watcher {
  #loader;
  #options;
  #current;
  /** @type {Secrets | null} */
  #pending = null;
  #failures = 0;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  #stopped = false;

  /**
   * @param {Loader} loader
   * @param {ReturnType<Loader["resolve"]>} resolved
   * @param {Options} options
   */
  constructor(loader, resolved, options) {
    this.#loader = loader;
    this.#current = resolved;
    this.#options = options;
    this.#schedule();
  }

  /** The current values. */
  get config() {
    return this.#current.config;
  }

  /** Stop reading. */
  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #schedule() {
    if (this.#stopped) return;
    const { every = EVERY } = this.#options;
    const slower = Math.min(2 ** this.#failures, SLOWEST);
    this.#timer = setTimeout(() => void this.#tick(), every * slower * 1000).unref();
  }

  async #tick() {
    try {
      await this.#refresh();
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      // A second wrong login is one step towards a locked identity.
      if (isRefusedLogin(error)) this.stop();
      (this.#options.onError ?? report)(error);
    } finally {
      this.#schedule();
    }
  }

  async #refresh() {
    this.#pending = (await this.#loader.poll()) ?? this.#pending;
    if (!this.#pending || this.#stopped) return;
    const resolved = this.#loader.resolve(this.#pending);
    this.#pending = null;
    const changed = changedNames(this.#current.values, resolved.values);
    if (changed.length === 0) return;
    this.#current = resolved;
    await this.#options.onChange?.(resolved.config, changed);
  }
}

/**
 * @param {Secrets} before
 * @param {Secrets} after
 */
function changedNames(before, after) {
  const names = new Set([...before.keys(), ...after.keys()]);
  return [...names].filter((name) => before.get(name) !== after.get(name)).sort();
}

/** @param {unknown} error */
const isRefusedLogin = (error) =>
  error instanceof ConfigError && (error.code === "refused" || error.code === "locked");

/** @param {unknown} error */
const report = (error) => say(error instanceof Error ? error.message : String(error));
