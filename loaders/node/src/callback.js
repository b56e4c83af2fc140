// @ts-check
/** Receive a login from the page of Infisical in a browser, as the vendor's command line does. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";

import { failure, notConfigured } from "./errors.js";
import { isText, jsonObject } from "./json.js";

const MINUTES = 5;
const LONGEST = 65_536;

/**
 * Open the page, and wait for the token that it sends to a port of this machine.
 * @param {string} address
 * @param {(text: string) => void} tell
 * @param {(url: string) => void} [open]
 * @returns {Promise<{ email: string, token: string }>}
 * @throws {ConfigError} deadline
 */
export async function waitForBrowser(address, tell, open = openBrowser) {
  const { origin } = new URL(address);
  /** @type {(found: { email: string, token: string }) => void} */
  let finish;
  const received = new Promise((resolve) => (finish = resolve));
  const server = createServer(async (request, response) => {
    // Any other page could send the login of somebody else.
    if (request.headers.origin !== origin) return void response.writeHead(403).end();
    response.setHeader("access-control-allow-origin", origin);
    response.setHeader("access-control-allow-methods", "POST");
    response.setHeader("access-control-allow-headers", "content-type, accept");
    response.setHeader("access-control-allow-private-network", "true");
    response.setHeader("connection", "close");
    if (request.method === "OPTIONS") return void response.writeHead(204).end();
    const found = request.method === "POST" ? loginIn(await bodyOf(request)) : null;
    response.writeHead(found ? 200 : 400).end(() => found && finish(found));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const url = `${address}/login?callback_port=${port}`;
  tell(`Log in within ${MINUTES} minutes in the browser, at ${url}`);
  open(url);
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  try {
    const late = new Promise((_, reject) => {
      const error = failure("deadline", { address, timeout: MINUTES * 60 });
      timer = setTimeout(() => reject(error), MINUTES * 60_000);
    });
    return await Promise.race([received, late]);
  } finally {
    clearTimeout(timer);
    server.close();
    server.closeAllConnections(); // Browsers also open connections without sending anything.
  }
}

/**
 * Return the login in a text that the page shows if it can't reach the port.
 * @param {string} text
 * @throws {ConfigError} not_configured
 */
export function pastedLogin(text) {
  const found = loginIn(Buffer.from(text, "base64").toString("utf8"));
  if (!found)
    throw notConfigured("this is not the token that the page shows: copy it there as a whole");
  return found;
}

/** @param {string} text */
function loginIn(text) {
  const found = jsonObject(text);
  return isText(found?.JTWToken) && isText(found.email)
    ? { email: found.email, token: found.JTWToken }
    : null;
}

/**
 * Return the body of a request; "" for one that is too long or breaks off.
 * @param {import("node:http").IncomingMessage} request
 */
async function bodyOf(request) {
  let body = "";
  try {
    for await (const chunk of request.setEncoding("utf8")) {
      body += chunk;
      if (body.length > LONGEST) return "";
    }
  } catch {
    return ""; // The request of a page breaks off when the page is closed or loaded again.
  }
  return body;
}

/**
 * Open the browser, if this machine has one; the address is printed in any case.
 * @param {string} url
 */
function openBrowser(url) {
  const [program = "", ...args] =
    process.platform === "darwin"
      ? ["open", url]
      : process.platform === "win32"
        ? ["rundll32", "url.dll,FileProtocolHandler", url]
        : ["xdg-open", url];
  const child = spawn(program, args, { stdio: "ignore", detached: true });
  child.on("error", () => {});
  child.unref();
}
