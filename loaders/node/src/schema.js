// @ts-check
/** Parse values by a schema such as zod's. */

import { failure } from "./errors.js";
import { view } from "./view.js";

/** @typedef {import("../index.js").Schema<any>} Schema */
/** @typedef {import("../index.js").SchemaIssue} Issue */

/**
 * Return the names of a schema, if it lists them.
 * @param {Schema | undefined} schema
 */
export const namesIn = (schema) => Object.keys(schema?.shape ?? {});

/**
 * Return the schema's result for the values; a plain object becomes one that hides its values.
 * @param {Schema} schema
 * @param {import("./merge.js").Secrets} values
 * @param {import("./bootstrap.js").Place} place
 * @throws {ConfigError} invalid: names and kinds, because a schema's messages may quote values
 */
export function parse(schema, values, place) {
  const result = schema.safeParse(Object.fromEntries(values));
  if (result.success) return isPlain(result.data) ? view(Object.entries(result.data)) : result.data;
  const problems = result.error.issues.map((issue) => problem(issue, values));
  throw failure("invalid", { ...place, problems: [...new Set(problems)].join(", ") });
}

/**
 * @param {Issue} issue
 * @param {import("./merge.js").Secrets} values
 */
function problem({ path, code }, values) {
  // The rest of the path is inside the value, and may be part of the secret.
  const name = path.length > 0 ? String(path[0]) : "the whole";
  const absent = path.length === 1 && !values.has(String(path[0]));
  return `${name} (${absent ? "missing" : code})`;
}

/** @param {unknown} data */
function isPlain(data) {
  if (typeof data !== "object" || data === null) return false;
  const prototype = Object.getPrototypeOf(data);
  return prototype === Object.prototype || prototype === null;
}
