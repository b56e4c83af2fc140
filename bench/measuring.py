"""Time whole commands in turn, from the start of the program to its end."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from infisical_iac.core.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[1]
HOST = "bench"

Command = Sequence[str | Path]
Timings = dict[str, list[float]]


class BenchError(UserError):
    """A command of the benchmark failed."""


def program(name: str) -> Path:
    """Return the path of a program of the current Python environment."""
    return Path(sys.executable).with_name(name)


def run(
    command: Command, *, where: Path = REPOSITORY, timeout: float = 300, host: str = HOST
) -> str:
    """Run a command with the name of a staging host in its environment; return its output.

    Raises BenchError with the last lines of its output if it fails.
    """
    environment = {**os.environ, "STAGING_HOST": host, "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            command, cwd=where, env=environment, text=True, capture_output=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        raise BenchError(f"{_title(command)} took more than {timeout:g} s: try again") from None
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise BenchError(f"{_title(command)} failed with status {done.returncode}:\n{tail}")
    return done.stdout


def seconds(command: Command, *, where: Path = REPOSITORY, host: str = HOST) -> float:
    """Return how long a command takes. Raises BenchError if it fails."""
    begin = time.perf_counter()
    run(command, where=where, host=host)
    return time.perf_counter() - begin


def in_turn(commands: Mapping[str, Command], rounds: int, host: str = HOST) -> Timings:
    """Time each command once a round, so that a slow moment of the machine affects all.

    Returns the seconds by name, in the order of the rounds.
    """
    timings: Timings = {name: [] for name in commands}
    for number in range(rounds):
        say(f"Round {number + 1} of {rounds}")
        for name, command in commands.items():
            timings[name].append(seconds(command, host=host))
    return timings


def say(message: str) -> None:
    """Print a line of progress on standard error."""
    print(f"==> {message}", file=sys.stderr, flush=True)


def _title(command: Command) -> str:
    return " ".join(Path(part).name for part in command[:4])
