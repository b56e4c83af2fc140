"""Names that a store of secrets must not set, as they would take over the process."""

from __future__ import annotations

import os

_NAMES = """
PATH HOME USER LOGNAME SHELL PWD
IFS ENV BASH_ENV SHELLOPTS BASHOPTS PS4 PROMPT_COMMAND
NODE_ENV NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED
PERL5LIB PERL5OPT PERLLIB RUBYLIB RUBYOPT
JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS CLASSPATH
GCONV_PATH LOCPATH NLSPATH HOSTALIASES RES_OPTIONS
GIT_SSH GIT_SSH_COMMAND GIT_EXTERNAL_DIFF GIT_CONFIG_GLOBAL
EDITOR VISUAL PAGER
"""
_EXACTLY = frozenset(_NAMES.split())
_PREFIXES = ("INFISICAL_", "LD_", "DYLD_", "PYTHON", "BASH_FUNC_")
_ANY_CASE = "NPM_CONFIG_"


def is_withheld(name: str) -> bool:
    """Whether a secret of this name is left out of everything."""
    return name in _EXACTLY or name.startswith(_PREFIXES) or name.upper().startswith(_ANY_CASE)


def fits(name: str, value: str) -> bool:
    """Whether the variables of a process can hold this at all."""
    if not name or "=" in name or "\0" in name + value:
        return False
    try:
        os.fsencode(name + value)
    except UnicodeEncodeError:  # half of a surrogate pair: JSON can say it, UTF-8 can't
        return False
    return True
