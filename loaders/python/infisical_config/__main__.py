"""`python -m infisical_config -- COMMAND`: run any program with the secrets in its environment."""

from __future__ import annotations

import getopt
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn, Unpack

from .bootstrap import TYPED
from .exiting import exit_on_error
from .loading import fetch
from .platform_token import OWN_VARIABLES
from .starting import Options, Start, print_warning

if TYPE_CHECKING:
    from collections.abc import Mapping

_USAGE = """\
with-secrets [--override] [--env NAME] [--strict] [--allow NAME]... [--allow-http] -- COMMAND \
[ARGUMENT...]
       with-secrets login [--browser | --paste] [--email E-MAIL] [--organization NAME] \
[--address URL] [--allow-http]
       with-secrets whoami | logout [--address URL]
       with-secrets doctor [--env NAME] [--address URL]"""
_SHORT = "with-secrets [OPTIONS] -- COMMAND; with-secrets --help says more"
_FLAGS = ["override", "env=", "environment=", "strict", "allow=", "allow-http", "help"]
_LOGIN_FLAGS = ["address=", "browser", "email=", "organization=", "paste"]
_OWN = ("login", "whoami", "logout", "doctor")
_INTERRUPTED = 130
_WRONG_USAGE, _NOT_EXECUTABLE, _NOT_FOUND = 64, 126, 127
_CREDENTIAL = ("INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET", *OWN_VARIABLES)


def main(arguments: list[str]) -> NoReturn:
    """Replace this process by the command, or end with the status of the failure."""
    flags, options, command = _parse_arguments(arguments)
    if command[0] in _OWN and "--" not in arguments:
        sys.exit(_run_own(command[0], flags, options))
    _end_quietly_on_ctrl_c()
    with exit_on_error():
        environment = child_environment(is_typed=bool(options["environment"]), **options)
    _become(command, environment)


def console() -> NoReturn:
    """Run the command `with-secrets`."""
    main(sys.argv[1:])


def child_environment(*, is_typed: bool = False, **options: Unpack[Options]) -> dict[str, str]:
    """Return the environment with secrets, without the loader's variables; raises ConfigError.

    Args:
        is_typed: whether a person has typed the environment.
    """
    options["into"] = child = dict(os.environ)
    start = Start(**options, is_typed=is_typed)
    place = start.place()
    if place.person:
        start.warn(f"reads {place.environment} {place.folder} as {place.person.email}")
        # A loader in the program has the same login, and must not read another environment.
        child["INFISICAL_ENVIRONMENT"] = place.environment
        if is_typed:
            child[TYPED] = place.environment
    start.finish(start.values(fetch(start, place), place), place)
    return {name: value for name, value in child.items() if name not in _CREDENTIAL}


def _run_own(name: str, flags: Mapping[str, str], options: Options) -> int:
    """Run a command about a person's login; return its status."""
    from .commands import login, logout, whoami
    from .doctor import doctor
    from .login import LoginOptions, Terminal
    from .terminal import ask

    address, allow_http = flags.get("--address", ""), options["allow_http"]
    try:
        with exit_on_error():
            if name == "login":
                chosen = LoginOptions(
                    flags.get("--email", "").lower(),
                    flags.get("--organization", ""),
                    "--browser" in flags,
                    "--paste" in flags,
                )
                terminal = Terminal(ask, _tell)
                login(os.environ, terminal, chosen, address=address, allow_http=allow_http)
            elif name == "doctor":
                environment = options["environment"]
                return doctor(
                    os.environ,
                    _tell,
                    environment=environment,
                    address=address,
                    allow_http=allow_http,
                )
            else:
                command = whoami if name == "whoami" else logout
                command(os.environ, _tell, address=address, allow_http=allow_http)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return _INTERRUPTED
    return 0


def _tell(text: str) -> None:
    print(text, flush=True)


def _parse_arguments(arguments: list[str]) -> tuple[dict[str, str], Options, list[str]]:
    end = arguments.index("--") if "--" in arguments else len(arguments)
    command = arguments[end + 1 :]
    try:
        given, rest = getopt.gnu_getopt(arguments[:end], "", [*_FLAGS, *_LOGIN_FLAGS])
    except getopt.GetoptError as error:
        _end(_WRONG_USAGE, f"{error.msg}; usage: {_SHORT}")
    flags = dict(given)
    if "--help" in flags:
        print(f"Usage: {_USAGE}")
        sys.exit(0)
    if "--" not in arguments and len(rest) == 1 and rest[0] in _OWN:
        rest, command = [], rest
    if rest and "--" not in arguments and rest[0] not in _OWN:
        message = f"there is no -- before {rest[0]}: write with-secrets -- {rest[0]} …"
        _end(_WRONG_USAGE, f"{message}; usage: {_SHORT}")
    if rest or not command:
        _end(_WRONG_USAGE, f"there is no command after --; usage: {_SHORT}")
    options: Options = {
        "environment": flags.get("--env") or flags.get("--environment"),
        "override": "--override" in flags,
        "strict": True if "--strict" in flags else None,
        "allow": [name for flag, name in given if flag == "--allow"],
        "allow_http": "--allow-http" in flags,
    }
    return flags, options, command


def _end_quietly_on_ctrl_c() -> None:
    """Undo Python's handling of SIGINT, unless the caller ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _become(command: list[str], environment: dict[str, str]) -> NoReturn:
    # Python ignores these signals, and the command would inherit that. Loading needs them ignored:
    # if the server closed a connection early, SIGPIPE would end this process without a message.
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
