/** Values by name. Read-only; printing it shows only the names. */
export type Config<Names extends string = never> = Readonly<Record<Names, string>> &
  Readonly<Record<string, string | undefined>>;

export type ErrorCode =
  | "not_configured"
  | "refused"
  | "refused_before"
  | "locked"
  | "login_needed"
  | "forbidden"
  | "not_found"
  | "hidden"
  | "empty"
  | "not_infisical"
  | "unreachable"
  | "deadline"
  | "server"
  | "rate_limited"
  | "missing"
  | "invalid";

/** A failed start. The message is one sentence and never contains a value. */
export declare class ConfigError extends Error {
  readonly code: ErrorCode;
  /** 75: try again later. 77: refused. 78: something has to be corrected first. */
  readonly exitCode: 75 | 77 | 78;
  constructor(code: ErrorCode, message: string, options?: ErrorOptions);
}

export interface SchemaIssue {
  readonly code: string;
  readonly path: readonly PropertyKey[];
}

/** The shape of zod's schemas; `shape` names keys that are read from the environment too. */
export interface Schema<T> {
  readonly shape?: object;
  safeParse(
    data: unknown,
  ):
    | { success: true; data: T }
    | { success: false; error: { readonly issues: readonly SchemaIssue[] } };
}

export interface CacheOptions {
  /** In a directory that exists. */
  file: string;
  /** In seconds; a day by default. */
  maxAge?: number;
}

export interface LoadOptions {
  /** Instead of INFISICAL_ENVIRONMENT and NODE_ENV. */
  environment?: string | undefined;
  /** First directory of the search for .infisical.json; the working directory by default. */
  directory?: string;
  /** Names that must exist and not be empty. */
  required?: readonly string[];
  /** Infisical wins over the process's own environment. */
  override?: boolean;
  /**
   * Gets the values too, such as process.env; and the NODE_ENV of `.env.local` if it is not merely
   * the name of the environment, and the process has none.
   */
  into?: Record<string, string | undefined>;
  /** Seconds for the whole start; 20 by default. */
  timeout?: number;
  /** A file to start from while Infisical is down. */
  cache?: CacheOptions;
  /** "sdk" asks through `@infisical/sdk`, which has to be installed; "http", the default, needs no package. */
  client?: "http" | "sdk";
  /** Accept plain http to another machine, as INFISICAL_ALLOW_HTTP=1 does. */
  allowHttp?: boolean;
  /** Only names in `required`, `schema` and `allow` get through. */
  strict?: boolean | undefined;
  /**
   * Names that get through although they could take over the process, such as GIT_SSH_COMMAND; in
   * strict mode, further names that get through.
   */
  allow?: readonly string[] | undefined;
  /** Called with a warning; printed to standard error by default. */
  warn?: (text: string) => void;
}

/** Load and parse: the result is the schema's. */
export declare function load<T>(options: LoadOptions & { schema: Schema<T> }): Promise<Readonly<T>>;
/** Load the values of the service's folder and of those that it imports. @throws {ConfigError} */
export declare function load<const Names extends readonly string[] = []>(
  options?: LoadOptions & { required?: Names },
): Promise<Config<Names[number]>>;

export interface WatchOptions<C> {
  /** Seconds between two checks; 60 by default. */
  every?: number;
  /** Called after values have changed, with all values and the changed names. */
  onChange?: (config: C, changedNames: string[]) => unknown;
  /** Called if a check or `onChange` failed; prints to standard error by default. */
  onError?: (error: unknown) => void;
}

export interface Watch<C> {
  /** The current values. */
  readonly config: C;
  stop(): void;
}

/** Load as `load` does, then check for changes in the background. @throws {ConfigError} */
export declare function watch<T>(
  options: LoadOptions & WatchOptions<Readonly<T>> & { schema: Schema<T> },
): Promise<Watch<Readonly<T>>>;
export declare function watch<const Names extends readonly string[] = []>(
  options?: LoadOptions & WatchOptions<Config<Names[number]>> & { required?: Names },
): Promise<Watch<Config<Names[number]>>>;

/** For `load().catch(exitOnError)`: end with the message and the status of a ConfigError. */
export declare function exitOnError(error: unknown): never;
