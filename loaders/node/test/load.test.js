// @ts-check
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { format, inspect } from "node:util";

import { ConfigError } from "../src/errors.js";
import { loadFrom } from "../src/loader.js";
import { z } from "zod";
import { listOf, serve } from "./server.js";
import { directory, environFor } from "./tools.js";

const VALUES = { DATABASE_URL: "postgres://value-example", PORT: "80", PATH: "/evil", "A=B": "x" };

describe("a load", () => {
  /** @type {Awaited<ReturnType<typeof serve>>} */
  let server;
  before(async () => void (server = await serve({ list: [listOf(VALUES)] })));
  after(() => server.close());

  /** @type {string[]} */
  let warnings;
  /**
   * @param {import("../src/loader.js").Options} options
   * @param {Record<string, string>} environ
   */
  function load(options = {}, environ = {}) {
    warnings = [];
    return loadFrom(
      { ...environFor(server.address), ...environ },
      { directory: directory(), warn: (text) => warnings.push(text), ...options },
    );
  }

  test("shows names and no value, however it is printed", async () => {
    const config = await load();
    assert.equal(inspect(config), "Config { DATABASE_URL, PORT, A=B }");
    assert.equal(JSON.stringify(config), '["DATABASE_URL","PORT","A=B"]');
    const printed = [
      `${config}`,
      format("%s %o %O %j", config, config, config, { config }),
      inspect(config, { customInspect: false, showHidden: true, depth: 9 }),
      inspect({ deep: [config] }, { depth: 9 }),
    ].join("\n");
    assert.match(printed, /DATABASE_URL/);
    assert.doesNotMatch(printed, /value-example/);
  });

  test("can be read by name and spread, and not be changed", async () => {
    const config = await load();
    assert.equal(config.PORT, "80");
    assert.equal({ ...config }.DATABASE_URL, VALUES.DATABASE_URL);
    assert.equal(config.constructor, undefined);
    assert.throws(() => (config.PORT = "81"), TypeError);
    assert.throws(() => delete config.PORT, TypeError);
  });

  test("sets variables only in `into`", async () => {
    const before = { ...process.env };
    await load();
    assert.deepEqual({ ...process.env }, before);
    const into = { PATH: "/bin" };
    await load({ into });
    assert.deepEqual(into, { PATH: "/bin", DATABASE_URL: VALUES.DATABASE_URL, PORT: "80" });
    assert.deepEqual(warnings, [
      "withheld unless `allow` names them, because they could take over a process: PATH; " +
        "not set, because no environment can hold them: A=B",
    ]);
  });

  test("lets only requested names through in strict mode", async () => {
    /** @type {Record<string, string>} */
    const into = {};
    await load({ strict: true, schema: z.object({ PORT: z.string() }), into });
    assert.deepEqual(into, { PORT: "80" });
    assert.match(String(warnings), /nothing requests them: A=B, DATABASE_URL$/);
  });

  test("reports every missing name at once", async () => {
    await assert.rejects(
      load({ required: ["X", "PORT", "Y"] }),
      ({ code, message }) => code === "missing" && message.startsWith("X, Y missing in production"),
    );
  });

  test("returns the result of the schema, and hides its values too", async () => {
    const schema = z.object({ PORT: z.coerce.number(), EXTRA: z.string().default("none") });
    const config = await load({ schema });
    assert.deepEqual({ ...config }, { PORT: 80, EXTRA: "none" });
    assert.equal(inspect(config), "Config { PORT, EXTRA }");
  });

  test("fills a schema's names from the environment", async () => {
    const schema = z.object({ REGION: z.string(), PORT: z.string() });
    const config = await load({ schema }, { REGION: "eu", PORT: "81" });
    assert.deepEqual({ ...config }, { REGION: "eu", PORT: "81" });
  });

  test("reports refusals of a schema by name and kind, never by value", async () => {
    const schema = z.object({
      DATABASE_URL: z.enum(["postgres://other"]),
      PORT: z.coerce.number().max(10),
      GONE: z.string(),
    });
    /** @type {ConfigError} */
    const error = await load({ schema }).then(assert.fail, (error) => error);
    assert.equal(
      error.message,
      "DATABASE_URL (invalid_enum_value), PORT (too_big), GONE (missing) in production /backend " +
        `of ${server.address}: correct the values`,
    );
    assert.doesNotMatch(inspect(error, { depth: 9 }), /value-example/);
  });

  test("reports no name that is inside a value", async () => {
    const issue = { code: "custom", path: ["DATABASE_URL", "value-example"] };
    const schema = { safeParse: () => ({ success: false, error: { issues: [issue] } }) };
    await assert.rejects(
      load({ schema: /** @type {any} */ (schema) }),
      /^ConfigError: DATABASE_URL \(custom\) in /,
    );
  });

  test("accepts any object with safeParse as a schema", async () => {
    class Settings {
      port = 80;
    }
    const schema = { safeParse: () => ({ success: true, data: new Settings() }) };
    assert.ok((await load({ schema: /** @type {any} */ (schema) })) instanceof Settings);
    const refusing = {
      safeParse: () => ({ success: false, error: { issues: [{ code: "custom", path: [] }] } }),
    };
    await assert.rejects(
      load({ schema: /** @type {any} */ (refusing) }),
      /^.*the whole \(custom\)/,
    );
  });
});

test("a secret named toJSON does not expose the others", async () => {
  const server = await serve({ list: [listOf({ toJSON: "x", A: "value-example" })] });
  const config = await loadFrom(environFor(server.address), { directory: directory() });
  await server.close();
  assert.doesNotMatch(JSON.stringify(config), /value-example/);
  assert.equal(config.A, "value-example");
});
