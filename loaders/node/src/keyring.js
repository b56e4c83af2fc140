// @ts-check
/**
 * Keep a person's login in the system's keyring, by the system's own programs, or in a sealed file
 * where there is none. Both languages find each other's logins.
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
/** Milliseconds: a locked keyring asks for its password in a window. */
const PATIENCE = 60_000;
/** `security -i` reads lines of at most so many characters. */
const LONGEST_LINE = 4096;
/** Milliseconds after which a lock was left by a process that has ended. */
const LOCK_AGE = 30_000;

/** The logins that a user of this machine has. */
export class Logins {
  #environ;
  #config;
  #state;

  /** @param {Environ} environ */
  constructor(environ) {
    const home = environ["HOME"] || homedir();
    const isWindows = process.platform === "win32";
    const of = (/** @type {string} */ name, /** @type {string[]} */ ...other) =>
      join(environ[name] || join(home, ...other), SERVICE);
    this.#environ = environ;
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
   * @throws {ConfigError} not_configured, for a file that others may have written or read
   */
  find(address) {
    const file = this.#fileOf(address);
    const text = existsSync(file) ? this.#open(file, address) : this.#tool()?.find(address);
    const login = text ? jsonObject(text) : null;
    const isGood =
      login?.version === VERSION &&
      login.address === address &&
      [login.email, login.token].every(isText) &&
      [login.organization, login.refresh].every((each) => typeof each === "string");
    return isGood ? login : null;
  }

  /**
   * Keep a login instead of the one before; return in words where it is.
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
   * Forget the login at an address; return whether it is gone from where it was.
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
   * Return in words where the login at an address is kept.
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
    const key = readPrivate(join(this.#state, "key")).text;
    const text = readPrivate(file).text;
    return key && text ? openText(text, Buffer.from(key.trim(), "hex"), address) : null;
  }

  /** Return the key of all files; make it if it is missing. */
  #key() {
    const file = join(this.#state, "key");
    const known = readPrivate(file).text?.trim();
    if (known?.length === 2 * KEY_BYTES) return Buffer.from(known, "hex");
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

  #tool() {
    if (this.#environ["INFISICAL_KEYRING"] === "file") return null;
    if (process.platform === "darwin") return new MacKeychain(this.#environ);
    const runtime = this.#environ["XDG_RUNTIME_DIR"];
    const hasBus =
      this.#environ["DBUS_SESSION_BUS_ADDRESS"] || (runtime && existsSync(join(runtime, "bus")));
    return process.platform === "linux" && hasBus ? new SecretService(this.#environ) : null;
  }
}

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
 * Run a program to its end; return its output, null if it failed or is not there.
 * @param {Environ} environ
 * @param {string[]} command
 * @param {string} [input]
 */
function runTool(environ, [program = "", ...args], input = "") {
  const env = /** @type {NodeJS.ProcessEnv} */ (environ);
  const ended = spawnSync(program, args, { env, input, encoding: "utf8", timeout: PATIENCE });
  return ended.status === 0 ? ended.stdout.trim() : null;
}

/** The keyring of Linux desktops: GNOME Keyring, KWallet, KeePassXC. */
class SecretService {
  name = "the system's keyring (Secret Service)";
  #environ;

  /** @param {Environ} environ */
  constructor(environ) {
    this.#environ = environ;
  }

  /** @param {string} address */
  find(address) {
    const found = runTool(this.#environ, ["secret-tool", "lookup", ...this.#attributes(address)]);
    return found && Buffer.from(found, "base64").toString("utf8");
  }

  /**
   * @param {string} address
   * @param {string} text
   */
  keep(address, text) {
    const label = `--label=Infisical login at ${address}`;
    const command = ["secret-tool", "store", label, ...this.#attributes(address)];
    return runTool(this.#environ, command, Buffer.from(text).toString("base64")) !== null;
  }

  /**
   * Return false if the keyring refuses, as a locked one does.
   * @param {string} address
   */
  forget(address) {
    const command = ["secret-tool", "clear", ...this.#attributes(address)];
    return runTool(this.#environ, command) !== null;
  }

  /** @param {string} address */
  #attributes = (address) => ["service", SERVICE, "address", address];
}

/** The login keychain of macOS. */
class MacKeychain {
  name = "the keychain";
  #environ;

  /** @param {Environ} environ */
  constructor(environ) {
    this.#environ = environ;
  }

  /** @param {string} address */
  find(address) {
    const item = ["-s", SERVICE, "-a", address];
    const found = runTool(this.#environ, ["security", "find-generic-password", ...item, "-w"]);
    return found && Buffer.from(found, "base64").toString("utf8");
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
    return runTool(this.#environ, ["security", "-i"], line) !== null && this.find(address) === text;
  }

  /**
   * Return false if the keychain refuses.
   * @param {string} address
   */
  forget(address) {
    const item = ["-s", SERVICE, "-a", address];
    return runTool(this.#environ, ["security", "delete-generic-password", ...item]) !== null;
  }
}
