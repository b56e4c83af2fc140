// @ts-check
/** Read a service's secrets by Infisical's official SDK, with a login if one is needed. */

import { createRequire } from "node:module";

import { placesOf } from "./bootstrap.js";
import { failure, isTemporary } from "./errors.js";
import { jsonObject } from "./json.js";
import { merge } from "./merge.js";
import { listRefusal, loginRefusal, tokenEnded } from "./refusal.js";

// The SDK's CommonJS build loads in three quarters of the other one's time.
/** @type {typeof import("@infisical/sdk")} */
const { InfisicalSDK } = createRequire(import.meta.url)("@infisical/sdk");

/** @typedef {import("./bootstrap.js").Place} Place */
/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {{ status: number, headers: { etag?: string | undefined }, data: any }} Answer */

export class Session {
  #place;
  #own;
  #folders;
  #loggedIn = false;
  /** Whether Infisical refused the credential. */
  isRefused = false;

  /** @param {Place} place */
  constructor(place) {
    this.#place = place;
    this.#own = new Folder(place);
    const [, ...imports] = placesOf(place);
    this.#folders = [this.#own, ...imports.map((each) => new Folder(each))];
  }

  /**
   * Return the secrets of all folders, unexpanded and with imports; null if they have not changed.
   * Logs in at first, and once again when the token has expired; lists side by side.
   * @param {Conversation} conversation
   * @returns {Promise<import("./merge.js").Secrets | null>}
   * @throws {ConfigError}
   */
  async secrets(conversation) {
    if (this.#loggedIn) {
      await settle(this.#folders.map((each) => each.list(conversation)));
      const ended = this.#folders.filter((each) => each.isTokenEnded);
      if (ended.length > 0) await this.#logInAndList(conversation, ended);
    } else await this.#logInAndList(conversation, this.#folders);
    return this.#accept();
  }

  /**
   * @param {Conversation} conversation
   * @param {Folder[]} folders
   */
  async #logInAndList(conversation, folders) {
    const { refusal, answer, token } = await this.#own.logIn(conversation);
    this.isRefused = refusal === "refused" && answer.status === 401;
    this.#own.refuse(refusal, answer);
    this.#loggedIn = true;
    for (const each of this.#folders) each.use(token);
    await settle(folders.map((each) => each.list(conversation, { isTokenNew: true })));
  }

  #accept() {
    if (this.#folders.every((each) => each.isUnchanged)) return null;
    const secrets = merge(
      this.#folders.map((each) => each.data),
      this.#place,
    );
    // Only now: an answer of a read that failed as a whole has not been reported as a change.
    for (const each of this.#folders) each.keep();
    return secrets;
  }
}

/** A folder in a project, with a client of the SDK, the last answer, and the last accepted one. */
class Folder {
  #place;
  #sdk;
  /** @type {Answer | undefined} */
  #answer;
  /** @type {{ etag: string | undefined, data: any }} */
  #kept = { etag: undefined, data: null };
  /** Whether the last list was refused because of the token. */
  isTokenEnded = false;

  /** @param {Place} place */
  constructor(place) {
    this.#place = place;
    this.#sdk = new InfisicalSDK({ siteUrl: place.address });
  }

  /**
   * Log in, and return the token for all folders.
   * @param {Conversation} conversation
   */
  async logIn(conversation) {
    const { clientId, clientSecret } = this.#place;
    const answer = await this.#ask(conversation, () =>
      this.#sdk.auth().universalAuth.login({ clientId, clientSecret }),
    );
    return { answer, refusal: loginRefusal(answer), token: this.#sdk.auth().getAccessToken() };
  }

  /** @param {string | null} token */
  use(token) {
    if (token && token !== this.#sdk.auth().getAccessToken()) this.#sdk.auth().accessToken(token);
  }

  /**
   * Request the secrets, unless they have not changed since the last accepted answer.
   * @param {Conversation} conversation
   * @param {{ isTokenNew?: boolean }} [options] whether a new login can't help
   * @throws {ConfigError}
   */
  async list(conversation, { isTokenNew = false } = {}) {
    const { project: projectId, environment, folder: secretPath } = this.#place;
    const answer = await this.#ask(conversation, () =>
      this.#sdk.secrets().listSecrets({
        projectId,
        environment,
        secretPath,
        expandSecretReferences: false,
        includeImports: true,
        recursive: false,
      }),
    );
    this.#answer = answer;
    this.isTokenEnded = !isTokenNew && tokenEnded(answer);
    if (!this.isTokenEnded && !this.isUnchanged) this.refuse(listRefusal(answer), answer);
  }

  /** Whether the last answer says that the accepted one still counts. */
  get isUnchanged() {
    return this.#answer?.status === 304 && Boolean(this.#kept.etag);
  }

  /** The secrets as the server wrote them. */
  get data() {
    return this.isUnchanged ? this.#kept.data : this.#answer?.data;
  }

  /** Accept the last answer. */
  keep() {
    if (!this.isUnchanged) this.#kept = { etag: this.#answer?.headers.etag, data: this.data };
  }

  /**
   * Let the SDK make a request, over the conversation. Its own transport retries past the deadline,
   * waits forever for a body, follows redirects with the client secret, and has no setting for any
   * of that.
   * @param {Conversation} conversation
   * @param {() => Promise<unknown>} call
   * @returns {Promise<Answer>}
   */
  async #ask(conversation, call) {
    /** @type {Promise<Answer> | undefined} */
    let answer;
    const { apiClient } = /** @type {any} */ (this.#sdk);
    apiClient.request = async (
      /** @type {string} */ method,
      /** @type {string} */ path,
      /** @type {string | undefined} */ body,
      /** @type {{ params?: Record<string, string>, headers?: Record<string, string> }} */ config,
    ) => {
      answer = this.#send(conversation, method, path, body, config);
      return (await answer).data ?? {};
    };
    await call().catch((error) => {
      if (!answer) throw error; // The answer says more than the SDK's error.
    });
    return /** @type {Promise<Answer>} */ (/** @type {unknown} */ (answer));
  }

  /**
   * @param {Conversation} conversation
   * @param {string} method
   * @param {string} path
   * @param {string | undefined} body
   * @param {{ params?: Record<string, string | undefined>, headers?: Record<string, string> }} config
   * @returns {Promise<Answer>}
   */
  async #send(conversation, method, path, body, { params = {}, headers = {} }) {
    const token = this.#sdk.auth().getAccessToken();
    const given = Object.entries(params).filter(([, value]) => value !== undefined);
    const query = new URLSearchParams(/** @type {[string, string][]} */ (given));
    const { etag } = this.#kept;
    const answer = await conversation.send(given.length ? `${path}?${query}` : path, {
      method,
      headers: {
        accept: "application/json",
        "user-agent": "infisical-config",
        ...headers,
        ...(token && method === "GET" ? { authorization: `Bearer ${token}` } : {}),
        ...(etag && method === "GET" ? { "if-none-match": etag } : {}),
      },
      body,
    });
    return { ...answer, data: jsonObject(answer.body) };
  }

  /**
   * Throw the error of a code, with this folder in its message; null is none.
   * @param {import("../index.js").ErrorCode | null} code
   * @param {Answer} answer
   */
  refuse(code, { status }) {
    if (code) throw failure(code, { ...this.#place, client_id: this.#place.clientId, status });
  }
}

/**
 * Wait until all have ended. Of several failures, one that a later try can't mend counts first: a
 * cache must not hide it.
 * @param {Promise<void>[]} calls
 */
async function settle(calls) {
  const results = await Promise.allSettled(calls);
  const errors = results.flatMap((each) => (each.status === "rejected" ? [each.reason] : []));
  if (errors.length > 0) throw errors.find((error) => !isTemporary(error)) ?? errors[0];
}
