// @ts-check
/** Make the requests of one start: one deadline for all, bounded retries. */

import { setTimeout as sleep } from "node:timers/promises";

import { LOOPBACK } from "./bootstrap.js";
import { TUNNEL, failure } from "./errors.js";
import { agentFor, exchange } from "./http.js";
import { pauseAfter } from "./retry.js";

/** @typedef {import("./http.js").Answer} Answer */

/** Node's codes for a certificate that it does not trust; a retry can't help. */
const UNTRUSTED_CODE =
  /^(CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|ERR_TLS_CERT_|INVALID_|PATH_LENGTH_|HOSTNAME_)/;
const AUTHORITIES = "NODE_EXTRA_CA_CERTS";

export class Conversation {
  #address;
  #timeout;
  #isVerified;
  #end;
  #timer;
  #connection;
  #controller = new AbortController();

  /**
   * @param {string} address
   * @param {number} timeout seconds for everything
   * @param {{ background?: boolean, isVerified?: boolean, connections?: number }} [options]
   *     `background`: do not keep the process alive; `isVerified`: the server's certificate is
   *     verified; `connections`: the most requests in parallel
   */
  constructor(address, timeout, options = {}) {
    const { background = false, isVerified = true, connections = 1 } = options;
    this.#address = address;
    this.#timeout = timeout;
    this.#isVerified = isVerified;
    this.#end = performance.now() + timeout * 1000;
    this.#timer = setTimeout(() => this.#controller.abort(), timeout * 1000);
    if (background) this.#timer.unref();
    const { signal } = this.#controller;
    this.#connection = { agent: agentFor(address, isVerified, connections), signal, background };
  }

  /**
   * Make a request, at most four times if a retry may help.
   * @param {string} path with a `/` at its beginning
   * @param {{ method: string, headers: Record<string, string>, body: string | undefined }} request
   * @param {{ once?: boolean }} [options] `once`: send it only once, such as a code, whose wrong
   *     attempts are counted
   * @returns {Promise<Answer>} of any status
   * @throws {ConfigError} deadline, unreachable, not_infisical
   */
  async send(path, request, { once = false } = {}) {
    const url = new URL(this.#address + path);
    for (let attempts = 1; ; attempts += 1) {
      const outcome = await this.#attempt(url, request);
      const answer = outcome instanceof Error ? null : outcome;
      const pause = once ? null : pauseAfter(attempts, answer);
      if (pause === null || pause * 1000 > this.#end - performance.now()) {
        if (answer) return answer;
        const [address, cause] = [this.#address, outcome];
        const tunnel = LOOPBACK.test(address) ? TUNNEL : "";
        throw failure("unreachable", { address, tunnel }, { cause });
      }
      await sleep(pause * 1000, undefined, { ref: !this.#connection.background });
    }
  }

  /**
   * Wait for a call that can't be aborted, at most until the deadline.
   * @template T
   * @param {Promise<T>} call
   * @returns {Promise<T>}
   * @throws {ConfigError} deadline
   */
  async within(call) {
    const { signal } = this.#controller;
    /** @type {() => void} */
    let stop = () => {};
    const late = new Promise((resolve) => {
      stop = () => resolve(null);
      signal.addEventListener("abort", stop);
      if (signal.aborted) stop();
    }).then(() => {
      throw failure("deadline", { address: this.#address, timeout: this.#timeout });
    });
    try {
      return await Promise.race([call, /** @type {Promise<never>} */ (late)]);
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  /**
   * @param {URL} url
   * @param {Parameters<typeof exchange>[1]} request
   */
  async #attempt(url, request) {
    try {
      return await exchange(url, request, this.#connection);
    } catch (error) {
      if (this.#controller.signal.aborted)
        throw failure("deadline", { address: this.#address, timeout: this.#timeout });
      const cause = /** @type {NodeJS.ErrnoException} */ (error);
      // The server speaks no HTTP, so a retry is useless. The cause is left out: it has the answer.
      if (cause.code?.startsWith("HPE_"))
        throw failure("not_infisical", { address: this.#address });
      if (UNTRUSTED_CODE.test(cause.code ?? "")) {
        const why = cause.message.split(";")[0];
        throw failure("unreachable", { address: this.#address, why, variable: AUTHORITIES });
      }
      return cause;
    }
  }

  /** The options of a conversation with another server, in the time that is left. */
  get rest() {
    const timeout = Math.max(0, (this.#end - performance.now()) / 1000);
    return { timeout, background: this.#connection.background, isVerified: this.#isVerified };
  }

  /** Close the timer and the connections, so that nothing keeps the process alive. */
  close() {
    clearTimeout(this.#timer);
    this.#connection.agent.destroy();
  }
}
