// @ts-check
/** The names that never leave Infisical, for they could take over a process. */

const NAMES = new Set([
  ...["PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "IFS", "ENV", "BASH_ENV", "SHELLOPTS"],
  ...["BASHOPTS", "PS4", "PROMPT_COMMAND", "NODE_ENV", "NODE_OPTIONS", "NODE_PATH"],
  ...["NODE_EXTRA_CA_CERTS", "NODE_TLS_REJECT_UNAUTHORIZED", "PERL5LIB", "PERL5OPT", "PERLLIB"],
  ...["RUBYLIB", "RUBYOPT", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH"],
  ...["GCONV_PATH", "LOCPATH", "NLSPATH", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_EXTERNAL_DIFF"],
  ...["GIT_CONFIG_GLOBAL", "EDITOR", "VISUAL", "PAGER", "HOSTALIASES", "RES_OPTIONS"],
]);
const PREFIXES = /^(INFISICAL_|LD_|DYLD_|PYTHON|BASH_FUNC_)/;

/**
 * Whether a secret of this name is withheld from a service.
 * @param {string} name
 */
export const isWithheld = (name) =>
  NAMES.has(name) || PREFIXES.test(name) || /^npm_config_/i.test(name);

/**
 * Whether an environment can hold this name with this value.
 * @param {string} name
 * @param {string} value
 */
export const isExportable = (name, value) =>
  name !== "" && !/[=\0]/.test(name) && !value.includes("\0");
