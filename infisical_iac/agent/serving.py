"""Answer the calls of a request: observations in parallel, or an action, and encode the answers."""

import json
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields, is_dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from infisical_iac.agent import PROTOCOL
from infisical_iac.agent.files import install
from infisical_iac.agent.runner import ACTION, MARK, OBSERVATION, Failure, Runner, to_failure

_AT_ONCE = 8


def main() -> None:
    """Answer the request on standard input.

    With `--install <path>`, install this file; with the name of a program, run it.
    """
    if sys.argv[1:2] and sys.argv[1] != "--install":
        sys.exit(_run_program(sys.argv[1], sys.argv[2:]))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        if sys.argv[1:2] == ["--install"]:
            install(Path(sys.argv[0]).read_bytes(), Path(sys.argv[2]))
            answer: dict[str, Any] = {"answers": []}
        else:
            answer = {"answers": serve(Runner(), json.load(sys.stdin))}
    except Exception as error:  # the operator's side reports it, whatever it is
        answer = {"error": describe(error)}
    json.dump({"protocol": PROTOCOL, **answer}, sys.stdout, default=encode)


def _end(number: int, _: object) -> None:
    # An exception, unlike the signal itself, has functions clean up.
    sys.exit(128 + number)


# What units of systemd run: a module of the agent, and its function for the arguments.
_PROGRAMS = {
    "--monitor": ("monitor", "main"),
    "--data-volume": ("volume", "main"),
    "--access-log": ("access_log", "main"),
    "--maintenance": ("maintenance", "main"),
    "--firewall": ("maintenance", "main_of_firewall"),
    "--transaction": ("transaction", "main"),
    "--backup": ("backup", "main"),
    "--drill": ("drill", "main"),
    "--swarm": ("joining", "main"),
    "--has-logged-in": ("ssh_logins", "main"),
    "--hold-lock": ("lock", "main"),
    "--other-containers": ("others", "main"),
}


def _run_program(name: str, arguments: Sequence[str]) -> int:
    """Run a program, and return its exit status: 2 for one that this version does not have."""
    if name not in _PROGRAMS:
        print(f"the agent has no program {name}: run `infisical-iac apply`", file=sys.stderr)
        return 2
    # Imported only here: requests don't need it, and its imports take longer than most answers.
    module, function = _PROGRAMS[name]
    status: int = getattr(import_module(f"infisical_iac.agent.{module}"), function)(arguments)
    return status


def serve(runner: Runner, request: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the answers to the calls of a request, in their order.

    Raises RuntimeError with a Failure for a request of another protocol.
    """
    if request.get("protocol") != PROTOCOL:
        raise RuntimeError(
            Failure(
                "refused.newer_tool",
                f"the agent on the host speaks protocol {PROTOCOL}, not {request.get('protocol')}",
                "update infisical-iac, as with `uv tool upgrade infisical-iac`",
            )
        )
    # All modules are imported before any call runs, because another run may replace this file.
    kind = ACTION if request.get("changes") else OBSERVATION
    calls = [
        partial(_find(each["name"], kind), runner, **each["arguments"]) for each in request["calls"]
    ]
    if len(calls) == 1:
        # In this thread, which gets the signals.
        return [_answer(calls[0])]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [*pool.map(_answer, calls)]


def _find(name: str, kind: str) -> Callable[..., Any]:
    module, _, function = name.rpartition(".")
    found = getattr(import_module(f"infisical_iac.agent.{module}"), function)
    if getattr(found, MARK, "") != kind:
        raise RuntimeError(Failure("command.agent", f"{name} is no {kind}"))
    return found  # type: ignore[no-any-return]


def _answer(call: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"value": call()}
    except Exception as error:  # the other calls must be answered
        return {"error": describe(error)}


def describe(error: Exception) -> dict[str, Any]:
    """Return the code, message and remedy of an error, without a text that may hold a secret."""
    return asdict(to_failure(error))


def encode(value: Any) -> Any:
    """Convert a dataclass or a set to a JSON value, as the `default` of `json.dump`."""
    if is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
