"""`python -m infisical_config -- COMMAND`: run any program with the secrets in its environment."""

from __future__ import annotations

import getopt
import os
import signal
import sys
from typing import NoReturn, Unpack

from .exiting import exit_on_error
from .loading import load
from .platform_token import OWN_VARIABLES
from .starting import Options, print_warning

_USAGE = (
    "python -m infisical_config [--override] [--environment NAME] [--strict] [--allow NAME]..."
    " [--allow-http] -- COMMAND [ARGUMENT...]"
)
_FLAGS = ["override", "environment=", "strict", "allow=", "allow-http", "help"]
_WRONG_USAGE, _NOT_EXECUTABLE, _NOT_FOUND = 64, 126, 127
_CREDENTIAL = ("INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET", *OWN_VARIABLES)


def main(arguments: list[str]) -> NoReturn:
    """Replace this process by the command, or end with the status of the failure."""
    options, command = _parse_arguments(arguments)
    _end_quietly_on_ctrl_c()
    with exit_on_error():
        environment = child_environment(**options)
    _become(command, environment)


def child_environment(**options: Unpack[Options]) -> dict[str, str]:
    """Return the environment with secrets, without the loader's variables; raises ConfigError."""
    options["into"] = child = dict(os.environ)
    load(**options)
    return {name: value for name, value in child.items() if name not in _CREDENTIAL}


def _parse_arguments(arguments: list[str]) -> tuple[Options, list[str]]:
    end = arguments.index("--") if "--" in arguments else len(arguments)
    command = arguments[end + 1 :]
    try:
        given, rest = getopt.getopt(arguments[:end], "", _FLAGS)
    except getopt.GetoptError as error:
        _end(_WRONG_USAGE, f"{error.msg}; usage: {_USAGE}")
    flags = dict(given)
    if "--help" in flags:
        print(_USAGE)
        sys.exit(0)
    if rest or not command:
        _end(_WRONG_USAGE, f"there is no command after --; usage: {_USAGE}")
    options: Options = {
        "environment": flags.get("--environment"),
        "override": "--override" in flags,
        "strict": True if "--strict" in flags else None,
        "allow": [name for flag, name in given if flag == "--allow"],
        "allow_http": "--allow-http" in flags,
    }
    return options, command


def _end_quietly_on_ctrl_c() -> None:
    """Undo Python's handling of SIGINT, unless the caller ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _become(command: list[str], environment: dict[str, str]) -> NoReturn:
    # The command would inherit that Python ignores these. Loading needs it: a server that closes a
    # connection early would end this process by SIGPIPE, without a word.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, environment)
    except FileNotFoundError:
        _end(_NOT_FOUND, f"there is no command {command[0]}: check its name and PATH")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "its name is malformed"
        _end(_NOT_EXECUTABLE, f"{command[0]} can't be run ({why}): make it executable")


def _end(status: int, message: str) -> NoReturn:
    print_warning(message)
    sys.exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
