// @ts-check
/** Where a service's secrets are, and with what it logs in: the rules, without any effect. */

import { notConfigured } from "./errors.js";
import { jsonObject } from "./json.js";

/**
 * @typedef {object} Place
 * @property {string} clientId
 * @property {string} clientSecret
 * @property {string} environment
 * @property {string} address without `/api`, without a `/` at the end
 * @property {string} project
 * @property {string} folder
 */
/** @typedef {Record<string, string | undefined>} Environ */

const ADDRESS = /^https?:\/\/[^/@?#\s]+(\/[^@?#\s]*)?$/;
const KEYS = /** @type {const} */ (["workspaceId", "domain", "defaultSecretPath"]);

/**
 * Decide from `.infisical.json`, what `.env.local` sets, the process's environment and the option
 * `environment` where to go. An empty variable counts as not set.
 * @param {import("./files.js").TextFile} file
 * @param {Record<string, string>} local
 * @param {Environ} environ
 * @param {string} [environment]
 * @returns {Place}
 * @throws {ConfigError} not_configured
 */
export function bootstrap(file, local, environ, environment) {
  const settings = fileSettings(file);
  /** @param {string[]} names */
  const first = (...names) => names.map((name) => environ[name] || local[name]).find(Boolean);

  const clientId = first("INFISICAL_CLIENT_ID");
  const clientSecret = first("INFISICAL_CLIENT_SECRET");
  if (!clientId || !clientSecret) throw withoutCredentials(clientId, clientSecret);

  const chosen = environment || first("INFISICAL_ENVIRONMENT", "NODE_ENV");
  if (!chosen)
    throw notConfigured(
      "NODE_ENV is not set: say which environment this is, such as NODE_ENV=development",
    );

  const project = first("INFISICAL_PROJECT_ID") ?? settings.workspaceId;
  const address = first("INFISICAL_DOMAIN", "INFISICAL_API_URL") ?? settings.domain;
  if (!project || !address) throw withoutPlace(project, address);

  return {
    clientId,
    clientSecret,
    environment: chosen,
    address: origin(address),
    project,
    folder: first("INFISICAL_SECRET_PATH") ?? (settings.defaultSecretPath || "/"),
  };
}

/**
 * @param {import("./files.js").TextFile} file
 * @returns {Partial<Record<(typeof KEYS)[number], string>>}
 */
function fileSettings({ path, text }) {
  if (text === null) return {};
  const settings = jsonObject(text.replace(/^\ufeff/, ""));
  if (!settings)
    throw notConfigured(
      `${path} is no JSON object: write workspaceId, domain and defaultSecretPath into it`,
    );
  for (const key of KEYS)
    if (settings[key] !== undefined && typeof settings[key] !== "string")
      throw notConfigured(`${path} has a ${key} that is no text: write it in quotes`);
  return settings;
}

/** @param {string} address */
function origin(address) {
  if (!ADDRESS.test(address) || !URL.canParse(address)) {
    const shown = address.replace(/^.*@/s, ""); // What stands before it may be a password.
    throw notConfigured(
      `the address of Infisical is '${shown}': write https:// and the server's name`,
    );
  }
  return address.replace(/\/+$/, "").replace(/\/api$/, "");
}

/**
 * @param {string} [clientId]
 * @param {string} [clientSecret]
 */
function withoutCredentials(clientId, clientSecret) {
  if (!clientId && !clientSecret)
    return notConfigured(
      "INFISICAL_CLIENT_ID and INFISICAL_CLIENT_SECRET are not set: " +
        "put them into .env.local, or let the platform inject them",
    );
  const name = clientId ? "INFISICAL_CLIENT_SECRET" : "INFISICAL_CLIENT_ID";
  return notConfigured(`${name} is not set: put it into .env.local, or let the platform inject it`);
}

/**
 * @param {string} [project]
 * @param {string} [address]
 */
function withoutPlace(project, address) {
  if (!project && !address)
    return notConfigured(
      "the project and the address of Infisical are not set: put workspaceId and domain into " +
        ".infisical.json, or set INFISICAL_PROJECT_ID and INFISICAL_DOMAIN",
    );
  return notConfigured(
    project
      ? "the address of Infisical is not set: put domain into .infisical.json, " +
          "or set INFISICAL_DOMAIN"
      : "the project is not set: put workspaceId into .infisical.json, " +
          "or set INFISICAL_PROJECT_ID",
  );
}
