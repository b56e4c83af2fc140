/** Values by name. Read-only; printed, it shows the names alone. */
export type Config<Names extends string = never> = Readonly<Record<Names, string>> &
  Readonly<Record<string, string | undefined>>;

export type ErrorCode =
  | "not_configured"
  | "refused"
  | "refused_before"
  | "locked"
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

/** A start that failed. The message is one sentence and never holds a value. */
export declare class ConfigError extends Error {
  readonly code: ErrorCode;
  /** 75: try again later. 77: refused. 78: something has to be put right first. */
  readonly exitCode: 75 | 77 | 78;
  constructor(code: ErrorCode, message: string, options?: ErrorOptions);
}

export interface SchemaIssue {
  readonly code: string;
  readonly path: readonly PropertyKey[];
}

/** The shape of zod's schemas; `shape` names the keys to take from the environment too. */
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
  /** In seconds; a day if it isn't given. */
  maxAge?: number;
}

export interface LoadOptions {
  /** Instead of INFISICAL_ENVIRONMENT and NODE_ENV. */
  environment?: string | undefined;
  /** Where the search for .infisical.json begins; the working directory if it isn't given. */
  directory?: string;
  /** Names that must be there, and not empty. */
  required?: readonly string[];
  /** Infisical wins over the process's own environment. */
  override?: boolean;
  /**
   * Where the values are set as well, such as process.env; and the NODE_ENV of `.env.local`, where
   * the environment has none.
   */
  into?: Record<string, string | undefined>;
  /** Seconds for the whole start; 20 if it isn't given. */
  timeout?: number;
  /** A file to start from while Infisical is down. */
  cache?: CacheOptions;
  /** Plain http to another machine will do, as INFISICAL_ALLOW_HTTP=1 says. */
  allowHttp?: boolean;
  /** Only names in `required`, `schema` and `allow` get through. */
  strict?: boolean | undefined;
  /**
   * Names that get through although they could take over the process, such as GIT_SSH_COMMAND; in
   * strict mode, further names that do.
   */
  allow?: readonly string[] | undefined;
  /** Called with a warning; it goes to standard error if this isn't given. */
  warn?: (text: string) => void;
}

/** Load, and parse: the result is what the schema makes of the values. */
export declare function load<T>(options: LoadOptions & { schema: Schema<T> }): Promise<Readonly<T>>;
/** Load the values of the service's folder. @throws {ConfigError} */
export declare function load<const Names extends readonly string[] = []>(
  options?: LoadOptions & { required?: Names },
): Promise<Config<Names[number]>>;

export interface WatchOptions<C> {
  /** Seconds between two looks; 60 if it isn't given. */
  every?: number;
  /** Called after a value has changed, with all values and the names of those that did. */
  onChange?: (config: C, changedNames: string[]) => unknown;
  /** Called when a look failed, or `onChange` did; else it is a line on standard error. */
  onError?: (error: unknown) => void;
}

export interface Watch<C> {
  /** The values as they are by now. */
  readonly config: C;
  stop(): void;
}

/** Load as `load` does, then look for changes in the background. @throws {ConfigError} */
export declare function watch<T>(
  options: LoadOptions & WatchOptions<Readonly<T>> & { schema: Schema<T> },
): Promise<Watch<Readonly<T>>>;
export declare function watch<const Names extends readonly string[] = []>(
  options?: LoadOptions & WatchOptions<Config<Names[number]>> & { required?: Names },
): Promise<Watch<Config<Names[number]>>>;

/** For `load().catch(exitOnError)`: end with the message and the status of a ConfigError. */
export declare function exitOnError(error: unknown): never;
