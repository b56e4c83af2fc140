// @ts-check
/** Read a folder's secrets by Infisical's official SDK, with a login if one is needed. */

import { createRequire } from "node:module";

import { failure } from "./errors.js";
import { jsonObject } from "./json.js";
import { merge } from "./merge.js";
import { listRefusal, loginRefusal, tokenEnded } from "./refusal.js";

// The SDK's CommonJS build loads in three quarters of the other one's time.
/** @type {typeof import("@infisical/sdk")} */
const { InfisicalSDK } = createRequire(import.meta.url)("@infisical/sdk");

/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {{ status: number, headers: { etag?: string | undefined }, data: any }} Answer */

export class Session {
  #sdk;
  #place;
  /** @type {string | undefined} */
  #etag;
  #loggedIn = false;
  /** Whether Infisical refused the credential. */
  isRefused = false;

  /** @param {import("./bootstrap.js").Place} place */
  constructor(place) {
    this.#place = place;
    this.#sdk = new InfisicalSDK({ siteUrl: place.address });
  }

  /**
   * Return the folder's secrets, unexpanded and with imports; null if they have not changed. Logs
   * in at first, and once again when the token has expired.
   * @param {Conversation} conversation
   * @returns {Promise<import("./merge.js").Secrets | null>}
   * @throws {ConfigError}
   */
  async secrets(conversation) {
    if (!this.#loggedIn) await this.#login(conversation);
    else {
      const answer = await this.#list(conversation);
      if (!tokenEnded(answer)) return this.#accept(answer);
      await this.#login(conversation);
    }
    return this.#accept(await this.#list(conversation));
  }

  /** @param {Conversation} conversation */
  async #login(conversation) {
    const { clientId, clientSecret } = this.#place;
    const answer = await this.#ask(conversation, () =>
      this.#sdk.auth().universalAuth.login({ clientId, clientSecret }),
    );
    const refusal = loginRefusal(answer);
    this.isRefused = refusal === "refused" && answer.status === 401;
    this.#refuse(refusal, answer);
    this.#loggedIn = true;
  }

  /** @param {Conversation} conversation */
  #list(conversation) {
    const { project: projectId, environment, folder: secretPath } = this.#place;
    return this.#ask(conversation, () =>
      this.#sdk.secrets().listSecrets({
        projectId,
        environment,
        secretPath,
        expandSecretReferences: false,
        includeImports: true,
        recursive: false,
      }),
    );
  }

  /** @param {Answer} answer of a list */
  #accept(answer) {
    if (answer.status === 304 && this.#etag) return null;
    this.#refuse(listRefusal(answer), answer);
    const secrets = merge(answer.data, this.#place);
    this.#etag = answer.headers.etag;
    return secrets;
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
    const answer = await conversation.send(given.length ? `${path}?${query}` : path, {
      method,
      headers: {
        accept: "application/json",
        "user-agent": "infisical-config",
        ...headers,
        ...(token && method === "GET" ? { authorization: `Bearer ${token}` } : {}),
        ...(this.#etag && method === "GET" ? { "if-none-match": this.#etag } : {}),
      },
      body,
    });
    return { ...answer, data: jsonObject(answer.body) };
  }

  /**
   * @param {import("../index.js").ErrorCode | null} code
   * @param {Answer} answer
   */
  #refuse(code, { status }) {
    if (code) throw failure(code, { ...this.#place, client_id: this.#place.clientId, status });
  }
}
