// @ts-check
/** The secrets, loaded by the import; a process that can't have them ends with a line of why. */

import { exitOnError, load } from "./index.js";

export const config = await load().catch(exitOnError);
