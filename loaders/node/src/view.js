// @ts-check
/** Values that can be read one by one, and don't show when the whole is printed. */

import { inspect } from "node:util";

/**
 * A read-only object of these values that prints as their names: getters show as such even where
 * a printer passes over `inspect.custom`, as `console.dir` does.
 * @param {Iterable<[string, unknown]>} values
 * @returns {any}
 */
export function view(values) {
  const held = new Map(values);
  const names = [...held.keys()];
  const text = () => `Config { ${names.join(", ")} }`;
  const printed = Object.create(null, {
    toJSON: { value: () => names },
    [inspect.custom]: { value: text },
    [Symbol.toPrimitive]: { value: text },
  });
  const shown = Object.create(printed);
  // A secret called toJSON would otherwise switch the hiding off.
  const enumerable = !held.has("toJSON");
  for (const name of names)
    Object.defineProperty(shown, name, { get: () => held.get(name), enumerable });
  return Object.freeze(shown);
}
