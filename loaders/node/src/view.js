// @ts-check
/** Make an object whose values can be read one by one, but are hidden when it is printed. */

import { inspect } from "node:util";

/**
 * Return a read-only object of these values that prints as their names: getters hide values even
 * from a printer that ignores `inspect.custom`, as `console.dir` does.
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
  // Otherwise, a secret called toJSON would turn the hiding off.
  const enumerable = !held.has("toJSON");
  for (const name of names)
    Object.defineProperty(shown, name, { get: () => held.get(name), enumerable });
  return Object.freeze(shown);
}
