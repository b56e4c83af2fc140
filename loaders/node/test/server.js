// @ts-check
/** A server on loopback with scripted answers, which counts its requests. */

import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * @typedef {object} Step one answer; `stall`, `drip` (seconds a byte) and `reset` are its failures
 * @property {number} [status]
 * @property {Record<string, string>} [headers]
 * @property {unknown} [json]
 * @property {string} [text]
 * @property {"headers" | "body"} [stall]
 * @property {number} [drip]
 * @property {boolean} [reset]
 */
/** @typedef {import("node:http").IncomingMessage} Request */
/** @typedef {import("node:http").ServerResponse} Response */
/** @typedef {{ key: Buffer, cert: Buffer }} Pair */
/** @typedef {Step[] | ((request: Request) => Step | Promise<Step>)} Script */
/**
 * @typedef {object} List the answers of a folder in a project; those that are `together` come once
 *     every list is requested
 * @property {string} project
 * @property {string} folder
 * @property {(Step & { together?: boolean })[] | ((request: Request) => Step)} answers
 */

export const LOGIN = { status: 200, json: { accessToken: "token-example", expiresIn: 1800 } };
/**
 * Return a refusal of Infisical's own.
 * @param {number} status
 * @param {object} [json] what differs from the usual body
 * @returns {Step}
 */
export const refusal = (status, json = {}) => ({
  status,
  json: { reqId: "r", statusCode: status, message: "refused", error: "SomeError", ...json },
});
export const REFUSED = refusal(401, {
  message: "Invalid credentials",
  error: "UnauthorizedError",
});
/** The servers that loaders read from, by the newest API of secrets that they have. */
export const APIS = /** @type {const} */ ([
  { api: "v4", hasV4: true },
  { api: "v3", hasV4: false },
]);
/** The same, with what the loader asks them by; the SDK reads by v3 only. */
export const CLIENTS = /** @type {const} */ ([
  ...APIS.map((each) => ({ ...each, client: /** @type {const} */ ("http") })),
  { api: "v3", hasV4: false, client: "sdk" },
]);
/** @type {Step} */
const GOOD = { json: { date: "2026-12-01T00:00:00.000Z", message: "Ok" } };
/** Down for longer than any start waits. */
export const DOWN = { status: 503, headers: { "retry-after": "600" } };

/**
 * Return a list of own secrets.
 * @param {Record<string, string>} values
 * @param {Record<string, string>} [headers]
 * @returns {Step}
 */
export const listOf = (values, headers = {}) => ({
  status: 200,
  headers,
  json: {
    secrets: Object.entries(values).map(([secretKey, secretValue]) => ({ secretKey, secretValue })),
    imports: [],
  },
});

/**
 * Return the answer to a request whose route the server does not have.
 * @param {Request} request
 * @returns {Step}
 */
export const routeMissing = ({ method, url }) => ({
  status: 404,
  json: { message: `Route ${method}:${url} not found`, error: "Not Found", statusCode: 404 },
});

/**
 * Serve: the answers of an array in turn, then its last one repeatedly. The status is not counted;
 * if the server redirects, it redirects these requests too.
 * @param {{ login?: Script, list?: Script, status?: Step, hasV4?: boolean, tls?: Pair }} scripts
 *     `hasV4`: whether it has the newer API of secrets, whose requests are in `unknown` otherwise
 */
export async function serve({ login = [LOGIN], list = [], status = GOOD, hasV4 = true, tls }) {
  const requests = { login: 0, list: 0 };
  const unknown = /** @type {string[]} */ ([]);
  const bodies = /** @type {string[]} */ ([]);
  const listener = async (/** @type {Request} */ request, /** @type {Response} */ response) => {
    if (!hasV4 && request.url?.startsWith("/api/v4/")) {
      unknown.push(request.url);
      return void (await answer(response, routeMissing(request)));
    }
    if (request.url === "/api/status") {
      const first = Array.isArray(login) ? login[0] : undefined;
      const isRedirect = first?.status && first.status >= 300 && first.status < 400;
      return void (await answer(response, isRedirect ? first : status));
    }
    const kind = request.method === "POST" ? "login" : "list";
    const script = kind === "login" ? login : list;
    const turn = requests[kind]++;
    let body = "";
    for await (const chunk of request) body += chunk;
    bodies.push(`${request.method} ${request.url} ${body}`);
    const step = Array.isArray(script)
      ? script[Math.min(turn, script.length - 1)]
      : await script(request);
    await answer(response, step ?? { status: 599 }).catch(() => {});
  };
  const server = tls ? createSecureServer(tls, listener) : createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    address: tls ? `https://localhost:${port}` : `http://127.0.0.1:${port}`,
    requests,
    unknown,
    bodies,
    close: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/**
 * Serve several projects, each with the answers of its list in turn.
 * @param {{ login?: Script, lists: List[], hasV4?: boolean }} scripts
 */
export async function serveProjects({ login = [LOGIN], lists, hasV4 = true }) {
  const counts = lists.map(() => 0);
  /** @type {(value?: unknown) => void} */
  let release;
  const allRequested = new Promise((resolve) => (release = resolve));
  const server = await serve({
    login,
    hasV4,
    list: async (request) => {
      const { searchParams: asked } = new URL(request.url ?? "", "http://localhost");
      const index = lists.findIndex(
        ({ project, folder }) =>
          project === asked.get(hasV4 ? "projectId" : "workspaceId") &&
          folder === asked.get("secretPath"),
      );
      const { answers } = lists[index] ?? { answers: [] };
      const turn = counts[index] ?? 0;
      counts[index] = turn + 1;
      if (counts.every((each) => each > 0)) release();
      if (!Array.isArray(answers)) return answers(request);
      const step = answers[Math.min(turn, answers.length - 1)] ?? { status: 599 };
      if (step.together) await allRequested;
      return step;
    },
  });
  return { ...server, counts };
}

/**
 * @param {Response} response
 * @param {Step} step
 */
async function answer(response, { status = 200, headers = {}, json, text, stall, drip, reset }) {
  if (reset) return void response.socket?.resetAndDestroy();
  if (stall === "headers") return;
  const body = text ?? (json === undefined ? "" : JSON.stringify(json));
  response.writeHead(status, { "content-type": "application/json", ...headers });
  if (stall === "body") return void response.write('{"secrets": [');
  if (drip === undefined) return void response.end(body);
  while (!response.destroyed) {
    response.write(" ");
    await sleep(drip * 1000);
  }
}
