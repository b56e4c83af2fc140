import type { Config } from "./index.js";

/** The values of the service's folder. The import ends the process if they can't be loaded. */
export declare const config: Config;
