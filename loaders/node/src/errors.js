// @ts-check
/** The errors of a start: one sentence with the cause, the place and the remedy. */

import { writeSync } from "node:fs";

/** The messages; `{names}` in braces are filled in. None ever contains a value. */
export const MESSAGES = Object.freeze({
  not_configured: "{what} is not set: {remedy}",
  refused:
    "{address} refused the client id and secret of {client_id}: they are wrong, used up or revoked; " +
    "get new ones with `infisical-iac credentials show`",
  refused_before:
    "{address} refused the client id and secret of {client_id} {ago} ago, so they are not tried " +
    "again for {left}: get new ones with `infisical-iac credentials show`, or delete {file}",
  locked:
    "{address} has locked the login of {client_id} after too many wrong client secrets: " +
    "put the right one in place and wait five minutes",
  forbidden:
    "{address} does not let this identity read {environment} {folder} in project {project}: " +
    'check its privileges with `infisical-iac workspace plan`; with `isolation = "projects"`, ' +
    "commit and deploy the .infisical.json that `infisical-iac check REPO --fix` writes",
  not_found:
    "{address} has no {environment} {folder} in project {project}: " +
    'check INFISICAL_ENVIRONMENT or NODE_ENV, and .infisical.json; with `isolation = "projects"`, ' +
    "commit and deploy the .infisical.json that `infisical-iac check REPO --fix` writes",
  hidden:
    "{address} hides the values of {names} in {environment} {folder}: give the identity the " +
    "permission readValue",
  empty:
    "{address} shows no secret in {environment} {folder}: this identity may read another " +
    "environment or folder; check INFISICAL_ENVIRONMENT or NODE_ENV, and .infisical.json",
  not_infisical:
    "{address} does not answer as Infisical does: check the address in .infisical.json",
  unreachable:
    "{address} can't be reached: check that it runs and that this machine may connect to it{tunnel}",
  deadline: "{address} did not answer within {timeout} s: check that it runs, or give more time",
  server: "{address} answers {status}: read its log, and start again once it is healthy",
  rate_limited: "{address} has received too many requests (429): start again later",
  missing:
    "{names} missing in {environment} {folder} of {address} and in the environment: " +
    "add the secrets, or set the variables",
  invalid: "{problems} in {environment} {folder} of {address}: correct the values",
  login_needed: "the login of {person} at {address} has ended: run `with-secrets login` again",
});

/** The messages that differ for a person, who has no client secret and sees no project file. */
export const PERSON_MESSAGES = Object.freeze({
  locked:
    "{address} has locked the account of {person} after wrong codes: wait an hour, or reset the " +
    "password",
  forbidden:
    "{address} does not let {person} read {environment} {folder} in project {project}: ask for " +
    "access to it, or read another environment with `--env`",
  not_found:
    "{address} has no {environment} {folder} in project {project} for {person}: check `--env` and " +
    ".infisical.json",
  hidden:
    "{address} hides the values of {names} in {environment} {folder} from {person}: ask for the " +
    "right to read values there",
  empty:
    "{address} shows {person} no secret in {environment} {folder}: ask for access to it, or read " +
    "another environment with `--env`",
});

/** The message of `refused` for an identity that logs in by tokens. */
export const TOKEN_REFUSED =
  "{address} refused the token of {client_id}: {reason}: compare the token's claims with `auth` in " +
  "the project file";

/** The message of `server` for a login by tokens, at which Infisical asks the issuer. */
export const LOGIN_FAILED =
  "{address} answers {status} to the token of {client_id}: check that Infisical can resolve and " +
  "reach the token's issuer, and that the token has a subject and an audience; else read the log " +
  "of Infisical";

/** The message of `unreachable` for a refusal that is not Infisical's own. */
export const IN_PLACE_OF =
  "{address} can't be reached: something in place of Infisical answers {status}, such as a proxy or " +
  "firewall that is closed to this network: connect to the VPN, or let this machine in";

/** The same for status 404, such as that of an ingress with no Infisical behind it for a moment. */
export const ABSENT =
  "{address} can't be reached: something in place of Infisical answers 404: check the address in " +
  ".infisical.json, and that Infisical runs behind it";

/** The message of `unreachable` for an untrusted certificate. */
export const UNTRUSTED =
  "{address} can't be reached: its certificate is not trusted ({why}); if the authority is your own, " +
  "name its file in {variable}";

/** The end of `unreachable` for a loopback address: without a domain, a tunnel leads to the host. */
export const TUNNEL = "; on another machine, open the SSH tunnel to the host first";

/** 75: try again later. 77: refused. 78: something has to be corrected first. */
export const EXIT_STATUS = Object.freeze({
  unreachable: 75,
  deadline: 75,
  server: 75,
  rate_limited: 75,
  refused: 77,
  refused_before: 77,
  locked: 77,
  login_needed: 77,
  forbidden: 77,
  hidden: 77,
  not_configured: 78,
  not_found: 78,
  not_infisical: 78,
  empty: 78,
  missing: 78,
  invalid: 78,
});

const TRY_LATER = 75;

/** @typedef {import("../index.js").ErrorCode} ErrorCode */

/** A failed start, with the exit status that the process should end with. */
export class ConfigError extends Error {
  /**
   * @param {ErrorCode} code
   * @param {string} message
   * @param {ErrorOptions} [options]
   */
  constructor(code, message, options) {
    super(message, options);
    this.name = "ConfigError";
    this.code = code;
    this.exitCode = EXIT_STATUS[code];
  }
}

/**
 * Return whether an error means that Infisical is down, so that a later try may succeed.
 * @param {unknown} error
 * @returns {error is ConfigError}
 */
export const isTemporary = (error) => error instanceof ConfigError && error.exitCode === TRY_LATER;

/**
 * Return the error of a code, with its message filled in. A `person` in the values selects the
 * message for persons.
 * @param {ErrorCode} code
 * @param {Record<string, unknown>} values
 * @param {ErrorOptions} [options]
 */
export function failure(code, values, options) {
  const other = values["person"] ? Object.entries(PERSON_MESSAGES) : [];
  const text = variantOf(code, values) ?? other.find(([each]) => each === code)?.[1];
  const message = (text ?? MESSAGES[code]).replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
  return new ConfigError(code, message, options);
}

/**
 * Return the message of a code for special values.
 * @param {ErrorCode} code
 * @param {Record<string, unknown>} values
 */
function variantOf(code, values) {
  if (code === "refused" && "reason" in values) return TOKEN_REFUSED;
  if (code === "server" && values["isTokenLogin"] && values["status"] === 500) return LOGIN_FAILED;
  if (code !== "unreachable") return undefined;
  if ("why" in values) return UNTRUSTED;
  if (values["status"] === 404) return ABSENT;
  return "status" in values ? IN_PLACE_OF : undefined;
}

/**
 * Return the error for a setting that is missing or wrong before the first request.
 * @param {string} message
 */
export const notConfigured = (message) => new ConfigError("not_configured", message);

/**
 * Write one line to standard error.
 * @param {string} text
 */
export const say = (text) => void writeSync(2, `infisical-config: ${text}\n`);

/**
 * End the process with a ConfigError's message and status; any other error is thrown again.
 * @param {unknown} error
 * @returns {never}
 */
export function exitOnError(error) {
  if (!(error instanceof ConfigError)) throw error;
  say(error.message);
  process.exit(error.exitCode);
}
