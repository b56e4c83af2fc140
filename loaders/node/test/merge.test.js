// @ts-check
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { insistOn, merged, settled } from "../src/merge.js";
import { PROJECT, vectors } from "./tools.js";

const PLACE = {
  clientId: "id-example",
  clientSecret: "secret-example",
  address: "https://secrets.example.com",
  environment: "production",
  project: PROJECT,
  folder: "/backend",
};

describe("what comes out", () => {
  for (const { name, answer, environ, override, required, want } of vectors.merge)
    test(name, () => {
      const decide = () => {
        const result = settled(merged(answer, PLACE), environ, { override, asked: required });
        insistOn(required, result.values, PLACE);
        return result;
      };
      if (want.error)
        return assert.throws(decide, {
          name: "ConfigError",
          code: want.error,
          message: want.message,
        });
      const { values, withheld, notExported } = decide();
      assert.deepEqual(new Map(values), new Map(Object.entries(want.values)));
      assert.deepEqual(withheld, want.withheld);
      assert.deepEqual(notExported, want.notExported);
    });
});
