// @ts-check
/** The runner: start a program with the secrets only in its environment. */

import { spawn } from "node:child_process";
import { constants } from "node:os";
import { parseArgs } from "node:util";

import { exitOnError, say } from "./errors.js";
import { loadFrom } from "./loader.js";
import { OWN_VARIABLES } from "./platform.js";

const USAGE =
  "Usage: with-secrets [--override] [--environment NAME] [--strict] [--allow NAME]… " +
  "[--allow-http] -- COMMAND [ARGUMENT…]";
const WRONG_USAGE = 64;
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;
const FORWARDED = /** @type {NodeJS.Signals[]} */ ([
  ...["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGCONT", "SIGWINCH"],
]);

/**
 * Run the command after `--`, and end with its status or signal.
 * @param {string[]} argv without the program's own name
 */
export async function run(argv) {
  const { command, help, ...options } = parseArguments(argv);
  if (help) return void process.stdout.write(`${USAGE}\n`);
  const environ = { ...process.env };
  await loadFrom(process.env, { ...options, into: environ }).catch(exitOnError);
  for (const name of ["INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET", ...OWN_VARIABLES])
    delete environ[name];
  start(command, environ);
}

/** @param {string[]} argv */
function parseArguments(argv) {
  const end = argv.indexOf("--");
  const own = end < 0 ? argv : argv.slice(0, end);
  const command = end < 0 ? [] : argv.slice(end + 1);
  try {
    const { values, positionals } = parseArgs({
      args: own,
      allowPositionals: true,
      options: {
        override: { type: "boolean", default: false },
        environment: { type: "string" },
        strict: { type: "boolean" },
        allow: { type: "string", multiple: true },
        "allow-http": { type: "boolean" },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (!values.help && (positionals[0] || !command[0]))
      throw new Error("there is no command after --");
    const { "allow-http": allowHttp = false, ...options } = values;
    return { ...options, allowHttp, command };
  } catch (error) {
    say(`${/** @type {Error} */ (error).message}\n${USAGE}`);
    process.exit(WRONG_USAGE);
  }
}

/**
 * @param {string[]} command
 * @param {NodeJS.ProcessEnv} environ
 */
function start([program = "", ...args], environ) {
  /** @type {import("node:child_process").ChildProcess} */
  let child;
  // Registered before the child exists, so that no signal is lost; they arrive in a later turn.
  for (const signal of forwardedSignals()) process.on(signal, () => child.kill(signal));
  try {
    child = spawn(program, args, { env: environ, stdio: "inherit" });
    child.on("error", (error) => giveUp(program, error));
    child.on("exit", end);
  } catch (error) {
    giveUp(program, /** @type {Error} */ (error)); // E2BIG, if the secrets are too many.
  }
}

/**
 * @param {string} program
 * @param {NodeJS.ErrnoException} error
 */
function giveUp(program, { code }) {
  const missing = code === "ENOENT";
  say(`${program} ${missing ? "is not found: check its name and PATH" : `can't be run (${code})`}`);
  process.exit(missing ? NOT_FOUND : NOT_EXECUTABLE);
}

/** The child gets Ctrl-C and Ctrl-\ from the terminal itself; a second one could mean "at once". */
function forwardedSignals() {
  const terminal = [process.stdin, process.stdout, process.stderr].some((stream) => stream.isTTY);
  const fromKeys = ["SIGINT", "SIGQUIT"];
  for (const signal of terminal ? fromKeys : []) process.on(signal, () => {});
  return FORWARDED.filter((signal) => !terminal || !fromKeys.includes(signal));
}

/**
 * End as the child did: with its exit code, or by the same signal.
 * @param {number | null} code
 * @param {NodeJS.Signals | null} signal
 */
function end(code, signal) {
  if (signal === null) process.exit(code ?? 1);
  process.removeAllListeners(signal);
  // SIGUSR1 would start Node's debugger, and process 1 may ignore a signal.
  if (signal !== "SIGUSR1") process.kill(process.pid, signal);
  setTimeout(() => process.exit(128 + constants.signals[signal]), 50);
}
