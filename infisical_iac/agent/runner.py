"""Run programs and read files of the host, for the functions that observe or change it."""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# The attribute of a function that a call may name; its value is one of the two kinds.
MARK = "_kind"
OBSERVATION, ACTION = "observation", "action"
# The output of programs is parsed, so it must depend neither on a language nor on a time zone.
_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC"}
_SECONDS = 300


@dataclass(frozen=True)
class Failure:
    """The reason for a failed call, as the argument of a RuntimeError.

    Attributes:
        code: a stable code of `core/errors.py`; one that begins with "refused." becomes a Refused.
        message: a sentence without a secret.
        remedy: what to do; empty if that is not known.
    """

    code: str
    message: str
    remedy: str = ""


@dataclass(frozen=True)
class Output:
    """The result of a program: its exit status, 127 if it is not installed, and its output."""

    status: int
    text: str = ""
    errors: str = field(default="", repr=False)

    @property
    def lines(self) -> list[str]:
        """The lines of its standard output; none if it failed."""
        return self.text.splitlines() if self.status == 0 else []


@dataclass(frozen=True)
class Runner:
    """The host: its programs, and its files below `root`, which only tests change."""

    root: Path = Path("/")

    def path(self, name: str) -> Path:
        """Return the path of a file below the root, given its absolute path on the host."""
        return self.root / name.lstrip("/")

    def text(self, name: str) -> str | None:
        """Return the text of a file, with bytes that are no UTF-8 replaced; None without it."""
        try:
            return self.path(name).read_text("utf-8", errors="replace")
        except OSError:
            return None

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = _SECONDS,
        environment: Mapping[str, str] = {},
    ) -> Output:
        """Run a program without a shell, and return its result.

        Args:
            words: the program and its arguments, none of which may be a secret.
            stdin: its standard input, which may be a secret.
            seconds: the time after which it is killed.
            environment: variables in addition to the agent's own. Only restic's may be secret,
                because it reads the login of a repository from nowhere else.

        Raises RuntimeError with a Failure if it was killed.
        """
        return _run(words, seconds, environment, input=stdin.encode(), stdout=subprocess.PIPE)

    def dump(
        self, words: Sequence[str], target: Path, *, stdin: str = "", seconds: float = _SECONDS
    ) -> Output:
        """Run a program as `run` does, with its standard output in a file, which may be large."""
        with target.open("wb") as file:
            return _run(words, seconds, {}, input=stdin.encode(), stdout=file)

    def load(self, words: Sequence[str], source: Path, *, seconds: float = _SECONDS) -> Output:
        """Run a program as `run` does, with a file as its standard input, which may be large."""
        with source.open("rb") as file:
            return _run(words, seconds, {}, stdin=file, stdout=subprocess.PIPE)

    def must_run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = _SECONDS,
        environment: Mapping[str, str] = {},
    ) -> str:
        """Run a program as `run` does, and return its standard output.

        Raises RuntimeError with a Failure, whose message is the end of its standard error, if the
        program fails.
        """
        done = self.run(words, stdin=stdin, seconds=seconds, environment=environment)
        if done.status != 0:
            raise failure_of(done.errors or f"{words[0]} ended with status {done.status}")
        return done.text


def _run(
    words: Sequence[str], seconds: float, environment: Mapping[str, str], **streams: Any
) -> Output:
    try:
        done = subprocess.run(
            words,
            stderr=subprocess.PIPE,
            env={**os.environ, **_ENVIRONMENT, **environment},
            timeout=seconds,
            **streams,
        )
    except (FileNotFoundError, PermissionError):
        return Output(127)
    except subprocess.TimeoutExpired:
        raise RuntimeError(
            Failure(
                "command.timeout",
                f"{words[0]} on the host did not end within {seconds:g} s",
                f"run it there: {' '.join(words[:3])}",
            )
        ) from None
    return Output(
        done.returncode,
        (done.stdout or b"").decode(errors="replace"),
        done.stderr.decode(errors="replace"),
    )


def failure_of(errors: str) -> RuntimeError:
    """Return the error for a command that failed, given what it printed as errors."""
    return RuntimeError(Failure("command", " / ".join(errors.strip().splitlines()[-3:])))


def explain(error: RuntimeError) -> str:
    """Return the sentence of a Failure, with its remedy."""
    found: Failure = error.args[0]
    return ": ".join(filter(None, (found.message, found.remedy)))


def observation(
    function: Callable[Concatenate[Runner, P], T],
) -> Callable[Concatenate[Runner, P], T]:
    """Mark a function that only reads, so that a call can name it as `<module>.<function>`.

    Its arguments must be JSON values. Its result may have sets and dataclasses too.
    """
    setattr(function, MARK, OBSERVATION)
    return function


def action(
    function: Callable[Concatenate[Runner, P], T],
) -> Callable[Concatenate[Runner, P], T]:
    """Mark a function that changes the host; otherwise as `observation`.

    It must be safe to repeat: the connection may break after the change and before the answer.
    """
    setattr(function, MARK, ACTION)
    return function
