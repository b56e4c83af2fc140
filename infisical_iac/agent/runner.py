"""Run programs and read files of the host, for the functions that observe or change it."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from traceback import extract_tb
from typing import Any, BinaryIO, Concatenate, ParamSpec, TypeVar

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
        code: a stable code of `core/errors.py`, whose class its first part selects there.
        message: a sentence without a secret.
        remedy: what to do; empty if that is not known.
        ends_run: whether it ends the whole deploy, as in `core/errors.py`.
    """

    code: str
    message: str
    remedy: str = ""
    ends_run: bool = False


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

    def load(
        self, words: Sequence[str], source: Path, *, begin: str = "", seconds: float = _SECONDS
    ) -> Output:
        """Run a program as `run` does, with a file as its standard input, which may be large.

        Args:
            begin: comes before the file, and may be a secret.
        """
        with source.open("rb") as file, _begin_with(file, begin) as stdin:
            return _run(words, seconds, {}, stdin=stdin, stdout=subprocess.PIPE)

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


@contextmanager
def _begin_with(file: BinaryIO, begin: str) -> Iterator[BinaryIO]:
    """Yield a file with a text before it; a thread feeds the pipe that both go through."""
    if not begin:
        yield file
        return
    reading, writing = os.pipe()

    def write_all() -> None:
        # A program that fails does not read to the end.
        with suppress(BrokenPipeError), open(writing, "wb") as pipe:
            pipe.write(begin.encode())
            shutil.copyfileobj(file, pipe)

    writer = Thread(target=write_all)
    writer.start()
    try:
        with open(reading, "rb") as pipe:
            yield pipe
    finally:
        writer.join()


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


def make_failure(
    code: str, message: str, remedy: str = "", *, ends_run: bool = False
) -> RuntimeError:
    """Return the error with a Failure."""
    return RuntimeError(Failure(code, message, remedy, ends_run))


def failure_of(errors: str) -> RuntimeError:
    """Return the error for a command that failed, given what it printed as errors."""
    return RuntimeError(Failure("command", " / ".join(errors.strip().splitlines()[-3:])))


def to_failure(error: Exception) -> Failure:
    """Return the Failure of an error, without a text that may hold a secret."""
    if isinstance(error, RuntimeError) and isinstance(found := error.args[0], Failure):
        return found
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if isinstance(error.filename, str) else ""
        return Failure("command.agent", f"the agent failed on the host: {place}{error.strerror}")
    last = extract_tb(error.__traceback__)[-1]
    place = f"{Path(last.filename).name}, line {last.lineno}"
    return Failure(
        "command.agent", f"the agent failed on the host: {type(error).__name__} in {place}"
    )


def explain(error: Exception) -> str:
    """Return the sentence of an error, with the remedy of a Failure."""
    found = error.args[0] if error.args else ""
    if not isinstance(found, Failure):
        return str(error)
    return ": ".join(filter(None, (found.message, found.remedy)))


def join_names(names: Iterable[object], word: str = "and") -> str:
    """Return names as an enumeration, such as `api, web and worker`; empty for none.

    Args:
        word: stands before the last name.
    """
    *first, last = [str(each) for each in names] or [""]
    return f"{', '.join(first)} {word} {last}" if first else last


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
