// @ts-check
/** Find the place of a service's secrets and its credential, without effects. */

import { notConfigured } from "./errors.js";
import { isObject, isText, jsonObject } from "./json.js";
import { IDENTITY, platformOf } from "./platform.js";

/** @typedef {{ project: string, folder: string }} Part a folder in a project */
/**
 * @typedef {object} Place
 * @property {string} clientId or the id of an identity that logs in by tokens
 * @property {string} clientSecret empty for an identity that logs in by tokens
 * @property {import("./platform.js").Platform} [platform] the source of these tokens
 * @property {string} environment
 * @property {string} address without `/api`, without a `/` at the end
 * @property {string} project
 * @property {string} folder
 * @property {readonly Part[]} imports read too, if each service has a project of its own; a later
 *     one wins over an earlier one, and the service's own folder over all
 * @property {boolean} strict whether only requested names get through
 * @property {readonly string[]} allow names that get through in any case
 * @property {import("./person.js").Person} [person] whose access is used instead of a client's
 */
/** @typedef {Record<string, string | undefined>} Environ */
/**
 * @typedef {Record<string, { workspaceId: string,
 *     imports?: { workspaceId: string, secretPath: string }[] }>} Projects by environment
 */

const ADDRESS = /^https?:\/\/[^/@?#\s]+(\/[^@?#\s]*)?$/;
const OCTET = "(?:0|[1-9][0-9]?|1[0-9][0-9]|2[0-4][0-9]|25[0-5])";
export const LOOPBACK = new RegExp(
  `^http://(?:localhost|127(?:\\.${OCTET}){3}|\\[::1\\])(?::[0-9]+)?(?:/.*)?$`,
  "i",
);
const CREDENTIAL = /** @type {const} */ (["INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET"]);
const SWITCH = new Map([
  ["1", true],
  ["true", true],
  ["0", false],
  ["false", false],
]);
const KEYS = /** @type {const} */ ([
  "workspaceId",
  "domain",
  "defaultSecretPath",
  "defaultEnvironment",
]);
/** Set by the runner for its program, with the environment that a person has typed. */
export const TYPED = "INFISICAL_TYPED_ENVIRONMENT";
/** The environment of a person, if nothing names one. */
export const OF_PEOPLE = "development";
/** Names of production: a person reads it only by typing one, and it takes no overrides. */
export const PRODUCTION = ["production", "prod", "live"];

/** The process's variables that are set, and those of `.env.local` if it counts. */
class Sources {
  #each;

  /**
   * @param {Environ} environ
   * @param {Record<string, string>} local
   */
  constructor(environ, local) {
    this.#each = [environ, local];
  }

  /**
   * Return the first value that the process has under these names, or else the file.
   * @param {string[]} names
   */
  first(...names) {
    return this.#each.flatMap((source) => names.map((name) => source[name])).find(Boolean);
  }

  /** The environment. NODE_ENV counts only if no source has the loader's own variable. */
  get environment() {
    return this.first("INFISICAL_ENVIRONMENT") ?? this.first("NODE_ENV");
  }

  /**
   * Return the value of a variable that is on or off; undefined if it is not set.
   * @param {string} name
   */
  flag(name) {
    const text = this.first(name)?.toLowerCase();
    if (text && !SWITCH.has(text))
      throw notConfigured(`${name} is neither 1 nor 0: set it to one of them`);
    return text ? SWITCH.get(text) : undefined;
  }
}

/**
 * Return the names of the credentials in the process's environment. If there is one, `.env.local`
 * is ignored, as its address would decide where the credentials are sent.
 * @param {Environ} environ
 */
export const credentialsIn = (environ) => [...CREDENTIAL, IDENTITY].filter((name) => environ[name]);

/**
 * Combine `.infisical.json`, `.env.local`, the process's environment and the options into a place.
 * An empty variable counts as not set.
 * @param {import("./files.js").TextFile} file
 * @param {Record<string, string>} local empty if it doesn't count
 * @param {Environ} environ
 * @param {{ environment?: string | undefined, allowHttp?: boolean | undefined,
 *     strict?: boolean | undefined, allow?: readonly string[] | undefined,
 *     isTyped?: boolean }} [options] `isTyped`: a person has typed the environment
 * @param {(address: string) => import("./person.js").Person | null} [findPerson] called if there
 *     is no credential
 * @returns {Place}
 * @throws {ConfigError} not_configured
 */
export function bootstrap(file, local, environ, options = {}, findPerson = () => null) {
  const { environment, allowHttp, allow = [] } = options;
  const settings = fileSettings(file);
  const sources = new Sources(environ, local);
  const strict = options.strict ?? sources.flag("INFISICAL_STRICT") ?? settings.strict ?? false;
  const mayBePlain = sources.flag("INFISICAL_ALLOW_HTTP");

  const platform = platformOf(environ);
  const clientId = platform ? platform.identity : sources.first("INFISICAL_CLIENT_ID");
  const clientSecret = platform ? "" : sources.first("INFISICAL_CLIENT_SECRET");
  const address = sources.first("INFISICAL_DOMAIN", "INFISICAL_API_URL") || settings.domain;
  const isSafe = Boolean(allowHttp || mayBePlain);
  const person = !clientId && !clientSecret && address ? findPerson(origin(address, isSafe)) : null;
  if (!person && (!clientId || (!clientSecret && !platform)))
    throw withoutCredentials(clientId, clientSecret, environ, address);

  const chosen =
    environment ||
    sources.environment ||
    (person ? settings.defaultEnvironment || OF_PEOPLE : undefined);
  if (!chosen)
    throw notConfigured(
      "INFISICAL_ENVIRONMENT is not set: say which environment this is, such as " +
        "INFISICAL_ENVIRONMENT=development",
    );

  const isTyped = (environment && options.isTyped) || environ[TYPED] === chosen;
  if (person && PRODUCTION.includes(chosen) && !isTyped)
    throw notConfigured(
      `${chosen} is read with the access of a person (${person.email}) only if you type its ` +
        `name: with-secrets --env ${chosen} -- COMMAND`,
    );

  const one = sources.first("INFISICAL_PROJECT_ID");
  const { project, imports } =
    settings.projects && !one
      ? projectOf(settings.projects, chosen, file.path)
      : { project: one || settings.workspaceId, imports: [] };
  if (!project || !address) throw withoutPlace(project, address);

  return {
    clientId: clientId ?? "",
    clientSecret: clientSecret ?? "",
    ...(platform ? { platform } : {}),
    environment: chosen,
    address: origin(address, isSafe),
    project,
    folder: sources.first("INFISICAL_SECRET_PATH") || settings.defaultSecretPath || "/",
    imports,
    strict,
    allow: [...new Set([...allow, ...(settings.allow ?? [])])],
    ...(person ? { person } : {}),
  };
}

/**
 * Return the address of Infisical; null if none is set.
 * @param {import("./files.js").TextFile} file
 * @param {Record<string, string>} local
 * @param {Environ} environ
 * @param {boolean} allowHttp
 * @throws {ConfigError} not_configured
 */
export function findAddress(file, local, environ, allowHttp) {
  const sources = new Sources(environ, local);
  const { domain } = fileSettings(file);
  const address = sources.first("INFISICAL_DOMAIN", "INFISICAL_API_URL") || domain;
  const isSafe = allowHttp || Boolean(sources.flag("INFISICAL_ALLOW_HTTP"));
  return address ? origin(address, isSafe) : null;
}

/**
 * Return the places that a start reads: the service's own folder, then its imports.
 * @param {Place} place
 */
export const placesOf = (place) => [
  place,
  ...place.imports.map((part) => ({ ...place, ...part, imports: [] })),
];

/**
 * Return whether any of the sources names production.
 * @param {Environ} environ
 * @param {Record<string, string>} local
 * @param {string} [environment]
 */
export const isProduction = (environ, local, environment) =>
  [environment || new Sources(environ, local).environment, environ["NODE_ENV"]].some(
    (each) => each !== undefined && PRODUCTION.includes(each),
  );

/**
 * @param {import("./files.js").TextFile} file
 * @returns {Partial<Record<(typeof KEYS)[number], string>> & { strict?: boolean,
 *     allow?: string[], projects?: Projects }}
 */
function fileSettings({ path, text }) {
  if (text === null) return {};
  const settings = jsonObject(text.replace(/^\ufeff/, ""));
  if (!settings)
    throw notConfigured(
      `${path} is not a JSON object: write workspaceId, domain and defaultSecretPath into it`,
    );
  for (const key of KEYS)
    if (settings[key] !== undefined && typeof settings[key] !== "string")
      throw notConfigured(`${path} has a ${key} that is not text: write it in quotes`);
  const { strict = false, allow = [] } = settings;
  if (typeof strict !== "boolean")
    throw notConfigured(
      `${path} has a strict that is neither true nor false: write it without quotes`,
    );
  if (!Array.isArray(allow) || allow.some((name) => typeof name !== "string"))
    throw notConfigured(`${path} has an allow that is not a list of names: write it as ["NAME"]`);
  if (settings.projects !== undefined) checkProjects(settings.projects, path);
  return settings;
}

/**
 * Refuse a malformed `projects`.
 * @param {unknown} projects
 * @param {string} path
 */
function checkProjects(projects, path) {
  const wrong = (/** @type {string} */ what) =>
    notConfigured(`${path} has a ${what}: let \`infisical-iac check REPO --fix\` write it`);
  if (!isObject(projects) || Object.keys(projects).length === 0)
    throw wrong("projects that is not an object of environments");
  for (const [environment, project] of Object.entries(projects)) {
    const key = `projects.${environment}`;
    if (!isObject(project) || !isText(project["workspaceId"]))
      throw wrong(`${key} that is not an object with workspaceId`);
    const { imports = [] } = project;
    const isPart = (/** @type {unknown} */ each) =>
      isObject(each) && isText(each["workspaceId"]) && isText(each["secretPath"]);
    if (!Array.isArray(imports) || !imports.every(isPart))
      throw wrong(`${key}.imports that is not a list of objects with workspaceId and secretPath`);
  }
}

/**
 * Return the service's own project in an environment, and the folders that it imports.
 * @param {Projects} projects
 * @param {string} environment
 * @param {string} path of the file
 */
function projectOf(projects, environment, path) {
  const found = Object.hasOwn(projects, environment) && projects[environment];
  if (!found)
    throw notConfigured(
      `${path} has no project for ${environment}, only for ${Object.keys(projects).join(", ")}: ` +
        "check INFISICAL_ENVIRONMENT or NODE_ENV, or let `infisical-iac check REPO --fix` add it",
    );
  const { workspaceId: project, imports = [] } = found;
  return {
    project,
    imports: imports.map((each) => ({ project: each.workspaceId, folder: each.secretPath })),
  };
}

/**
 * @param {string} address
 * @param {boolean} allowHttp
 */
function origin(address, allowHttp) {
  if (!ADDRESS.test(address) || !URL.canParse(address)) {
    const shown = address.replace(/^.*@/s, ""); // Text before the @ may be a password.
    throw notConfigured(
      `the address of Infisical is '${shown}': write https:// and the server's name`,
    );
  }
  const short = address.replace(/\/+$/, "").replace(/\/api$/, "");
  if (!short.startsWith("https:") && !allowHttp && !LOOPBACK.test(short))
    throw notConfigured(
      `the address of Infisical is '${short}', where the client secret would go unencrypted: ` +
        "write https://, or set INFISICAL_ALLOW_HTTP=1 if you trust the whole network between",
    );
  return short;
}

/**
 * @param {string | undefined} clientId
 * @param {string | undefined} clientSecret
 * @param {Environ} environ
 * @param {string | undefined} address
 */
function withoutCredentials(clientId, clientSecret, environ, address) {
  if (!clientId && !clientSecret && !address)
    return notConfigured(
      "INFISICAL_CLIENT_ID, INFISICAL_CLIENT_SECRET and the address of Infisical are not set: " +
        "start in a service's directory, where .infisical.json is, or let the platform inject them",
    );
  if (!clientId && !clientSecret)
    return notConfigured(
      "nobody is logged in, and INFISICAL_CLIENT_ID and INFISICAL_CLIENT_SECRET are not set: " +
        "run `with-secrets login`, or let the platform set them",
    );
  const name = clientId ? "INFISICAL_CLIENT_SECRET" : "INFISICAL_CLIENT_ID";
  const [there] = credentialsIn(environ);
  if (there)
    return notConfigured(`${name} is not set: set it where ${there} is set, in the environment`);
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
