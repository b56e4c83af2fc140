// @ts-check
/** Read a service's secrets from Infisical, with a login if one is needed. */

import { placesOf } from "./bootstrap.js";
import { failure, isTemporary } from "./errors.js";
import { merge } from "./merge.js";
import { isLocked, isSessionGone } from "./person.js";
import { reasonOf } from "./platform.js";
import {
  foreignRefusal,
  listRefusal,
  loginRefusal,
  tokenEnded,
  tokenLoginRefusal,
} from "./refusal.js";

/** @typedef {import("./bootstrap.js").Place} Place */
/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {{ status: number, headers: { etag?: string | undefined }, data: any }} Answer */
/**
 * Sends the two requests of a start, by HTTP or through the SDK.
 * @typedef {object} Client
 * @property {(place: Place, conversation: Conversation) => Promise<Answer>} logIn
 * @property {(place: Place, conversation: Conversation, token: string, etag?: string)
 *     => Promise<Answer>} list
 */

/** The fraction of its lifetime after which an access token from a login by tokens is renewed. */
const RENEWED_AFTER = 0.8;

export class Session {
  #place;
  #own;
  #folders;
  #token = "";
  #renewsAt = Infinity;
  #refusals;
  /** True once Infisical refused the credential, and no file could note that. */
  isForgotten = false;

  /**
   * @param {Place} place
   * @param {import("./refusals.js").Refusals} refusals where a refused credential is noted
   * @param {Client} client
   */
  constructor(place, refusals, client) {
    this.#place = place;
    this.#refusals = refusals;
    this.#token = place.person?.token ?? "";
    this.#own = new Folder(place, client);
    const [, ...imports] = placesOf(place);
    this.#folders = [this.#own, ...imports.map((each) => new Folder(each, client))];
  }

  /**
   * Return the secrets of all folders, unexpanded and with imports; null if they have not changed.
   * Logs in at first, unless a person's token is known, and again when the token has expired. Lists
   * are requested in parallel.
   * @param {Conversation} conversation
   * @returns {Promise<import("./merge.js").Secrets | null>}
   * @throws {ConfigError}
   */
  async secrets(conversation) {
    if (this.#token && performance.now() < this.#renewsAt) {
      await settle(this.#folders.map((each) => each.list(conversation, this.#token)));
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
    this.#token = await this.#logIn(conversation);
    await settle(folders.map((each) => each.list(conversation, this.#token, { isTokenNew: true })));
  }

  /**
   * Return a new token.
   * @param {Conversation} conversation
   * @returns {Promise<string>}
   */
  async #logIn(conversation) {
    const { person, platform } = this.#place;
    if (person) {
      await person.renew(conversation);
      return person.token;
    }
    const logIn = () => this.#logInByCredential(conversation);
    // A platform gives another token the next time, so no note of a refusal concerns it.
    return platform ? await logIn() : await this.#refusals.alone(conversation.rest, logIn);
  }

  /**
   * @param {Conversation} conversation
   * @returns {Promise<string>}
   */
  async #logInByCredential(conversation) {
    const answer = await this.#own.logIn(conversation);
    const { platform } = this.#place;
    const refusal = platform ? tokenLoginRefusal(answer) : loginRefusal(answer);
    if (!platform && refusal === "refused" && answer.status === 401)
      this.isForgotten = !this.#refusals.add();
    this.#own.refuse(refusal, answer, { isTokenLogin: Boolean(platform) });
    const { accessToken, expiresIn } = answer.data;
    if (platform && expiresIn > 0)
      this.#renewsAt = performance.now() + expiresIn * RENEWED_AFTER * 1000;
    return accessToken;
  }

  #accept() {
    if (this.#folders.every((each) => each.isUnchanged)) return null;
    const secrets = merge(
      this.#folders.map((each) => each.data),
      this.#place,
    );
    // Answers are accepted only after the whole read has succeeded. Otherwise the next read would
    // find them unchanged, although no change was reported.
    for (const each of this.#folders) each.keep();
    return secrets;
  }
}

/** A folder in a project, with the last answer, and the last accepted one. */
class Folder {
  #place;
  #client;
  /** @type {Answer | undefined} */
  #answer;
  /** @type {{ etag: string | undefined, data: any }} */
  #kept = { etag: undefined, data: null };
  /** True if the last list was refused because of the token. */
  isTokenEnded = false;

  /**
   * @param {Place} place
   * @param {Client} client shared by all folders
   */
  constructor(place, client) {
    this.#place = place;
    this.#client = client;
  }

  /**
   * Log in, and return the answer with the token for all folders.
   * @param {Conversation} conversation
   * @throws {ConfigError}
   */
  async logIn(conversation) {
    const answer = await this.#client.logIn(this.#place, conversation);
    this.refuse(foreignRefusal(answer), answer);
    return answer;
  }

  /**
   * Request the secrets, unless they have not changed since the last accepted answer.
   * @param {Conversation} conversation
   * @param {string} token
   * @param {{ isTokenNew?: boolean }} [options] whether a new login can't help
   * @throws {ConfigError}
   */
  async list(conversation, token, { isTokenNew = false } = {}) {
    const answer = await this.#client.list(this.#place, conversation, token, this.#kept.etag);
    this.#answer = answer;
    this.refuse(foreignRefusal(answer), answer);
    const { person } = this.#place;
    if (person && isLocked(answer)) this.refuse("locked", answer);
    const isGone = Boolean(person) && isSessionGone(answer);
    this.isTokenEnded = !isTokenNew && (tokenEnded(answer) || isGone);
    if (!this.isTokenEnded && !this.isUnchanged) this.refuse(listRefusal(answer), answer);
  }

  /** Return whether the last answer says that the accepted one still counts. */
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
   * Throw the error of a code, with this folder in its message; do nothing for null.
   * @param {import("../index.js").ErrorCode | null} code
   * @param {Answer} answer
   * @param {{ isTokenLogin?: boolean }} [more]
   */
  refuse(code, { status, data }, more = {}) {
    if (!code) return;
    const { clientId: client_id, person, platform } = this.#place;
    const reason = platform && code === "refused" ? { reason: reasonOf(data) } : {};
    throw failure(code, {
      ...this.#place,
      client_id,
      status,
      ...reason,
      ...more,
      person: person?.email,
    });
  }
}

/**
 * Wait until all calls have ended. Of several failures, throw one that a later try can't mend, so
 * that a cache does not hide it.
 * @param {Promise<void>[]} calls
 */
async function settle(calls) {
  const results = await Promise.allSettled(calls);
  const errors = results.flatMap((each) => (each.status === "rejected" ? [each.reason] : []));
  if (errors.length > 0) throw errors.find((error) => !isTemporary(error)) ?? errors[0];
}
