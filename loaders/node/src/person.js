// @ts-check
/** A person's own access in a start: the stored token, renewed once it has expired. */

import { failure } from "./errors.js";
import { isText, jsonObject } from "./json.js";
import { classifyUnexpected, foreignRefusal } from "./refusal.js";

/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {import("./keyring.js").Login} Login */
/** @typedef {import("./keyring.js").Logins} Logins */

const RENEW = "/api/v1/auth/token";
/** The server's error for a token of a session that was ended. */
const SESSION_GONE = "Session not found";

/** A person's login, with its latest token. */
export class Person {
  #login;
  #logins;

  /**
   * @param {Login} login
   * @param {Logins} logins where it is kept
   */
  constructor(login, logins) {
    this.#login = login;
    this.#logins = logins;
  }

  get email() {
    return this.#login.email;
  }

  get organization() {
    return this.#login.organization;
  }

  get token() {
    return this.#login.token;
  }

  /**
   * Get a new token, unless another process has got one in the meantime.
   * @param {Conversation} conversation
   * @throws {ConfigError} login_needed, if the login has ended
   */
  async renew(conversation) {
    const { address } = this.#login;
    await this.#logins.locked(address, async () => {
      const known = this.#logins.find(address);
      if (known && known.token !== this.#login.token) {
        this.#login = known;
        return;
      }
      if (!this.#login.refresh) throw this.#ended();
      const answer = await conversation.send(RENEW, {
        method: "POST",
        headers: {
          accept: "application/json",
          "user-agent": "infisical-config",
          cookie: `jid=${this.#login.refresh}`,
        },
        body: undefined,
      });
      const data = jsonObject(answer.body);
      if (answer.status !== 200) throw this.#refusal(answer.status, data);
      if (!isText(data?.token)) throw failure("not_infisical", { address });
      // If the answer has no new cookie, another process has just received and kept it.
      const refresh = cookieOf(answer);
      this.#login = { ...this.#login, token: data.token, refresh: refresh || this.#login.refresh };
      if (refresh) this.#logins.keep(this.#login);
    });
  }

  /**
   * @param {number} status
   * @param {any} data
   */
  #refusal(status, data) {
    const { address } = this.#login;
    const foreign = foreignRefusal({ status, data });
    if (!foreign && [400, 401, 403, 404].includes(status)) return this.#ended();
    return failure(foreign ?? classifyUnexpected(status), { address, status });
  }

  #ended() {
    return failure("login_needed", { address: this.#login.address, person: this.email });
  }
}

/**
 * Return the cookie that renews a token; empty without one in the answer.
 * @param {import("./http.js").Answer} answer
 */
export function cookieOf({ headers }) {
  const found = (headers["set-cookie"] ?? []).map((each) => /^jid=([^;]+)/.exec(each)?.[1]);
  return found.find(Boolean) ?? "";
}

/**
 * Return whether a list was refused because the session was ended elsewhere.
 * @param {{ status: number, data: any }} answer
 */
export const isSessionGone = ({ status, data }) => status === 404 && data?.error === SESSION_GONE;

/**
 * Return whether an account is locked, whatever its token may.
 * @param {{ status: number, data: any }} answer
 */
export const isLocked = ({ status, data }) =>
  data?.error === "UserLocked" || (status === 401 && /\block/i.test(data?.message));
