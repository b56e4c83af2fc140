// @ts-check
/** Load the secrets at import; a failure ends the process with one line that has the reason. */

import { exitOnError, load } from "./index.js";

export const config = await load().catch(exitOnError);
