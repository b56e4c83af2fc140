// @ts-check
/**
 * Measure one start: `node bench/start.js loader`, or `bare` for two requests by `fetch`. Needs the
 * three variables, in a directory with `.infisical.json`. Prints {"ms", "import_ms"}: the start,
 * and the import of the loader.
 */

import { readFileSync } from "node:fs";

const { env } = process;
const { workspaceId, domain, defaultSecretPath } = JSON.parse(
  readFileSync(".infisical.json", "utf8"),
);

async function loader() {
  const begun = performance.now();
  const { load } = await import("../index.js");
  const imported = performance.now();
  await load();
  return { ms: performance.now() - imported, import_ms: imported - begun };
}

async function bare() {
  const begun = performance.now();
  const { accessToken } = await answer("/api/v1/auth/universal-auth/login", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      clientId: env["INFISICAL_CLIENT_ID"],
      clientSecret: env["INFISICAL_CLIENT_SECRET"],
    }),
  });
  const query = new URLSearchParams({
    projectId: workspaceId,
    environment: env["NODE_ENV"] ?? "",
    secretPath: defaultSecretPath,
    expandSecretReferences: "false",
    includeImports: "true",
  });
  const headers = { authorization: `Bearer ${accessToken}` };
  await answer(`/api/v4/secrets?${query}`, { headers });
  return { ms: performance.now() - begun, import_ms: 0 };
}

/**
 * @param {string} path
 * @param {RequestInit} options
 */
async function answer(path, options) {
  const response = await fetch(`${domain}${path}`, options);
  if (!response.ok) throw new Error(`${path} answers ${response.status}`);
  return /** @type {any} */ (await response.json());
}

console.log(JSON.stringify(await (process.argv[2] === "bare" ? bare() : loader())));
