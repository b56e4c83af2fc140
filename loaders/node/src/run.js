// @ts-check
/** The runner: start a program with the secrets only in its environment. */

import { spawn } from "node:child_process";
import { constants } from "node:os";
import { parseArgs } from "node:util";

import { TYPED } from "./bootstrap.js";
import { exitOnError, say } from "./errors.js";
import { Loader } from "./loader.js";
import { OWN_VARIABLES } from "./platform.js";

const USAGE =
  "Usage: with-secrets [--override] [--env NAME] [--strict] [--allow NAME]… " +
  "[--allow-http] -- COMMAND [ARGUMENT…]\n" +
  "       with-secrets login [--browser | --paste] [--email E-MAIL] [--organization NAME] " +
  "[--address URL] [--allow-http]\n" +
  "       with-secrets whoami | logout [--address URL]\n" +
  "       with-secrets doctor [--env NAME] [--address URL]";
const WRONG_USAGE = 64;
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;
const FORWARDED = /** @type {NodeJS.Signals[]} */ ([
  ...["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGCONT", "SIGWINCH"],
]);

const OWN = /** @type {const} */ (["login", "whoami", "logout", "doctor"]);

/**
 * Run the command after `--`, and end with its status or signal; or run one of the runner's own.
 * @param {string[]} argv without the program's own name
 */
export async function run(argv) {
  const { own, command, help, ...options } = parseArguments(argv);
  if (help) return void process.stdout.write(`${USAGE}\n`);
  if (own) return await runOwn(own, options).catch(exitOnError);
  const environ = { ...process.env };
  await load({ ...options, into: environ }, environ).catch(exitOnError);
  for (const name of ["INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET", ...OWN_VARIABLES])
    delete environ[name];
  start(command, environ);
}

/**
 * @param {import("./loader.js").Options} options
 * @param {Record<string, string | undefined>} environ of the program
 */
async function load(options, environ) {
  const loader = new Loader(process.env, options);
  const { person, environment, folder } = loader.place;
  if (person) {
    say(`reads ${environment} ${folder} as ${person.email}`);
    // A loader in the program has the same login, and must not read another environment.
    environ["INFISICAL_ENVIRONMENT"] = environment;
    if (options.isTyped) environ[TYPED] = environment;
  }
  loader.resolve(await loader.start());
}

/**
 * Run a command about a person's login; it ends by itself.
 * @param {(typeof OWN)[number]} name
 * @param {any} options
 */
async function runOwn(name, options) {
  const tell = (/** @type {string} */ text) => void process.stdout.write(`${text}\n`);
  const { login, logout, whoami } = await import("./commands.js");
  if (name === "whoami") return await whoami(process.env, options, tell);
  if (name === "logout") return await logout(process.env, options, tell);
  if (name === "login") {
    const { askOnTerminal } = await import("./terminal.js");
    return await login(process.env, options, { ask: askOnTerminal, tell });
  }
  const { doctor } = await import("./doctor.js");
  process.exitCode = await doctor(process.env, options, tell);
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
        env: { type: "string" },
        environment: { type: "string" },
        strict: { type: "boolean" },
        allow: { type: "string", multiple: true },
        "allow-http": { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
        address: { type: "string" },
        browser: { type: "boolean", default: false },
        email: { type: "string" },
        organization: { type: "string" },
        paste: { type: "boolean", default: false },
      },
    });
    const name = OWN.find((each) => each === positionals[0]);
    const isComplete = name ? !positionals[1] && end < 0 : !positionals[0] && command[0];
    if (!values.help && !isComplete)
      throw new Error(name ? `${name} takes no command` : withoutCommand(positionals));
    const { "allow-http": allowHttp, env, ...options } = values;
    const environment = env || values.environment;
    return {
      ...options,
      environment,
      isTyped: Boolean(environment),
      allowHttp,
      own: name,
      command,
    };
  } catch (error) {
    say(`${/** @type {Error} */ (error).message}\n${USAGE}`);
    process.exit(WRONG_USAGE);
  }
}

/** @param {string[]} positionals */
function withoutCommand([program]) {
  return program
    ? `there is no -- before ${program}: write with-secrets -- ${program} …`
    : "there is no command after --";
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

/**
 * Return the signals to forward. The terminal sends Ctrl-C and Ctrl-\ to the child itself, and to a
 * program a second one can mean "end at once".
 */
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
