"""Ask a person questions on the terminal, without showing the answers that are secret."""

from __future__ import annotations

import sys

from .errors import ConfigError


def ask(question: str, *, hidden: bool = False) -> str:
    """Return the answer, without blanks around it.

    Raises ConfigError without a terminal or an answer, and KeyboardInterrupt after Ctrl-C.
    """
    if not sys.stdin.isatty():
        raise ConfigError(
            "not_configured",
            "the login asks questions, but there is no terminal: run it in a terminal",
        )
    try:
        if hidden:
            import getpass

            return getpass.getpass(question, sys.stderr).strip()
        print(question, end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
    except EOFError:
        line = ""
    if not line:
        raise ConfigError("not_configured", "the login ended without an answer: start it again")
    return line.strip()
