// @ts-check
/** Check the types that a service's editor sees; `tsc` reads this file, node doesn't. */

import { load, watch } from "infisical-config";
import { config } from "infisical-config/config.js";
import { z } from "zod";

/** @type {string | undefined} */
export const perhaps = config["A"];

const named = await load({ required: ["DATABASE_URL"] });
/** @type {string} */
export const certain = named.DATABASE_URL;
// @ts-expect-error: not required, so it may be missing
/** @type {string} */ export const uncertain = named["OTHER"];
// @ts-expect-error: read-only
named.DATABASE_URL = "x";

const typed = await load({ schema: z.object({ PORT: z.coerce.number() }) });
/** @type {number} */
export const port = typed.PORT;
// @ts-expect-error: the schema has no such key
export const unknown = typed.OTHER;

const watched = await watch({
  required: ["A"],
  onChange: (config, names) => console.log(config.A.length, names.length),
});
/** @type {string} */
export const current = watched.config.A;
