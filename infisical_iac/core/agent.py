"""Build the agent, copy it to the host if it is missing there, and call it.

A question names an observation of `infisical_iac.agent` with its arguments:

    there = inspect(question(files.states, paths=["/etc/hosts"]))

`inspect_ahead` asks many questions in one remote command. `inspect` uses these answers until the
run changes something, and then asks the host each time. `ask` always asks the host. `perform` makes
a change by an action of the agent:

    perform(question(files.append_entry, path=…, entry=…), doing="append to the audit log")
"""

import base64
import json
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, get_type_hints

from pydantic import TypeAdapter
from pyinfra.api.facts import FactBase

from infisical_iac.agent import PROTOCOL, system
from infisical_iac.agent.runner import Failure, Runner
from infisical_iac.core import archive, journal
from infisical_iac.core.errors import CommandFailed, Refused, explain_failure
from infisical_iac.core.remote import forget_answers, run
from infisical_iac.core.rendering import script

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")

# Sends a command with its standard input to a host, and returns its output without printing it.
Send = Callable[[str, str], str]

ABSENT = "absent"
_NO_PYTHON = "no python"
_INSTALL_SECONDS = 600


@dataclass(frozen=True)
class AgentCall:
    """A call of an observation: its name, and its arguments as JSON."""

    name: str
    arguments: str = field(repr=False)  # it may have a secret


@dataclass(frozen=True)
class Question(Generic[T]):
    """Calls of the agent, and a function that makes a value of their answers."""

    calls: tuple[AgentCall, ...]
    read: Callable[[Sequence[Any]], T] = field(compare=False)


def question(
    function: Callable[Concatenate[Runner, P], T], *args: P.args, **kwargs: P.kwargs
) -> Question[T]:
    """Return the question that an observation answers, given its keyword arguments."""
    assert not args, "arguments have names in JSON"
    name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
    adapter: TypeAdapter[T] = _adapter(function)
    return Question(
        (AgentCall(name, json.dumps(kwargs, sort_keys=True)),),
        lambda answers: adapter.validate_python(answers[0]),
    )


@cache
def _adapter(function: Callable[..., T]) -> TypeAdapter[T]:
    return TypeAdapter(get_type_hints(function)["return"])


def command_question(command: str, parse: Callable[[list[str]], T]) -> Question[T]:
    """Return the question for the lines that a shell command prints, which `parse` reads."""
    asked = question(system.lines, command=command)
    return Question(asked.calls, lambda answers: parse(asked.read(answers)))


def fact_question(fact: type[FactBase[T]], **arguments: Any) -> Question[T]:
    """Return the question for a fact of pyinfra, which is a shell command."""
    found = fact()

    def parse(lines: list[str]) -> T:
        return found.process(lines) if lines else found.default()

    return command_question(str(found.command(**arguments)), parse)


def together(build: Callable[..., R], *questions: Question[Any]) -> Question[R]:
    """Return one question for several; `build` is called with their values."""

    def read(answers: Sequence[Any]) -> R:
        left = [*answers]
        values = []
        for each in questions:
            own, left = left[: len(each.calls)], left[len(each.calls) :]
            values.append(each.read(own))
        return build(*values)

    return Question(tuple(call for each in questions for call in each.calls), read)


def inspect_ahead(questions: Iterable[Question[Any]]) -> None:
    """Ask the current host many questions in one remote command; `inspect` uses the answers.

    A question without an answer is asked again by the operation that needs it, which then fails.
    """
    calls = [*dict.fromkeys(call for each in questions for call in each.calls)]
    answers = _request(calls, _send)
    journal.current().answers.update(
        (call, answer["value"])
        for call, answer in zip(calls, answers, strict=True)
        if "value" in answer
    )


def inspect(asked: Question[T]) -> T:
    """Return the value of a question for the current host, which is asked once.

    Once the run has made a change, the host is asked each time. Raises CommandFailed or Refused.
    """
    known = journal.current().answers
    if not is_answered(asked):
        known.update(zip(asked.calls, _values(asked.calls, _send), strict=True))
    return asked.read([known[call] for call in asked.calls])


def is_answered(asked: Question[Any]) -> bool:
    """Return whether `inspect` has the answers, so that it need not ask the host."""
    known = journal.current().answers
    return not journal.has_changed_any_host() and all(call in known for call in asked.calls)


def ask_if_there(asked: Question[T]) -> T | None:
    """Return the value as `ask` does, or None if the current host lacks this agent.

    Nothing is changed on the host. Raises CommandFailed or Refused.
    """
    answers = _call(asked.calls, _send, changes=False)
    return None if answers is None else asked.read(_take_values(answers))


def ask(asked: Question[T], send: Send | None = None) -> T:
    """Return the value of a question as the host is now. Raises CommandFailed or Refused.

    Args:
        send: runs a command on the host; None for the current host of pyinfra.
    """
    return asked.read(_values(asked.calls, send or _send))


def perform(asked: Question[T], *, doing: str, send: Send | None = None) -> T:
    """Make a change by an action of the agent, and return the action's value.

    Args:
        asked: the action with its arguments, some of which may be secrets.
        doing: what the action does, which completes the sentence "could not …".
        send: as for `ask`.

    Raises CommandFailed or Refused.
    """
    forget_answers()
    try:
        return asked.read(_values(asked.calls, send or _send, changes=True))
    except CommandFailed as error:
        if error.code != CommandFailed.code:
            raise
        raise CommandFailed(f"could not {doing}: {error}") from None


def _values(calls: Sequence[AgentCall], send: Send, *, changes: bool = False) -> list[Any]:
    return _take_values(_request(calls, send, changes=changes))


def _take_values(answers: Sequence[dict[str, Any]]) -> list[Any]:
    for answer in answers:
        if "error" in answer:
            raise explain_failure(Failure(**answer["error"]))
    return [answer["value"] for answer in answers]


def _send(command: str, stdin: str) -> str:
    return run(command, doing="run the agent on the host", stdin=stdin)


def _request(
    calls: Sequence[AgentCall], send: Send, *, changes: bool = False
) -> list[dict[str, Any]]:
    answers = _call(calls, send, changes=changes)
    if answers is None:
        _deliver(send)
        answers = _call(calls, send, changes=changes)
    if answers is None:
        raise _make_silence_error()
    return answers


def _call(calls: Sequence[AgentCall], send: Send, *, changes: bool) -> list[dict[str, Any]] | None:
    """Return the agent's answers to calls; None if the host lacks the agent."""
    if not calls:
        return []
    asked = [{"name": each.name, "arguments": json.loads(each.arguments)} for each in calls]
    request = json.dumps({"protocol": PROTOCOL, "changes": changes, "calls": asked})
    output = send(command_of(), request)
    if output.strip() == ABSENT:
        return None
    answers: list[dict[str, Any]] = _parse(output)["answers"]
    return answers


def _parse(output: str) -> dict[str, Any]:
    """Return the agent's answer. Raises Refused or CommandFailed for an error or no answer."""
    try:
        answer = json.loads(output)
        protocol = answer["protocol"]
    except (ValueError, KeyError, TypeError):
        raise _make_silence_error() from None
    if error := answer.get("error"):
        raise explain_failure(Failure(**error))
    if protocol != PROTOCOL:
        raise Refused(
            "a newer infisical-iac has worked on this host: update this one, as with "
            "`uv tool upgrade infisical-iac`",
            code="refused.newer_tool",
        )
    found: dict[str, Any] = answer
    return found


def _make_silence_error() -> CommandFailed:
    return CommandFailed("the agent on the host did not answer: run again", code="command.agent")


def command_of(*arguments: str) -> str:
    """Return the command that runs the agent, or prints ABSENT if it or Python is missing.

    Args:
        arguments: the name of a program of the agent, and its arguments; none to answer calls.
    """
    # The input is read, so that the other side can write it: a call to its end, a program's first
    # line, because the rest may stay open.
    rest = "read -r _; " if arguments else "cat >/dev/null; "
    return (
        f"agent={archive.path()}; if [ -f $agent ] && command -v python3 >/dev/null; then "
        f"exec python3 -IS $agent {shlex.join(arguments)}; fi; {rest}echo {ABSENT}"
    )


def deliver() -> None:
    """Copy the agent to the current host. Raises Refused or CommandFailed."""
    _deliver(_send)


# The old Python must understand the expression.
_PYTHON = "python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null"


def _deliver(send: Send) -> None:
    """Copy the agent to the host, in the place of older ones, and install Python if it is missing.

    Raises Refused if a newer agent is there, and CommandFailed if Python can't be installed.
    """
    if send(f"{_PYTHON} || echo {_NO_PYTHON}", "").strip() == _NO_PYTHON:
        send(f"{script('apt', str(_INSTALL_SECONDS), 'python3')} >/dev/null", "")
    install = (
        "umask 022; new=$(mktemp -d) && base64 --decode >$new/agent.pyz && "
        f"python3 -IS $new/agent.pyz --install {shlex.quote(archive.path())}; "
        "status=$?; rm -rf $new; exit $status"
    )
    _parse(send(install, base64.b64encode(archive.build()).decode()))
