// @ts-check
/** Report the settings that a start would use, their sources and the failing request; no values. */

import { once } from "node:events";
import { connect } from "node:tls";

import { OF_PEOPLE } from "./bootstrap.js";
import { Surroundings, WITHOUT_ADDRESS, dayOf, describe } from "./commands.js";
import { ConfigError, failure, notConfigured } from "./errors.js";
import { isText, jsonObject } from "./json.js";
import { Loader } from "./loader.js";
import { Instance } from "./login.js";
import { IDENTITY } from "./platform.js";

/** @typedef {import("./bootstrap.js").Environ} Environ */
/** @typedef {import("./commands.js").CommandOptions} CommandOptions */
/** @typedef {{ what: string, text: string, error?: ConfigError | undefined }} Finding */

const TIMEOUT_MS = 10_000;
const MOST_SECONDS_APART = 30;
/** Milliseconds before its end in which a certificate should have been renewed. */
const RENEWED_BEFORE = 7 * 86_400_000;
/** The same as a fraction of its lifetime, for certificates that live only for a few hours. */
const RENEWED_PART = 1 / 6;
/** Node's codes for a certificate that has ended, or has not begun. */
const OUT_OF_TIME = ["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"];

/**
 * Print the findings, and return the exit status of the first failure; 0 without one.
 * @param {Environ} environ
 * @param {CommandOptions & { environment?: string | undefined, isTyped?: boolean }} options
 * @param {(text: string) => void} print
 */
export async function doctor(environ, options, print) {
  let status = 0;
  for await (const { what, text, error } of examine(environ, options)) {
    print(`${error ? "WRONG" : "ok   "} ${what.padEnd(12)} ${error?.message ?? text}`);
    status ||= error?.exitCode ?? 0;
  }
  return status;
}

/**
 * @param {Environ} environ
 * @param {CommandOptions & { environment?: string | undefined, isTyped?: boolean }} options
 * @returns {AsyncGenerator<Finding>}
 */
async function* examine(environ, options) {
  let found;
  try {
    found = new Surroundings(environ, options);
  } catch (error) {
    return void (yield wrong("settings", error));
  }
  const { file, address } = found;
  yield { what: "file", text: file.text === null ? "there is no .infisical.json" : file.path };
  yield* settings(found, options);
  if (found.overrides)
    yield { what: "overrides", text: `${found.overrides}, from .env.local or .env.override` };
  if (!address) return;
  yield access(found);
  yield* server(found, address);
  yield await secrets(
    { ...environ, ...(options.address ? { INFISICAL_DOMAIN: address } : {}) },
    options,
  );
}

/**
 * @param {Surroundings} found
 * @param {{ environment?: string | undefined, address?: string | undefined }} options
 * @returns {Generator<Finding>}
 */
function* settings(found, { environment, address: typed }) {
  const { file, local, environ, address } = found;
  const content = file.text === null ? {} : (jsonObject(file.text.replace(/^\ufeff/, "")) ?? {});
  const of = (/** @type {string[]} */ names, /** @type {string} */ key, fallback = "") => {
    const inProcess = names.find((name) => environ[name]);
    if (inProcess) return [environ[inProcess], `from ${inProcess}`];
    const inLocal = names.find((name) => local[name]);
    if (inLocal) return [local[inLocal], `from ${inLocal} in .env.local`];
    if (typeof content[key] === "string" && content[key])
      return [content[key], `from ${key} in .infisical.json`];
    return fallback ? [fallback, "by default"] : ["not set", ""];
  };
  const line = (/** @type {string} */ what, /** @type {any[]} */ [value, from]) => ({
    what,
    text: from ? `${value}, ${from}` : value,
  });
  const [, from] = of(["INFISICAL_DOMAIN", "INFISICAL_API_URL"], "domain");
  yield address
    ? line("address", [address, typed ? "from --address" : from])
    : wrong("address", notConfigured(WITHOUT_ADDRESS));
  const names = ["INFISICAL_ENVIRONMENT", "NODE_ENV"];
  const chosen = environment
    ? [environment, "from --env"]
    : found.machine
      ? of(names, "")
      : of(names, "defaultEnvironment", OF_PEOPLE);
  yield line("environment", chosen);
  const own = content.projects?.[String(chosen[0])]?.workspaceId;
  const one = of(["INFISICAL_PROJECT_ID"], content.projects ? "" : "workspaceId");
  yield line(
    "project",
    own && !one[1] ? [own, `from projects.${chosen[0]} in .infisical.json`] : one,
  );
  yield line("folder", of(["INFISICAL_SECRET_PATH"], "defaultSecretPath", "/"));
}

/**
 * @param {Surroundings} found
 * @returns {Finding}
 */
function access(found) {
  const { machine, environ, local } = found;
  const identity = environ[IDENTITY];
  const id = environ["INFISICAL_CLIENT_ID"] || local["INFISICAL_CLIENT_ID"] || "without an id";
  const who = identity ? `the identity ${identity}, by a platform's token` : `the service ${id}`;
  if (machine) {
    const login = otherLogin(found);
    const other = login ? `, which wins over the login of ${login.email}` : "";
    return { what: "access", text: `${who}, from ${machine}${other}` };
  }
  try {
    const known = found.login();
    const place = found.logins.placeOf(known.address);
    return { what: "access", text: `${describe(known)}, kept in ${place}` };
  } catch (error) {
    return wrong("access", error);
  }
}

/**
 * Return the login that a service's credentials win over; null without one, or if it can't be read.
 * @param {Surroundings} found
 */
function otherLogin(found) {
  try {
    return found.logins.find(String(found.address));
  } catch (error) {
    if (error instanceof ConfigError) return null;
    throw error;
  }
}

/**
 * @param {Surroundings} found
 * @param {string} address
 * @returns {AsyncGenerator<Finding>}
 */
async function* server(found, address) {
  if (address.startsWith("https:")) yield await certificate(address, found.isVerified);
  else yield { what: "certificate", text: "none, because the address is plain http" };
  const instance = new Instance(address, found.isVerified);
  try {
    const begun = performance.now();
    const reply = await instance.ask("GET", "/api/status");
    const took = Math.round(performance.now() - begun);
    if (reply.status !== 200) throw instance.unexpected(reply);
    if (!isText(reply.data?.message)) throw failure("not_infisical", { address });
    yield { what: "server", text: `answers in ${took} ms` };
    const apart = Math.round(Math.abs(Date.now() - Date.parse(reply.date ?? "")) / 1000);
    const text = `${apart} s from the server's`;
    yield apart > MOST_SECONDS_APART
      ? wrong("clock", new ConfigError("not_configured", `${text}: set the clock of this machine`))
      : { what: "clock", text: Number.isNaN(apart) ? "the server sends no time" : text };
  } catch (error) {
    yield wrong("server", error);
  } finally {
    instance.close();
  }
}

/**
 * @param {string} address
 * @param {boolean} isVerified
 * @returns {Promise<Finding>}
 */
async function certificate(address, isVerified) {
  const { hostname: host, port } = new URL(address);
  const name = host.replace(/^\[|\]$/g, "");
  const socket = connect({
    host: name,
    port: Number(port || 443),
    servername: /^[\d.:]+$/.test(name) ? "" : name,
    rejectUnauthorized: isVerified,
    timeout: TIMEOUT_MS,
  });
  socket.on("timeout", () => socket.destroy(new Error("ETIMEDOUT")));
  try {
    await once(socket, "secureConnect");
    const { valid_from: from, valid_to: to } = socket.getPeerCertificate();
    const end = Date.parse(to);
    const day = dayOf(end);
    const late = Math.min(RENEWED_BEFORE, (end - Date.parse(from)) * RENEWED_PART);
    if (!isVerified)
      return { what: "certificate", text: "not checked: NODE_TLS_REJECT_UNAUTHORIZED is 0" };
    return end - Date.now() < late
      ? wrong("certificate", new ConfigError("unreachable", `ends on ${day}: tell who runs it`))
      : { what: "certificate", text: `trusted, until ${day}` };
  } catch (error) {
    const { code = "", message } = /** @type {NodeJS.ErrnoException} */ (error);
    const text = OUT_OF_TIME.includes(code)
      ? `not valid at the time of this machine (${code}): set its clock if that is wrong; else ` +
        "tell who runs the server"
      : `not trusted, or no connection (${code || message}): if the authority is your own, name ` +
        "its file in NODE_EXTRA_CA_CERTS";
    return wrong("certificate", new ConfigError("unreachable", text));
  } finally {
    socket.destroy();
  }
}

/**
 * Make the requests of a start, and count what it reads.
 * @param {Environ} environ
 * @param {object} options
 * @returns {Promise<Finding>}
 */
async function secrets(environ, options) {
  try {
    const loader = new Loader(environ, { ...options, allow: ["*"], warn: () => {} });
    const { size } = await loader.start();
    const { environment, folder, imports } = loader.place;
    const folders = [folder, ...imports.map((each) => each.folder)].join(", ");
    return { what: "secrets", text: `${size} may be read in ${environment} ${folders}` };
  } catch (error) {
    return wrong("secrets", error);
  }
}

/**
 * @param {string} what
 * @param {unknown} error
 * @returns {Finding}
 */
function wrong(what, error) {
  if (!(error instanceof ConfigError)) throw error;
  return { what, text: "", error };
}
