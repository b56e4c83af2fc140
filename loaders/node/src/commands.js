// @ts-check
/** The commands of a person: login, whoami, logout. */

import { credentialsIn, findAddress } from "./bootstrap.js";
import { Conversation } from "./conversation.js";
import { overrideNames, parseLocal, parseOverrides } from "./envfile.js";
import { ConfigError, notConfigured, say } from "./errors.js";
import { findFiles, overridesPath, readPrivate } from "./files.js";
import { Logins } from "./keyring.js";
import { Instance, claimsOf, logIn } from "./login.js";
import { Person } from "./person.js";

/** @typedef {import("./bootstrap.js").Environ} Environ */
/** @typedef {import("./login.js").Terminal} Terminal */
/**
 * @typedef {import("./login.js").LoginOptions & { address?: string | undefined,
 *     allowHttp?: boolean, directory?: string }} CommandOptions
 */

const TIMEOUT = 20;
/** The milliseconds before an end in which its time is shown too, and not only its day. */
const NEAR = 2 * 86_400_000;

/** The files, address and logins that a command finds before its first request. */
export class Surroundings {
  /**
   * @param {Environ} environ
   * @param {CommandOptions} options
   * @throws {ConfigError} not_configured
   */
  constructor(environ, { directory = ".", address, allowHttp = false }) {
    const { project, localPath } = findFiles(directory, say);
    this.environ = environ;
    this.file = project;
    this.localPath = localPath;
    const isPlatform = credentialsIn(environ).length > 0;
    const own = isPlatform
      ? []
      : [parseLocal(readPrivate(localPath)), parseOverrides(readPrivate(overridesPath(localPath)))];
    this.local = own[0]?.settings ?? {};
    /** Names of a developer's own values, safe to print. */
    this.overrides = own.map(overrideNames).filter(Boolean).join(", ");
    const known = address ? { ...environ, INFISICAL_DOMAIN: address } : environ;
    this.address = findAddress(project, this.local, known, allowHttp);
    this.logins = new Logins(environ);
  }

  /** The place, in words, of a service's credentials, which win over a login; empty without. */
  get machine() {
    if (credentialsIn(this.environ).length > 0) return "the environment";
    return credentialsIn(this.local).length > 0 ? this.localPath : "";
  }

  /** Return whether certificates are verified. */
  get isVerified() {
    return this.environ["NODE_TLS_REJECT_UNAUTHORIZED"] !== "0";
  }

  /**
   * Return the person who is logged in.
   * @throws {ConfigError} login_needed, not_configured
   */
  login() {
    if (!this.address) throw notConfigured(WITHOUT_ADDRESS);
    const login = this.logins.find(this.address);
    if (!login)
      throw new ConfigError(
        "login_needed",
        `nobody is logged in at ${this.address}: run \`with-secrets login\``,
      );
    return login;
  }
}

export const WITHOUT_ADDRESS =
  "the address of Infisical is not set: put domain into .infisical.json, set INFISICAL_DOMAIN, or " +
  "give --address";

/**
 * Log in, and store the login.
 * @param {Environ} environ
 * @param {CommandOptions} options
 * @param {Terminal} terminal
 * @throws {ConfigError}
 */
export async function login(environ, options, terminal) {
  let found = new Surroundings(environ, options);
  if (!found.address) {
    const address = await terminal.ask("Address of Infisical: ");
    if (!address) throw notConfigured(WITHOUT_ADDRESS);
    found = new Surroundings(environ, { ...options, address });
  }
  const address = /** @type {string} */ (found.address);
  terminal.tell(`Infisical at ${address}`);
  const made = await logIn(() => new Instance(address, found.isVerified), terminal, options);
  const place = found.logins.keep(made);
  terminal.tell(`Logged in as ${describe(made)}, until ${endOf(made)}; kept in ${place}`);
  warnOfEnd(made, terminal.tell);
  warnOfMachine(found, terminal.tell);
}

/**
 * Print who is logged in, after a request to the server.
 * @param {Environ} environ
 * @param {CommandOptions} options
 * @param {(text: string) => void} tell
 * @throws {ConfigError} login_needed
 */
export async function whoami(environ, options, tell) {
  const found = new Surroundings(environ, options);
  const known = found.login();
  const instance = new Instance(known.address, found.isVerified);
  const conversation = new Conversation(known.address, TIMEOUT, { isVerified: found.isVerified });
  try {
    const reply = await instance.ask("GET", "/api/v1/user", { token: known.token });
    const isEnded = [401, 403, 404].includes(reply.status);
    if (isEnded) await new Person(known, found.logins).renew(conversation);
    else if (reply.status !== 200) throw instance.unexpected(reply);
  } finally {
    instance.close();
    conversation.close();
  }
  const now = found.login();
  const place = found.logins.placeOf(now.address);
  tell(`${describe(now)} at ${now.address}, until ${endOf(now)}; kept in ${place}`);
  warnOfEnd(now, tell);
  warnOfMachine(found, tell);
}

/**
 * End the session at the server, and forget the login.
 * @param {Environ} environ
 * @param {CommandOptions} options
 * @param {(text: string) => void} tell
 * @throws {ConfigError} login_needed; others if the session can't be ended at the server, or if the
 *     login can't be removed from its place
 */
export async function logout(environ, options, tell) {
  const found = new Surroundings(environ, options);
  const known = found.login();
  const place = found.logins.placeOf(known.address);
  const isForgotten = found.logins.forget(known.address);
  const instance = new Instance(known.address, found.isVerified);
  try {
    const session = encodeURIComponent(String(claimsOf(known.token).tokenVersionId));
    const { token, refresh } = known;
    const reply = refresh
      ? await instance.ask("POST", "/api/v1/auth/logout", { cookie: refresh })
      : await instance.ask("DELETE", `/api/v2/users/me/sessions/${session}`, { token });
    if (reply.status >= 500) throw instance.unexpected(reply);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const here = isForgotten ? "is forgotten here, but" : `is still in ${place}, and`;
    throw new ConfigError(
      error.code,
      `the login of ${known.email} ${here} not ended at the server: ${error.message}`,
    );
  } finally {
    instance.close();
  }
  if (!isForgotten)
    throw notConfigured(
      `the login of ${known.email} is ended at the server, but still in ${place}: unlock that, ` +
        "and run `with-secrets logout` again",
    );
  tell(`Logged out ${describe(known)} at ${known.address}`);
}

/** @param {import("./keyring.js").Login} login */
export const describe = ({ email, organization }) =>
  organization ? `${email} of ${organization}` : email;

/**
 * Return a day, with the time if it is near.
 * @param {number} time in milliseconds
 */
export function dayOf(time) {
  const text = new Date(time).toISOString();
  const isNear = Math.abs(time - Date.now()) < NEAR;
  return isNear ? `${text.slice(0, 16).replace("T", " ")} UTC` : text.slice(0, 10);
}

/**
 * Return when a login ends if it is not used.
 * @param {import("./keyring.js").Login} login
 */
function endOf({ token, refresh }) {
  const ends = [token, refresh].map((each) => Number(claimsOf(each).exp) || 0);
  return dayOf(Math.max(...ends) * 1000);
}

/**
 * @param {import("./keyring.js").Login} login
 * @param {(text: string) => void} tell
 */
function warnOfEnd({ refresh }, tell) {
  if (refresh) return;
  tell(
    "A login in the browser is not renewed and ends at that time: `session_token_lifetime` of" +
      " the instance says how long it lasts",
  );
}

/**
 * @param {Surroundings} found
 * @param {(text: string) => void} tell
 */
function warnOfMachine({ machine }, tell) {
  if (machine)
    tell(
      "The credentials of a service win over this login: delete INFISICAL_CLIENT_ID and " +
        `INFISICAL_CLIENT_SECRET in ${machine} to use it`,
    );
}
