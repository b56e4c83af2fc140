// @ts-check
/** Helpers of several tests. */

import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
export const PROJECT = "00000000-0000-4000-8000-000000000001";
export const SECRET = "client-secret-example";

/** The cases that both languages' loaders share. */
export const vectors = JSON.parse(
  readFileSync(new URL("../../vectors.json", import.meta.url), "utf8"),
);

/**
 * Return the cases of a group as a client has them.
 * @param {"answers" | "projects"} group
 * @param {"http" | "sdk"} client
 * @returns {any[]}
 */
export const casesOf = (group, client) =>
  vectors[group].map((/** @type {any} */ each) => ({
    ...each,
    ...(client === "sdk" && vectors.sdk[group][each.name]?.node),
  }));

/** The directory of all of this process, which is removed at its end. */
const root = mkdtempSync(join(tmpdir(), "infisical-config-"));
process.on("exit", () => rmSync(root, { recursive: true, force: true }));

/** Make an empty directory. */
export const directory = () => mkdtempSync(join(root, "-"));

/**
 * Make a directory with files; only the owner can read those that begin with `.env`.
 * @param {Record<string, string | null>} files null: missing
 */
export function directoryWith(files) {
  const made = directory();
  for (const [name, text] of Object.entries(files))
    if (text !== null)
      writeFileSync(join(made, name), text, { mode: name.startsWith(".env") ? 0o600 : 0o644 });
  return made;
}

/**
 * Return the environment of a service whose Infisical is at this address.
 * @param {string} address
 * @returns {Record<string, string>}
 */
export const environFor = (address) => ({
  ...credentials(),
  INFISICAL_DOMAIN: address,
  INFISICAL_PROJECT_ID: PROJECT,
  INFISICAL_SECRET_PATH: "/backend",
});

/**
 * Make the directory of a service that has a project of its own, and imports folders of others.
 * @param {string} address
 * @param {{ project: string, folder: string }[]} lists its own folder, then those that it imports
 */
export function directoryOf(address, [own, ...imports]) {
  const production = {
    workspaceId: own?.project,
    imports: imports.map(({ project, folder }) => ({ workspaceId: project, secretPath: folder })),
  };
  const file = { domain: address, defaultSecretPath: own?.folder, projects: { production } };
  return directoryWith({ ".infisical.json": JSON.stringify(file) });
}

/** Return the environment of a service whose Infisical and projects are in `.infisical.json`. */
export const credentials = () => ({
  INFISICAL_CLIENT_ID: "id-example",
  INFISICAL_CLIENT_SECRET: SECRET,
  NODE_ENV: "production",
  // The note of a refused credential must not affect another test.
  TMPDIR: directory(),
});

/**
 * Make a certificate of localhost; return the files of its key and of itself.
 * @param {number} [days]
 */
export function certificate(days = 30) {
  const made = directory();
  const [key, cert] = [join(made, "key"), join(made, "cert")];
  const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
  const subject = ["-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  const files = ["-days", String(days), "-keyout", key, "-out", cert];
  execFileSync("openssl", [...request, ...subject, ...files], { stdio: "ignore" });
  return /** @type {[string, string]} */ ([key, cert]);
}

/**
 * Run a program to its end.
 * @param {string[]} command arguments of node
 * @param {Record<string, string>} environ
 * @param {string} [cwd]
 * @returns {Promise<{ status: number | null, signal: string | null, stdout: string,
 *     stderr: string, seconds: number }>}
 */
export function node(command, environ, cwd = PACKAGE) {
  const begun = performance.now();
  const env = { PATH: process.env["PATH"], HOME: process.env["HOME"], ...environ };
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      command,
      { env, cwd, timeout: 30_000, killSignal: "SIGKILL" },
      (_, stdout, stderr) => {
        const { exitCode: status, signalCode: signal } = child;
        resolve({ status, signal, stdout, stderr, seconds: (performance.now() - begun) / 1000 });
      },
    );
  });
}

/**
 * Run a script as a module of this package.
 * @param {string} script
 * @param {Record<string, string>} environ
 */
export const script = (script, environ) => node(["--input-type=module", "--eval", script], environ);

/**
 * Start the runner, and wait for the first line of its child.
 * @param {string[]} args
 * @param {Record<string, string>} environ
 */
export async function startRunner(args, environ) {
  const env = { PATH: process.env["PATH"], ...environ };
  const runner = spawn(process.execPath, [join(PACKAGE, "bin/with-secrets.js"), ...args], {
    env,
    cwd: PACKAGE,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 30_000,
  });
  let output = "";
  runner.stderr.on("data", (chunk) => (output += chunk));
  const line = once(runner.stdout, "data");
  const end = once(runner, "close");
  if ((await Promise.race([line.then(() => "line"), end])) !== "line")
    throw new Error(`the runner ended before its child had said anything: ${output}`);
  return runner;
}
