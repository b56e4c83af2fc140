// @ts-check
/**
 * Make HTTP requests by `node:http`. `fetch` takes three times as long for the first request of a
 * process, follows redirects, and its sockets keep a process alive.
 */

import { once } from "node:events";
import * as http from "node:http";
import * as https from "node:https";
import { text } from "node:stream/consumers";

/**
 * @typedef {object} Answer
 * @property {number} status
 * @property {http.IncomingHttpHeaders} headers
 * @property {string} body
 */
/**
 * @typedef {object} Connection
 * @property {http.Agent} agent
 * @property {AbortSignal} signal ends the request, even within its body
 * @property {boolean} background whether the process may end while the request is under way
 */

/**
 * Return a pool that keeps its connections for later requests.
 * @param {string} address
 * @param {boolean} isVerified whether the server's certificate is verified
 * @param {number} connections at most, at the same time
 */
export function agentFor(address, isVerified, connections) {
  const options = { keepAlive: true, maxSockets: connections };
  if (!address.startsWith("https:")) return new http.Agent(options);
  return new https.Agent({ ...options, rejectUnauthorized: isVerified });
}

/**
 * Make a request; redirects are not followed.
 * @param {URL} url
 * @param {{ method: string, headers: Record<string, string>, body: string | undefined }} request
 * @param {Connection} connection
 * @returns {Promise<Answer>}
 * @throws {Error} for any failure of the connection
 */
export async function exchange(url, { method, headers, body }, { agent, signal, background }) {
  const { request } = url.protocol === "https:" ? https : http;
  const sent = request(url, { method, headers, agent, signal });
  if (background) sent.on("socket", (socket) => socket.unref());
  sent.end(body);
  // Without a response, as after "101 Switching Protocols", it may close without an error.
  const closed = once(sent, "close").then(() => Promise.reject(new Error("no response")));
  const [response] = /** @type {[http.IncomingMessage]} */ (
    await Promise.race([once(sent, "response"), closed])
  );
  sent.on("error", () => {}); // Later failures show in the body.
  const status = response.statusCode ?? 0;
  return { status, headers: response.headers, body: await bodyOf(response, status) };
}

/**
 * @param {http.IncomingMessage} response
 * @param {number} status
 */
async function bodyOf(response, status) {
  try {
    return await text(response);
  } catch (error) {
    // A refusal counts without its body, as Infisical's own: trying a wrong secret again would lock
    // the identity.
    if (status >= 400 && status < 500 && status !== 429)
      return JSON.stringify({ statusCode: status, error: "cut off" });
    throw error;
  }
}
