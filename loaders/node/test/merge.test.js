// @ts-check
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { insistOn, merge, resolve } from "../src/merge.js";
import { CREDENTIALS, FAMILIES } from "../src/families.js";
import { isWithheld } from "../src/withheld.js";
import { PROJECT, vectors } from "./tools.js";

const PLACE = {
  clientId: "id-example",
  clientSecret: "secret-example",
  address: "https://secrets.example.com",
  environment: "production",
  project: PROJECT,
  folder: "/backend",
  imports: [],
  strict: false,
  allow: [],
};

describe("the merged values", () => {
  for (const {
    name,
    answer,
    imports,
    environ,
    override,
    required,
    want,
    ...policy
  } of vectors.merge)
    test(name, () => {
      const place = { ...PLACE, imports };
      const answers = [answer, ...imports.map((/** @type {any} */ each) => each.answer)];
      const decide = () => {
        const result = resolve(merge(answers, place), environ, {
          override,
          requested: required,
          policy,
        });
        insistOn(required, result.values, place);
        return result;
      };
      if (want.error)
        return assert.throws(decide, {
          name: "ConfigError",
          code: want.error,
          message: want.message,
        });
      const { values, withheld, leftOut, notExported } = decide();
      assert.deepEqual(new Map(values), new Map(Object.entries(want.values)));
      assert.deepEqual(withheld, want.withheld);
      assert.deepEqual(leftOut, want.leftOut);
      assert.deepEqual(notExported, want.notExported);
    });
});

const { withheldNames } = vectors;

describe("names that run code or redirect connections", () => {
  for (const name of withheldNames.withheld)
    test(`${name} is withheld`, () => {
      assert.ok(isWithheld(name, false));
      assert.ok(isWithheld(name.toLowerCase(), true));
    });
  for (const name of withheldNames.kept)
    test(`${name} gets through`, () => assert.ok(!isWithheld(name, false)));
  for (const name of withheldNames.withheldOnWindows)
    test(`${name} is withheld on Windows`, () =>
      assert.deepEqual([isWithheld(name, false), isWithheld(name, true)], [false, true]));
});

test("the families equal the shared ones", () => {
  const words = (/** @type {string} */ text) => text.split(" ").filter(Boolean);
  const { credentials, families } = vectors.withheld;
  assert.deepEqual(CREDENTIALS, words(credentials));
  const shared = families.map((/** @type {any} */ { reason: _, ...each }) => ({
    ...each,
    names: words(each.names),
    prefixes: words(each.prefixes),
    suffixes: words(each.suffixes),
    except: words(each.except),
  }));
  assert.deepEqual(FAMILIES, shared);
});
