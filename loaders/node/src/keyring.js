// @ts-check
/**
 * Keep a person's login in the system's keyring, by the system's own programs, or in a sealed file
 * where there is none. The loaders of both languages find each other's logins.
 */

import { spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { notConfigured } from "./errors.js";
import { readPrivate } from "./files.js";
import { isText, jsonObject } from "./json.js";
import { isOwn } from "./refusals.js";
import { openText, sealText } from "./seal.js";

/** @typedef {import("./bootstrap.js").Environ} Environ */
/**
 * @typedef {object} Login a person's login at an Infisical
 * @property {string} address
 * @property {string} email
 * @property {string} organization its name
 * @property {string} token
 * @property {string} refresh the cookie that renews the token; empty after a login in a browser
 */

const VERSION = 1;
const SERVICE = "infisical-config";
const KEY_BYTES = 32;
/** Milliseconds to wait for a keyring, as a locked one asks for its password in a window. */
const PATIENCE = 60_000;
/** The longest line that `security -i` reads, in characters. */
const LONGEST_LINE = 4096;
/** Milliseconds after which a lock counts as left by a process that has ended. */
const LOCK_AGE = 30_000;
/** The error of a session bus on a machine without a keyring. */
const NO_SERVICE = "was not provided by any .service files";
/** The status of macOS for a login that is not there. */
const NO_ITEM = 44;
const UNLOCK = "unlock it and try again, or log in with INFISICAL_KEYRING=file";
const AGAIN = "run `with-secrets login` again";

/** The logins that a user of this machine has. */
export class Logins {
  #config;
  #state;
  #tool;

  /**
   * @param {Environ} environ
   * @param {() => SecretService | MacKeychain | null} tool finds the system's keyring
   */
  constructor(environ, tool = () => findTool(environ)) {
    this.#tool = tool;
    const home = environ["HOME"] || homedir();
    const isWindows = process.platform === "win32";
    const of = (/** @type {string} */ name, /** @type {string[]} */ ...other) =>
      join(environ[name] || join(home, ...other), SERVICE);
    this.#config = isWindows
      ? of("APPDATA", "AppData", "Roaming")
      : of("XDG_CONFIG_HOME", ".config");
    this.#state = isWindows
      ? of("LOCALAPPDATA", "AppData", "Local")
      : of("XDG_STATE_HOME", ".local", "state");
  }

  /**
   * Return the login at an address, or null.
   * @param {string} address
   * @returns {Login | null}
   * @throws {ConfigError} not_configured, for a login that can't be read, and for a file that
   *     others may have written or read
   */
  find(address) {
    const file = this.#fileOf(address);
    const tool = existsSync(file) ? null : this.#tool();
    const text = existsSync(file) ? this.#open(file, address) : (tool?.find(address) ?? null);
    if (text === null) return null;
    const login = jsonObject(text);
    const isGood =
      login?.version === VERSION &&
      login.address === address &&
      [login.email, login.token].every(isText) &&
      [login.organization, login.refresh].every((each) => typeof each === "string");
    if (isGood) return login;
    throw unreadable(address, tool?.name ?? file, "it is damaged", AGAIN);
  }

  /**
   * Store a login, instead of an earlier one at its address; return its place in words.
   * @param {Login} login
   * @throws {ConfigError} not_configured, if it can't be kept
   */
  keep(login) {
    const { address, email, organization, token, refresh } = login;
    const text = JSON.stringify({ version: VERSION, address, email, organization, token, refresh });
    const file = this.#fileOf(address);
    const tool = this.#tool();
    if (tool?.keep(address, text)) {
      rmSync(file, { force: true });
      return tool.name;
    }
    this.#write(file, sealText(text, this.#key(), address));
    return file;
  }

  /**
   * Forget the login at an address; return false if the keyring refuses to delete it.
   * @param {string} address
   */
  forget(address) {
    const file = this.#fileOf(address);
    const isGone = this.#tool()?.forget(address) ?? true;
    if (!existsSync(file)) return isGone;
    rmSync(file, { force: true });
    return true;
  }

  /**
   * Return the place of the login at an address, in words.
   * @param {string} address
   */
  placeOf(address) {
    const file = this.#fileOf(address);
    return existsSync(file) ? file : (this.#tool()?.name ?? file);
  }

  /**
   * Run a function while no other process renews the login at an address.
   * @template T
   * @param {string} address
   * @param {() => Promise<T>} action
   * @returns {Promise<T>}
   */
  async locked(address, action) {
    const lock = `${this.#fileOf(address)}.lock`;
    this.#makeDirectory(this.#config);
    for (const end = Date.now() + LOCK_AGE; Date.now() < end; await sleep(50)) {
      try {
        closeSync(openSync(lock, "wx", 0o600));
        break;
      } catch (error) {
        if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EEXIST") throw error;
      }
      const found = statSync(lock, { throwIfNoEntry: false });
      if (found && Date.now() - found.mtimeMs > LOCK_AGE) rmSync(lock, { force: true });
    }
    try {
      return await action();
    } finally {
      rmSync(lock, { force: true });
    }
  }

  /** @param {string} address */
  #fileOf(address) {
    const digest = createHash("sha256").update(address).digest("hex").slice(0, 16);
    return join(this.#config, `${digest}.login`);
  }

  /**
   * @param {string} file
   * @param {string} address
   */
  #open(file, address) {
    const place = join(this.#state, "key");
    const key = readPrivate(place).text;
    const text = readPrivate(file).text ?? "";
    if (!key) throw unreadable(address, file, `its key ${place} is missing`, AGAIN);
    const opened = openText(text, Buffer.from(key.trim(), "hex"), address);
    if (opened !== null) return opened;
    throw unreadable(address, file, `it or its key ${place} has changed`, AGAIN);
  }

  /** Return the key of all files; make it if it is missing. */
  #key() {
    const file = join(this.#state, "key");
    const known = readPrivate(file).text?.trim();
    const isKey = known?.length === 2 * KEY_BYTES && /^[\da-f]+$/i.test(known);
    if (isKey) return Buffer.from(known, "hex");
    const key = randomBytes(KEY_BYTES);
    this.#write(file, `${key.toString("hex")}\n`);
    return key;
  }

  /**
   * Write a file as a whole; only this user may read it.
   * @param {string} file
   * @param {string} text
   */
  #write(file, text) {
    this.#makeDirectory(file === join(this.#state, "key") ? this.#state : this.#config);
    const temporary = `${file}.${process.pid}.${randomBytes(4).toString("hex")}`;
    try {
      writeFileSync(temporary, text, { mode: 0o600, flag: "wx" });
      renameSync(temporary, file);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw unwritable(file, error);
    }
  }

  /** @param {string} path */
  #makeDirectory(path) {
    let own;
    try {
      own = isOwn(path);
    } catch (error) {
      throw unwritable(path, error);
    }
    if (!own) throw notConfigured(`${path} is open to other users: run \`chmod 700 ${path}\``);
  }
}

/**
 * Return the keyring of the system, or null.
 * @param {Environ} environ
 */
function findTool(environ) {
  if (environ["INFISICAL_KEYRING"] === "file") return null;
  if (process.platform === "darwin") return new MacKeychain(environ);
  const runtime = environ["XDG_RUNTIME_DIR"];
  const hasBus =
    environ["DBUS_SESSION_BUS_ADDRESS"] || (runtime && existsSync(join(runtime, "bus")));
  return process.platform === "linux" && hasBus ? new SecretService(environ) : null;
}

/**
 * Return the error of a login that is or may be kept, but can't be read.
 * @param {string} address
 * @param {string} place
 * @param {string} why
 * @param {string} remedy
 */
const unreadable = (address, place, why, remedy) =>
  notConfigured(`the login at ${address} can't be read from ${place} (${why}): ${remedy}`);

/**
 * @param {string} file
 * @param {unknown} error
 */
const unwritable = (file, error) =>
  notConfigured(
    `the login can't be kept in ${file} ` +
      `(${/** @type {NodeJS.ErrnoException} */ (error).code}): check its directory`,
  );

/**
 * Run a program to its end. If it fails, its output is null, and `why` is its own last line; `why`
 * is empty for status 1 without such a line.
 * @param {Environ} environ
 * @param {string[]} command
 * @param {string} [input]
 */
function runTool(environ, [program = "", ...args], input = "") {
  const env = /** @type {NodeJS.ProcessEnv} */ (environ);
  const ended = spawnSync(program, args, { env, input, encoding: "utf8", timeout: PATIENCE });
  const { status } = ended;
  const code = /** @type {NodeJS.ErrnoException | undefined} */ (ended.error)?.code;
  const isMissing = Boolean(code) && code !== "ETIMEDOUT";
  const output = status === 0 ? ended.stdout.trim() : null;
  const said = (ended.stderr ?? "").split("\n").filter((line) => line.startsWith(`${program}: `));
  const late = `no answer within ${PATIENCE / 1000} s`;
  const ending = status === 1 ? "" : `status ${status ?? ended.signal}`;
  const other = code === "ETIMEDOUT" ? late : ending;
  return { output, status, isMissing, why: said.at(-1)?.slice(program.length + 2) ?? other };
}

/** @param {string | null} output */
const decode = (output) => (output ? Buffer.from(output, "base64").toString("utf8") : null);

/** The keyring of Linux desktops: GNOME Keyring, KWallet, KeePassXC. */
export class SecretService {
  name = "the system's keyring (Secret Service)";
  #environ;

  /** @param {Environ} environ */
  constructor(environ) {
    this.#environ = environ;
  }

  /**
   * @param {string} address
   * @throws {ConfigError} not_configured, if it is locked
   */
  find(address) {
    const attributes = this.#attributes(address);
    const { output, status, isMissing, why } = runTool(this.#environ, [
      "secret-tool",
      "lookup",
      ...attributes,
    ]);
    if (output !== null || isMissing) return decode(output);
    // Status 1 without a message means no login or a locked one; a search tells them apart.
    const isLocked =
      status === 1 &&
      !why &&
      runTool(this.#environ, ["secret-tool", "search", ...attributes]).output;
    const reason = isLocked ? "it is locked" : why;
    if (!reason || reason.includes(NO_SERVICE)) return null;
    throw unreadable(address, this.name, reason, UNLOCK);
  }

  /**
   * @param {string} address
   * @param {string} text
   */
  keep(address, text) {
    const label = `--label=Infisical login at ${address}`;
    const command = ["secret-tool", "store", label, ...this.#attributes(address)];
    return runTool(this.#environ, command, Buffer.from(text).toString("base64")).output !== null;
  }

  /**
   * Delete the text for an address; return false if the keyring is locked or refuses.
   * @param {string} address
   */
  forget(address) {
    const command = ["secret-tool", "clear", ...this.#attributes(address)];
    return runTool(this.#environ, command).output !== null;
  }

  /** @param {string} address */
  #attributes = (address) => ["service", SERVICE, "address", address];
}

/** The login keychain of macOS. */
export class MacKeychain {
  name = "the keychain";
  #environ;

  /** @param {Environ} environ */
  constructor(environ) {
    this.#environ = environ;
  }

  /**
   * @param {string} address
   * @throws {ConfigError} not_configured, if it is locked
   */
  find(address) {
    const item = ["-s", SERVICE, "-a", address];
    const command = ["security", "find-generic-password", ...item, "-w"];
    const { output, status, isMissing, why } = runTool(this.#environ, command);
    if (output !== null || isMissing || status === NO_ITEM) return decode(output);
    throw unreadable(address, this.name, why || `status ${status}`, UNLOCK);
  }

  /**
   * Keep a text; as an argument it would show in the list of processes.
   * @param {string} address
   * @param {string} text
   */
  keep(address, text) {
    const value = Buffer.from(text).toString("base64");
    const line = `add-generic-password -U -s ${SERVICE} -a "${address}" -w ${value}\n`;
    if (line.length > LONGEST_LINE || /["\\]/.test(address)) return false;
    if (runTool(this.#environ, ["security", "-i"], line).output === null) return false;
    try {
      return this.find(address) === text;
    } catch {
      return false;
    }
  }

  /**
   * Delete the text for an address; return false if the keychain refuses.
   * @param {string} address
   */
  forget(address) {
    const item = ["-s", SERVICE, "-a", address];
    const command = ["security", "delete-generic-password", ...item];
    return runTool(this.#environ, command).output !== null;
  }
}
