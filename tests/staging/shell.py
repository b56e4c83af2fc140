"""Run programs on this machine, and print progress."""

import fcntl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infisical_iac.core.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[2]
STATE = REPOSITORY / ".staging"


class StagingError(UserError):
    """A staging host can't be made or used."""


def say(message: str) -> None:
    """Print a line of progress on standard error."""
    print(f"==> {message}", file=sys.stderr, flush=True)


@contextmanager
def report_duration(done: str) -> Iterator[None]:
    """Print a line with the duration when the step in the context has succeeded.

    Args:
        done: what was done, such as "Booted the host".
    """
    started = time.monotonic()
    yield
    say(f"{done} in {time.monotonic() - started:.0f} s")


def run(
    *command: str,
    check: bool = True,
    input: str | None = None,
    timeout: float = 600,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return its output as text.

    Raises StagingError with the output's last lines if it fails and `check` is set, if it is
    missing, or if it takes more than `timeout` seconds.
    """
    try:
        done = subprocess.run(
            command, input=input, text=True, capture_output=True, timeout=timeout, env=env, cwd=cwd
        )
    except FileNotFoundError:
        raise StagingError(f"{command[0]!r} is not installed; install it and try again") from None
    except subprocess.TimeoutExpired:
        raise StagingError(f"{_title(command)!r} took more than {timeout:g} s; try again") from None
    return require_success(done, command) if check else done


def require_success(
    done: subprocess.CompletedProcess[str], command: tuple[str, ...]
) -> subprocess.CompletedProcess[str]:
    """Return the process if it succeeded; else raise StagingError with its last lines."""
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
        raise StagingError(f"{_title(command)!r} failed with status {done.returncode}:\n{tail}")
    return done


def docker(*arguments: str, check: bool = True, timeout: float = 600) -> str:
    """Run `docker` and return what it prints; with `check=False`, failure is an empty text."""
    done = run("docker", *arguments, check=check, timeout=timeout)
    return done.stdout.strip() if done.returncode == 0 else ""


@contextmanager
def hold_lock() -> Iterator[None]:
    """Hold a lock that only one process may have."""
    STATE.mkdir(exist_ok=True)
    with (STATE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _title(command: tuple[str, ...]) -> str:
    return " ".join(command[:3])
