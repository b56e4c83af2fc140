// @ts-check
/** Translate a failed answer of Infisical into an error code, without effects. */

import { isText } from "./json.js";

/** @typedef {import("../index.js").ErrorCode} ErrorCode */
/** @typedef {{ status: number, data: any }} Answer `data`: the JSON object of the body, or null */

/** The server's error names if the token is valid, but its identity may not read the folder. */
const DENIED = ["PermissionDenied", "ProjectMembershipNotFound"];

/** Statuses of proxies and firewalls that deny access, and of an ingress that misses Infisical. */
const OUTAGES = [401, 403, 404, 407];

/**
 * Return the code of a refusal by something in place of Infisical, such as a proxy; null for all
 * other answers. Such a refusal says nothing about the credential. Infisical's own refusals name
 * their status and error in the body.
 * @param {Answer} answer
 * @returns {ErrorCode | null}
 */
export function foreignRefusal({ status, data }) {
  if (status < 400 || status >= 500 || status === 429) return null;
  if (data?.statusCode === status && isText(data.error)) return null;
  return OUTAGES.includes(status) ? "unreachable" : "not_infisical";
}

/**
 * Return the code of a failed login, or null if it succeeded.
 * @param {Answer} answer
 * @returns {ErrorCode | null}
 */
export function loginRefusal({ status, data }) {
  if (status === 200) return isText(data?.accessToken) ? null : "not_infisical";
  if (status === 401 && /\block/i.test(data?.message)) return "locked";
  if ([400, 401, 403, 422].includes(status)) return "refused";
  return classifyUnexpected(status);
}

/**
 * Return the code of a failed login by a platform's token, or null if it succeeded.
 * @param {Answer} answer
 * @returns {ErrorCode | null}
 */
export const tokenLoginRefusal = (answer) =>
  answer.status === 404 && !isRouteMissing(answer) ? "refused" : loginRefusal(answer);

/**
 * Return the code of a failed list, or null if it succeeded.
 * @param {Answer} answer
 * @returns {ErrorCode | null}
 */
export function listRefusal({ status, data }) {
  if (status === 200) return isList(data) ? null : "not_infisical";
  if (status === 401 || status === 403) return "forbidden";
  if ([400, 404, 422].includes(status)) return "not_found";
  return classifyUnexpected(status);
}

/**
 * Return whether a list was refused because of the token, so that a new login may help.
 * @param {Answer} answer
 */
export const tokenEnded = ({ status, data }) =>
  status === 401 || (status === 403 && !DENIED.includes(data?.error));

/**
 * Return whether the server has no such route, in the words of its framework. A missing project or
 * folder is reported by another name, such as `SecretPathNotFound`.
 * @param {Answer} answer
 */
export const isRouteMissing = ({ status, data }) =>
  status === 404 && data?.error === "Not Found" && /^Route /.test(data.message);

/**
 * @param {number} status
 * @returns {ErrorCode}
 */
export function classifyUnexpected(status) {
  if (status === 429) return "rate_limited";
  return status >= 500 ? "server" : "not_infisical";
}

/** @param {any} data */
const isList = (data) =>
  isSecrets(data?.secrets) &&
  (data.imports === undefined ||
    (Array.isArray(data.imports) &&
      data.imports.every((/** @type {any} */ group) => isSecrets(group?.secrets))));

/** @param {any} secrets */
const isSecrets = (secrets) =>
  Array.isArray(secrets) &&
  secrets.every(
    (secret) =>
      isText(secret?.secretKey) &&
      (typeof secret.secretValue === "string" || secret.secretValueHidden === true),
  );
