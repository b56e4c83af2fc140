// @ts-check
/** Ask Infisical through its own SDK, an optional package. */

import { setTimeout as sleep } from "node:timers/promises";

import { LOOPBACK } from "./bootstrap.js";
import { TUNNEL, failure, notConfigured } from "./errors.js";
import { classifyUnexpected } from "./refusal.js";
import { pauseAfter } from "./retry.js";

/** @typedef {import("./bootstrap.js").Place} Place */
/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {import("./session.js").Answer} Answer */
/** @typedef {import("@infisical/sdk").InfisicalSDK} InfisicalSDK */

const PACKAGE = "@infisical/sdk";
/** The SDK's errors have the status in their text only. */
const STATUS =
  /^(?:\[URL=.*?\] \[Method=\w+\] \[StatusCode=(\d+)\] |Request failed with status (\d+)$)/;
const OF_NETWORK = /^(fetch failed|terminated|This operation was aborted)$/;

/**
 * Refuse what the SDK can't do.
 * @param {Place} place
 * @throws {ConfigError} not_configured
 */
export function checkSdk({ person, platform }) {
  if (person || platform)
    throw notConfigured(
      `${PACKAGE} logs in with a client id and secret only: leave out the option client`,
    );
}

/** A client through the SDK. */
export class SdkClient {
  /** @type {InfisicalSDK | undefined} */
  #sdk;

  /**
   * @param {Place} place
   * @param {Conversation} conversation
   * @returns {Promise<Answer>}
   */
  async logIn({ address, clientId, clientSecret }, conversation) {
    const { InfisicalSDK } = await importSdk();
    await checkServer(address, conversation);
    const sdk = new InfisicalSDK({ siteUrl: address });
    this.#sdk = sdk;
    return await ask(address, conversation, async () => {
      await sdk.auth().universalAuth.login({ clientId, clientSecret });
      return { accessToken: sdk.auth().getAccessToken() };
    });
  }

  /**
   * Request a list, with the token of the login.
   * @param {Place} place
   * @param {Conversation} conversation
   * @returns {Promise<Answer>}
   */
  async list({ address, project, environment, folder }, conversation) {
    const secrets = /** @type {InfisicalSDK} */ (this.#sdk).secrets();
    return await ask(address, conversation, () =>
      secrets.listSecrets({
        projectId: project,
        environment,
        secretPath: folder,
        viewSecretValue: true,
        expandSecretReferences: false,
        includeImports: true,
        recursive: false,
      }),
    );
  }
}

/**
 * Refuse a server that redirects, has an untrusted certificate, or can't be reached. The SDK would
 * follow a redirect with the secret, and report the others later and with less detail.
 * @param {string} address
 * @param {Conversation} conversation
 * @throws {ConfigError}
 */
async function checkServer(address, conversation) {
  const headers = { accept: "application/json", "user-agent": "infisical-config" };
  const request = { method: "GET", headers, body: undefined };
  const { status } = await conversation.send("/api/status", request);
  if (status >= 500 || status === 429 || (status >= 300 && status < 400))
    throw failure(classifyUnexpected(status), { address, status });
}

async function importSdk() {
  try {
    return await import("@infisical/sdk");
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw notConfigured(
      `${PACKAGE} is not installed: run \`npm install ${PACKAGE}\`, or leave out the option client`,
    );
  }
}

/**
 * Return the answer to a call of the SDK, which is repeated after an error of the server. The SDK
 * itself does not repeat such calls.
 * @param {string} address
 * @param {Conversation} conversation
 * @param {() => Promise<any>} call
 * @returns {Promise<Answer>}
 */
async function ask(address, conversation, call) {
  for (let attempts = 1; ; attempts += 1) {
    const answer = await conversation.within(
      call().then(
        (data) => ({ status: 200, headers: {}, data }),
        (error) => answerOf(error, address),
      ),
    );
    const pause = answer.status >= 500 ? pauseAfter(attempts, answer) : null;
    if (pause === null || pause >= conversation.rest.timeout) return answer;
    await sleep(pause * 1000);
  }
}

/**
 * Return the answer from which the SDK made an error.
 * @param {unknown} error
 * @param {string} address
 * @throws {ConfigError} unreachable, not_infisical
 */
function answerOf(error, address) {
  const text = error instanceof Error ? error.message : "";
  const found = STATUS.exec(text);
  if (found) {
    const status = Number(found[1] ?? found[2]);
    // If the text has no message, the body had none, and the refusal is not Infisical's own. A 422
    // is the exception, as its message is a list.
    const own = found[1] || status === 422 ? { statusCode: status, error: "unknown" } : {};
    return { status, headers: {}, data: { ...own, message: text.slice(found[0].length) } };
  }
  if (!OF_NETWORK.test(text)) throw failure("not_infisical", { address });
  throw failure("unreachable", { address, tunnel: LOOPBACK.test(address) ? TUNNEL : "" });
}
