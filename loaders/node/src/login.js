// @ts-check
/** Log a person in: by e-mail, password and second factor, or in the browser. */

import { hostname } from "node:os";

import { pastedLogin, waitForBrowser } from "./callback.js";
import { Conversation } from "./conversation.js";
import { ConfigError, failure, notConfigured } from "./errors.js";
import { isText, jsonObject } from "./json.js";
import { cookieOf, isLocked } from "./person.js";
import { classifyUnexpected, foreignRefusal, isRouteMissing } from "./refusal.js";
import { ENDED } from "./terminal.js";

/** @typedef {import("./keyring.js").Login} Login */
/** @typedef {{ status: number, data: any, cookie: string, date: string | undefined }} Reply */
/** @typedef {{ id: string, name: string }} Organization */
/**
 * @typedef {object} Terminal functions to ask a person and to print
 * @property {(question: string, options?: { hidden?: boolean }) => Promise<string>} ask
 * @property {(text: string) => void} tell
 * @property {(url: string) => void} [open] opens the browser
 */
/**
 * @typedef {object} LoginOptions
 * @property {string | undefined} [email]
 * @property {string | undefined} [organization] a name, a slug or an id
 * @property {boolean} [browser] log in in the browser
 * @property {boolean} [paste] ask for the token that the page shows
 */

const TIMEOUT = 20;
const ORGANIZATION = "/api/v1/organization";
const RECOVERY_CODE = /^.{8}$/;
const IN_THE_BROWSER = "log in by `with-secrets login --browser`";

/** An Infisical that a person logs in at, with one connection. */
export class Instance {
  #address;
  #conversation;
  #agent;

  /**
   * @param {string} address
   * @param {boolean} isVerified whether its certificate is verified
   */
  constructor(address, isVerified) {
    this.#address = address;
    this.#conversation = new Conversation(address, TIMEOUT, { isVerified });
    // The server knows a session by address and program. Without the machine's name, a renewal by
    // one of two machines behind one address would end the session of the other.
    this.#agent = `infisical-config (${hostname().replace(/[^\w.-]/g, "-")})`;
  }

  get address() {
    return this.#address;
  }

  /**
   * Make a request. A refusal by something in place of Infisical is an error.
   * @param {string} method
   * @param {string} path
   * @param {{ token?: string, cookie?: string, body?: object, once?: boolean }} [options]
   * @returns {Promise<Reply>}
   * @throws {ConfigError}
   */
  async ask(method, path, { token, cookie, body, once = false } = {}) {
    const headers = {
      accept: "application/json",
      "user-agent": this.#agent,
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(cookie ? { cookie: `jid=${cookie}` } : {}),
      ...(body ? { "content-type": "application/json" } : {}),
    };
    const text = body && JSON.stringify(body);
    const answer = await this.#conversation.send(path, { method, headers, body: text }, { once });
    const { status } = answer;
    const data = jsonObject(answer.body);
    const foreign = foreignRefusal({ status, data });
    if (foreign) throw failure(foreign, { address: this.#address, status });
    return {
      status,
      data,
      cookie: cookieOf(answer),
      date: answer.headers.date,
    };
  }

  /**
   * Return the error of an answer that is none of the expected ones.
   * @param {Reply} reply
   */
  unexpected({ status }) {
    return failure(classifyUnexpected(status), { address: this.#address, status });
  }

  /** Close the connection. */
  close() {
    this.#conversation.close();
  }
}

/**
 * Log a person in, and return the login. Nothing is tried twice: the third wrong code would lock
 * the account.
 * @param {() => Instance} connect opens a connection; an open one could end while a person types
 * @param {Terminal} terminal
 * @param {LoginOptions} options
 * @returns {Promise<Login>}
 * @throws {ConfigError}
 */
export async function logIn(connect, terminal, options) {
  const within = async (/** @type {(instance: Instance) => Promise<any>} */ action) => {
    const instance = connect();
    try {
      return await action(instance);
    } finally {
      instance.close();
    }
  };
  const { address, hasPasswords } = await within(lookAt).catch(explain);
  if (options.paste || options.browser || !hasPasswords)
    return await within((instance) => logInByBrowser(instance, terminal, options));
  const email =
    options.email?.toLowerCase() ||
    (await terminal.ask("E-mail (empty: log in in the browser): ")).toLowerCase();
  if (!email) return await within((instance) => logInByBrowser(instance, terminal, options));
  const password = await terminal.ask(`Password of ${email}: `, { hidden: true });
  if (!password) throw notConfigured(ENDED);
  const token = await within((instance) => checkPassword(instance, email, password));
  const organizations = await within((instance) => listOrganizations(instance, token));
  const chosen = await choose(organizations, address, terminal, options.organization);
  const selected = await within((instance) => select(instance, token, chosen, email));
  const session = selected.isMfaEnabled
    ? await verify(within, terminal, selected, email)
    : { token: selected.token, refresh: selected.refresh };
  return { address, email, organization: chosen.name, ...session };
}

/**
 * Throw an error again. Without a connection it names `doctor`, since the certificate may be wrong.
 * @param {unknown} error
 * @returns {never}
 */
function explain(error) {
  if (!(error instanceof ConfigError) || error.code !== "unreachable") throw error;
  throw new ConfigError(error.code, `${error.message}; \`with-secrets doctor\` says why`);
}

/** @param {Instance} instance */
async function lookAt(instance) {
  const { address } = instance;
  const reply = await instance.ask("GET", "/api/v1/admin/config");
  if (reply.status !== 200) throw instance.unexpected(reply);
  if (typeof reply.data?.config !== "object") throw failure("not_infisical", { address });
  const { enabledLoginMethods: methods } = reply.data.config;
  return { address, hasPasswords: !Array.isArray(methods) || methods.includes("email") };
}

/**
 * @param {Instance} instance
 * @param {Terminal} terminal
 * @param {LoginOptions} options
 * @returns {Promise<Login>}
 */
async function logInByBrowser(instance, terminal, { paste, email }) {
  const { address } = instance;
  const found = paste
    ? pastedLogin(await terminal.ask("Token that the page shows: ", { hidden: true }))
    : await waitForBrowser(address, terminal.tell, terminal.open);
  const again = await organizationOf(found.token, address, instance);
  // Any program of this machine can reach the port.
  if (email && email.toLowerCase() !== again.email.toLowerCase())
    throw new ConfigError(
      "refused",
      `the browser sent the login of ${again.email}, not of ${email.toLowerCase()}: log out ` +
        "there, and log in again",
    );
  return { address, email: again.email, organization: again.name, token: found.token, refresh: "" };
}

/**
 * Return the person and the organization of a token, as the server reports them.
 * @param {string} token
 * @param {string} address
 * @param {Instance} instance
 */
async function organizationOf(token, address, instance) {
  const { data, status } = await instance.ask("GET", "/api/v1/user", { token });
  if (status !== 200 || !isText(data?.user?.email))
    throw new ConfigError("refused", `${address} refused the token of the browser: log in again`);
  const organizations = await listOrganizations(instance, token);
  const { organizationId, subOrganizationId: id = organizationId } = claimsOf(token);
  const name = organizations.find((each) => each.id === id)?.name ?? "";
  return { email: data.user.email, name };
}

/**
 * @param {Instance} instance
 * @param {string} email
 * @param {string} password
 * @returns {Promise<string>} a token without an organization
 */
async function checkPassword(instance, email, password) {
  const { address } = instance;
  const body = { email, password };
  const reply = await instance.ask("POST", "/api/v3/auth/login", { body, once: true });
  if (reply.status === 200 && isText(reply.data?.accessToken)) return reply.data.accessToken;
  if (isLocked(reply)) throw lockedError(address, email);
  if (reply.data?.error === "Captcha Required")
    throw new ConfigError(
      "refused",
      `${address} asks for a captcha after too many wrong passwords of ${email}: ` +
        `reset the password, or ${IN_THE_BROWSER}`,
    );
  if ([400, 401, 403, 422].includes(reply.status))
    throw new ConfigError(
      "refused",
      `${address} refused the e-mail or the password of ${email}: check both, or, if the account ` +
        `is one of Google, GitHub or another provider, ${IN_THE_BROWSER}`,
    );
  if (reply.status === 200) throw failure("not_infisical", { address });
  throw instance.unexpected(reply);
}

/**
 * List the organizations of a person, also those whose invitation is not accepted yet: choosing one
 * accepts it. An older server lists only the others.
 * @param {Instance} instance
 * @param {string} token
 * @returns {Promise<Organization[]>}
 */
async function listOrganizations(instance, token) {
  let reply = await instance.ask("GET", `${ORGANIZATION}/accessible-with-sub-orgs`, { token });
  if (isRouteMissing(reply)) reply = await instance.ask("GET", ORGANIZATION, { token });
  if (isLocked(reply)) throw lockedError(instance.address);
  if (reply.status !== 200) throw instance.unexpected(reply);
  if (!Array.isArray(reply.data?.organizations))
    throw failure("not_infisical", { address: instance.address });
  return reply.data.organizations.flatMap((/** @type {any} */ each) => [
    each,
    ...(each.subOrganizations ?? []).map((/** @type {any} */ below) => ({
      ...below,
      name: `${each.name} / ${below.name}`,
    })),
  ]);
}

/**
 * Choose the organization: the only one, the one with the name, or the one that the person names.
 * @param {any[]} organizations
 * @param {string} address
 * @param {Terminal} terminal
 * @param {string} [name]
 * @returns {Promise<Organization>}
 */
async function choose(organizations, address, terminal, name) {
  const names = organizations.map((each) => each.name);
  if (names.length === 0)
    throw notConfigured(`this account is in no organization at ${address}: ask for an invitation`);
  const find = (/** @type {string} */ text) =>
    organizations.find((each) => [each.name, each.slug, each.id].includes(text));
  if (!name && organizations.length === 1) return organizations[0];
  if (!name) names.forEach((each, index) => terminal.tell(`  ${index + 1}  ${each}`));
  const answer = name || (await terminal.ask("Organization (number or name): "));
  const found = find(answer) ?? (name ? undefined : organizations[Number(answer) - 1]);
  if (!found)
    throw notConfigured(
      `there is no organization ${answer} for this account: choose one of ${names.join(", ")}`,
    );
  return found;
}

/**
 * Log in to an organization.
 * @param {Instance} instance
 * @param {string} token
 * @param {Organization} organization
 * @param {string} email
 * @returns {Promise<{ token: string, isMfaEnabled: boolean, method: string, refresh: string }>}
 */
async function select(instance, token, { id, name }, email) {
  const { address } = instance;
  const body = { organizationId: id };
  const path = "/api/v3/auth/select-organization";
  const reply = await instance.ask("POST", path, { token, body, once: true });
  const { status, data } = reply;
  if (status === 200 && isText(data?.token)) {
    const { isMfaEnabled = false, mfaMethod = "email" } = data;
    return { token: data.token, isMfaEnabled, method: mfaMethod, refresh: reply.cookie };
  }
  if (isLocked(reply)) throw lockedError(address, email);
  if (data?.error === "SmtpError")
    throw new ConfigError(
      "server",
      `${address} can't send the code for the second factor of ${email}: tell who runs it`,
    );
  if (status === 400 || status === 403)
    throw new ConfigError(
      "refused",
      `${address} does not let ${email} log in to ${name} by password: ${IN_THE_BROWSER}`,
    );
  throw status === 200 ? failure("not_infisical", { address }) : instance.unexpected(reply);
}

/**
 * Ask for the second factor, once.
 * @param {(action: (instance: Instance) => Promise<any>) => Promise<any>} within
 * @param {Terminal} terminal
 * @param {{ token: string, method: string }} challenge
 * @param {string} email
 * @returns {Promise<{ token: string, refresh: string }>}
 */
async function verify(within, terminal, { token, method }, email) {
  if (method !== "totp" && method !== "email")
    throw new ConfigError(
      "refused",
      `the second factor of ${email} needs a browser (${method}): ${IN_THE_BROWSER}`,
    );
  const question =
    method === "totp"
      ? "Code of the authenticator app, or a recovery code: "
      : `Code from the mail to ${email}: `;
  const code = await terminal.ask(question, { hidden: true });
  if (!code) throw notConfigured(ENDED);
  const isRecovery = method === "totp" && RECOVERY_CODE.test(code);
  const path = `/api/v2/auth/mfa/verify${isRecovery ? "/recovery-code" : ""}`;
  const body = isRecovery ? { recoveryCode: code } : { mfaToken: code, mfaMethod: method };
  return await within(async (instance) => {
    const reply = await instance.ask("POST", path, { token, body, once: true });
    if (reply.status === 200 && isText(reply.data?.token))
      return { token: reply.data.token, refresh: reply.cookie };
    if (isLocked(reply)) throw lockedError(instance.address, email);
    // The server answers a wrong code from an e-mail with 500.
    const isWrong = [400, 401, 403, 422].includes(reply.status) || reply.status === 500;
    if (!isWrong) throw instance.unexpected(reply);
    throw new ConfigError(
      "refused",
      `${instance.address} refused the code of ${email}: log in again with a new one, and not ` +
        "more than twice, because the third wrong one locks the account for five minutes",
    );
  });
}

/**
 * @param {string} address
 * @param {string} [email]
 */
const lockedError = (address, email = "this person") =>
  failure("locked", { address, person: email });

/**
 * Return the claims of a token, which nobody has verified.
 * @param {string} token
 * @returns {any}
 */
export const claimsOf = (token) =>
  jsonObject(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8")) ?? {};
