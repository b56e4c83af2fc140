// @ts-check
/** Make the two documented requests of a start by HTTP, without a package. */

import { jsonObject } from "./json.js";
import { platformToken } from "./platform.js";
import { isRouteMissing } from "./refusal.js";

/** @typedef {import("./bootstrap.js").Place} Place */
/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {import("./session.js").Answer} Answer */
/** @typedef {{ path: string, project: string, imports: string }} Api a list, with its parameters */

const LOGIN = "/api/v1/auth/universal-auth/login";
const TOKEN_LOGIN = "/api/v1/auth/oidc-auth/login";
/** @type {Api} */
const V4 = { path: "/api/v4/secrets", project: "projectId", imports: "includeImports" };
/** @type {Api} */
const V3 = { path: "/api/v3/secrets/raw", project: "workspaceId", imports: "include_imports" };

/** A client by the HTTP of Node itself. */
export class HttpClient {
  /** The newest API of the server. */
  #api = V4;

  /**
   * @param {Place} place
   * @param {Conversation} conversation
   * @returns {Promise<Answer>}
   */
  async logIn({ clientId, clientSecret, platform }, conversation) {
    const credential = platform
      ? { identityId: clientId, jwt: await platformToken(platform, conversation.rest) }
      : { clientId, clientSecret };
    const headers = { "content-type": "application/json" };
    const path = platform ? TOKEN_LOGIN : LOGIN;
    return ask(conversation, "POST", path, headers, JSON.stringify(credential));
  }

  /**
   * Request a list by an API, or by the older one if the server does not have it.
   * @param {Place} place
   * @param {Conversation} conversation
   * @param {string} token
   * @param {string} [etag] of the list that is known
   * @returns {Promise<Answer>}
   */
  async list(place, conversation, token, etag) {
    const api = this.#api;
    const query = new URLSearchParams({
      [api.project]: place.project,
      environment: place.environment,
      secretPath: place.folder,
      viewSecretValue: "true",
      expandSecretReferences: "false",
      [api.imports]: "true",
      recursive: "false",
    });
    const answer = await ask(conversation, "GET", `${api.path}?${query}`, {
      authorization: `Bearer ${token}`,
      ...(etag ? { "if-none-match": etag } : {}),
    });
    if (api !== V4 || !isRouteMissing(answer)) return answer;
    this.#api = V3;
    return this.list(place, conversation, token, etag);
  }
}

/**
 * Make a request over the conversation.
 * @param {Conversation} conversation
 * @param {string} method
 * @param {string} path
 * @param {Record<string, string>} headers
 * @param {string} [body]
 * @returns {Promise<Answer>}
 */
async function ask(conversation, method, path, headers, body) {
  const answer = await conversation.send(path, {
    method,
    headers: { accept: "application/json", "user-agent": "infisical-config", ...headers },
    body,
  });
  return { ...answer, data: jsonObject(answer.body) };
}
