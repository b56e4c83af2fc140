// @ts-check
/** Start a service: find the place, read its secrets, merge them with the environment. */

import { PRODUCTION, bootstrap, credentialsIn, isProduction } from "./bootstrap.js";
import { Conversation } from "./conversation.js";
import { overrideNames, parseLocal, parseOverrides } from "./envfile.js";
import { ConfigError, notConfigured, say } from "./errors.js";
import { fallBack, remember } from "./fallback.js";
import { exists, findFiles, overridesPath, readPrivate } from "./files.js";
import { Logins } from "./keyring.js";
import { insistOn, resolve } from "./merge.js";
import { Person } from "./person.js";
import { Refusals } from "./refusals.js";
import { HttpClient } from "./requests.js";
import { namesIn, parse } from "./schema.js";
import { SdkClient, checkSdk } from "./sdk.js";
import { Session } from "./session.js";
import { view } from "./view.js";

/** @typedef {import("./merge.js").Secrets} Secrets */
/** @typedef {import("./bootstrap.js").Environ} Environ */
/**
 * `pause` waits so many milliseconds, for tests; `isTyped`: a person has typed the environment.
 * @typedef {import("../index.js").LoadOptions & { schema?: import("./schema.js").Schema,
 *     pause?: (milliseconds: number) => Promise<unknown>, isTyped?: boolean }} Options
 */

const TIMEOUT = 20;

/**
 * Return the person who is logged in at an address, or null.
 * @param {string} address
 * @param {Environ} environ
 */
export function findPerson(address, environ) {
  const logins = new Logins(environ);
  const login = logins.find(address);
  return login && new Person(login, logins);
}

/**
 * Return the client of this name, which sends the requests to Infisical.
 * @param {string} name
 * @param {import("./bootstrap.js").Place} place
 * @throws {ConfigError} not_configured
 */
function clientFor(name, place) {
  if (name === "http") return new HttpClient();
  if (name !== "sdk") throw notConfigured(`client is '${name}': write "http" or "sdk"`);
  checkSdk(place);
  return new SdkClient();
}

export class Loader {
  #environ;
  #options;
  #warn;
  /** @type {Record<string, string>} */
  #local;
  /** @type {Record<string, string>} */
  #overrides;
  #place;
  #session;
  #refusals;
  /** @type {import("./fallback.js").Use | undefined} */
  #use;
  /** @type {Secrets} */
  #secrets = new Map();
  /** Names with an earlier warning, since each refresh merges again. */
  #warned = "";

  /**
   * @param {Environ} environ
   * @param {Options} options
   * @throws {ConfigError} not_configured
   */
  constructor(environ, options) {
    this.#environ = environ;
    this.#options = options;
    this.#warn = options.warn ?? say;
    const { project, localPath } = findFiles(options.directory ?? ".", this.#warn);
    const isPlatform = credentialsIn(environ).length > 0;
    const own = isPlatform ? this.#ignore(localPath) : this.#read(localPath);
    this.#local = isPlatform ? {} : Object.assign({}, ...own.map((each) => each.settings));
    this.#overrides = Object.assign({}, ...own.map((each) => each.overrides));
    this.#place = bootstrap(project, this.#local, environ, options, (address) =>
      findPerson(address, environ),
    );
    this.#checkOverrides(own, isPlatform);
    const { strict, allow } = this.#place;
    if (strict && allow.length === 0 && this.#listRequested().length === 0)
      throw notConfigured(
        "strict mode passes only names that you ask for, and you asked for none: " +
          "give required, a schema or allow",
      );
    const { cache, client = "http" } = options;
    this.#refusals = new Refusals(this.#place, environ, cache?.file);
    this.#session = new Session(this.#place, this.#refusals, clientFor(client, this.#place));
    const { person, platform } = this.#place;
    if (cache && platform)
      this.#warn(
        `the cache ${cache.file} is not used: only a client secret opens it, and this login has none`,
      );
    else if (cache && !person) this.#use = { cache, place: this.#place, warn: this.#warn };
  }

  /** The place of the secrets, with the credential. */
  get place() {
    return this.#place;
  }

  /**
   * Ignore an `.env.local` that doesn't count, and warn if there is one. Return the readable
   * contents of it and of the file of overrides, so that overrides can be refused.
   * @param {string} path
   */
  #ignore(path) {
    if (exists(path))
      this.#warn(
        `${path} is ignored, because the environment has credentials: delete the file, ` +
          "and keep it out of what is deployed",
      );
    const peek = (/** @type {() => import("./envfile.js").LocalFile} */ parse) => {
      try {
        return [parse()];
      } catch (error) {
        if (error instanceof ConfigError) return [];
        throw error;
      }
    };
    return [
      ...peek(() => parseLocal(readPrivate(path))),
      ...peek(() => parseOverrides(readPrivate(overridesPath(path)))),
    ];
  }

  /**
   * Return the contents of `.env.local` and of the file of overrides. Warn of names that don't
   * belong there, and of the file in production.
   * @param {string} path
   */
  #read(path) {
    const local = parseLocal(readPrivate(path));
    this.#warnOfIgnored(
      local,
      "secrets belong in Infisical, your own values below a line `# overrides`",
    );
    const own = parseOverrides(readPrivate(overridesPath(path)));
    this.#warnOfIgnored(own, "it belongs in .env.local");
    const { settings } = local;
    const isSet = Object.values(settings).some(Boolean);
    if (isSet && isProduction(this.#environ, settings, this.#options.environment))
      this.#warn(
        `${path} is read in production: let the platform set its variables, ` +
          "and keep the file out of what is deployed",
      );
    return [local, own];
  }

  /**
   * @param {import("./envfile.js").LocalFile} file
   * @param {string} where
   */
  #warnOfIgnored({ path, ignored }, where) {
    if (ignored.length > 0)
      this.#warn(
        `${path}: ${ignored.join(", ")} ${ignored.length > 1 ? "are" : "is"} ignored: ${where}`,
      );
  }

  /**
   * Name the overrides; refuse them in production, and next to a platform's credentials.
   * @param {import("./envfile.js").LocalFile[]} files
   * @param {boolean} isPlatform
   */
  #checkOverrides(files, isPlatform) {
    for (const file of files) {
      const names = overrideNames(file);
      if (!names) continue;
      const has = `${file.path} overrides ${names}`;
      if (isPlatform)
        throw notConfigured(
          `${has}, and the environment has credentials: delete the overrides, which are for a ` +
            "developer's machine",
        );
      if (PRODUCTION.includes(this.#place.environment))
        throw notConfigured(
          `${has}, which production does not accept: delete the overrides, or choose another ` +
            "environment",
        );
      this.#warn(has);
    }
  }

  /**
   * Return Infisical's secrets, or those of the cache while Infisical is down.
   * @returns {Promise<Secrets>}
   * @throws {ConfigError}
   */
  async start() {
    if (!this.#place.platform && !this.#place.person) this.#refusals.check();
    try {
      this.#secrets = /** @type {Secrets} */ (await this.#fetch(false));
      if (this.#use) await remember(this.#secrets, this.#use);
      return this.#secrets;
    } catch (error) {
      if (this.#use) return await fallBack(error, this.#use);
      throw error;
    }
  }

  /**
   * Return the secrets if they changed since the last time, else null; keeps no process alive.
   * @returns {Promise<Secrets | null>}
   * @throws {ConfigError}
   */
  async poll() {
    const changed = await this.#fetch(true);
    if (changed) this.#secrets = changed;
    // This answer confirms unchanged values too, so the cache gets its time.
    if (this.#use) await remember(this.#secrets, this.#use);
    return changed;
  }

  /** @param {boolean} background */
  async #fetch(background) {
    const { address, imports } = this.#place;
    const conversation = new Conversation(address, this.#options.timeout ?? TIMEOUT, {
      background,
      // By itself, Node would read process.env, which may have secrets by then.
      isVerified: this.#environ["NODE_TLS_REJECT_UNAUTHORIZED"] !== "0",
      connections: 1 + imports.length,
    });
    try {
      return await this.#session.secrets(conversation);
    } catch (error) {
      if (this.#session.isForgotten && !background)
        await this.#refusals.wait(this.#warn, this.#options.pause);
      throw error;
    } finally {
      conversation.close();
    }
  }

  /**
   * Return the service's configuration of these secrets: `values` by name, `config` to return.
   * @param {Secrets} secrets
   * @returns {{ config: any, values: Secrets }}
   * @throws {ConfigError} missing, invalid
   */
  resolve(secrets) {
    const { override, required = [], schema, into } = this.#options;
    const rules = {
      override,
      requested: this.#listRequested(),
      policy: this.#place,
      overrides: this.#overrides,
    };
    const { values, withheld, leftOut, notExported } = resolve(secrets, this.#environ, rules);
    this.#warnOf(withheld, leftOut, into ? notExported : []);
    insistOn(required, values, this.#place);
    const config = schema ? parse(schema, values, this.#place) : view(values);
    if (into) this.#export(values, notExported, into);
    return { config, values };
  }

  /**
   * @param {Secrets} values
   * @param {string[]} notExported
   * @param {Environ} into
   */
  #export(values, notExported, into) {
    for (const [name, value] of values) if (!notExported.includes(name)) into[name] = value;
    // Libraries read NODE_ENV too; in production the platform sets it. A value that only repeats
    // the environment is for loaders of former releases, and left out: a build sets its own.
    const { NODE_ENV, INFISICAL_ENVIRONMENT } = this.#local;
    const isOwn = NODE_ENV && NODE_ENV !== INFISICAL_ENVIRONMENT && !values.has("NODE_ENV");
    if (isOwn && !this.#environ["NODE_ENV"]) into["NODE_ENV"] = NODE_ENV;
  }

  #listRequested() {
    const { required = [], schema } = this.#options;
    return [...required, ...namesIn(schema)];
  }

  /**
   * @param {string[]} withheld
   * @param {string[]} leftOut
   * @param {string[]} notExported
   */
  #warnOf(withheld, leftOut, notExported) {
    const parts = [
      withheld.length > 0 &&
        `withheld unless \`allow\` names them, because they could take over a process: ${withheld.join(", ")}`,
      leftOut.length > 0 &&
        `left out, because strict mode is on and nothing requests them: ${leftOut.join(", ")}`,
      notExported.length > 0 &&
        `not set, because no environment can hold them: ${notExported.join(", ")}`,
    ];
    const text = parts.filter(Boolean).join("; ");
    if (text && text !== this.#warned) this.#warn(text);
    this.#warned = text;
  }
}

/**
 * Load from an environment.
 * @param {Environ} environ
 * @param {Options} [options]
 * @returns {Promise<any>}
 */
export async function loadFrom(environ, options = {}) {
  const loader = new Loader(environ, options);
  return loader.resolve(await loader.start()).config;
}
