// @ts-check
/** Get the token of a platform, such as GitHub's, with which an identity logs in. */

import { readFileSync } from "node:fs";

import { Conversation } from "./conversation.js";
import { failure, notConfigured } from "./errors.js";
import { isText, jsonObject } from "./json.js";

/** @typedef {import("./bootstrap.js").Environ} Environ */
/**
 * @typedef {{ identity: string, audience: string } &
 *     ({ file: string } | { jwt: string } | { url: string, bearer: string })} Platform the source
 *     of its tokens: a file that the platform renews, a variable, or GitHub's address for them
 */

export const IDENTITY = "INFISICAL_MACHINE_IDENTITY_ID";
/** Variables that only the login needs, and no program that the runner starts. */
export const OWN_VARIABLES = [IDENTITY, "INFISICAL_JWT", "INFISICAL_JWT_FILE"];
const AUDIENCE = "infisical";
const LOCAL = /^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?\//i;
const LONGEST_REASON = 200;

/**
 * Return the source of an identity's tokens; null for a login with a client secret.
 * @param {Environ} environ the process's variables, without those of `.env.local`
 * @returns {Platform | null}
 * @throws {ConfigError} not_configured
 */
export function platformOf(environ) {
  const identity = environ[IDENTITY];
  if (!identity) return null;
  const secret = ["INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET"].find((name) => environ[name]);
  if (secret)
    throw notConfigured(
      `${IDENTITY} and ${secret} are both set: remove one, since each is a login`,
    );
  const audience = environ["INFISICAL_JWT_AUDIENCE"] || AUDIENCE;
  const { INFISICAL_JWT_FILE: file, INFISICAL_JWT: jwt } = environ;
  if (file) return { identity, audience, file };
  if (jwt) return { identity, audience, jwt };
  const url = environ["ACTIONS_ID_TOKEN_REQUEST_URL"];
  const bearer = environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"];
  if (!url || !bearer)
    throw notConfigured(
      `${IDENTITY} is set, but there is no token to log in with: give the job ` +
        "`permissions: id-token: write` at GitHub, or set INFISICAL_JWT_FILE or INFISICAL_JWT",
    );
  if (!URL.canParse(url) || !(url.startsWith("https://") || LOCAL.test(url)))
    throw notConfigured("ACTIONS_ID_TOKEN_REQUEST_URL is no https:// address: let GitHub set it");
  return { identity, audience, url, bearer };
}

/**
 * Return a token that is valid now; a file is read, or GitHub is asked, at each call.
 * @param {Platform} platform
 * @param {{ timeout: number, background: boolean, isVerified: boolean }} options `timeout`: seconds
 * @returns {Promise<string>}
 * @throws {ConfigError} not_configured, unreachable, deadline, server, rate_limited
 */
export async function platformToken(platform, options) {
  if ("jwt" in platform) return platform.jwt;
  return "file" in platform ? fromFile(platform.file) : fromGitHub(platform, options);
}

/** @param {string} file */
function fromFile(file) {
  let token;
  try {
    token = readFileSync(file, "utf8").trim();
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    throw notConfigured(`the file of INFISICAL_JWT_FILE, ${file}, can't be read (${code})`);
  }
  if (!token) throw notConfigured(`the file of INFISICAL_JWT_FILE, ${file}, is empty`);
  return token;
}

/**
 * @param {{ url: string, bearer: string, audience: string }} platform
 * @param {{ timeout: number, background: boolean, isVerified: boolean }} options
 */
async function fromGitHub({ url, bearer, audience }, { timeout, ...options }) {
  const asked = new URL(url);
  asked.searchParams.set("audience", audience);
  const conversation = new Conversation(asked.origin, timeout, options);
  try {
    const { status, body } = await conversation.send(`${asked.pathname}${asked.search}`, {
      method: "GET",
      headers: { accept: "application/json", authorization: `bearer ${bearer}` },
      body: undefined,
    });
    const token = jsonObject(body)?.value;
    if (status === 200 && isText(token)) return token;
    const address = asked.origin;
    if (status === 429) throw failure("rate_limited", { address });
    if (status >= 500) throw failure("server", { address, status });
    throw notConfigured(
      `${address} gives no token (${status}): give the job \`permissions: id-token: write\``,
    );
  } finally {
    conversation.close();
  }
}

/**
 * Return why the server refused a token, in its own words.
 * @param {any} data of its answer
 */
export function reasonOf(data) {
  const text = isText(data?.message) ? data.message : "it does not say why";
  return text
    .replace(/[^\x20-\x7e]+/g, " ")
    .slice(0, LONGEST_REASON)
    .replace(/\.$/, "");
}
