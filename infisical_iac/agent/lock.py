"""Hold the host's lock for as long as standard input stays open.

    agent --hold-lock <file> <seconds> [break]

The first line of the input names the holder. It prints "held", with "ended" if the end of a
transaction was not told, or "busy" and the holder's name if the lock is not free within the
seconds. With `break`, it ends the holder first, if that is a run.
The host's maintenance, which may be installing packages, is never ended.
"""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from infisical_iac.agent.files import hold

_PROCESSES = Path("/proc")
_RECORDS = Path("/var/lib")


def main(arguments: Sequence[str]) -> int:
    """Hold the lock, as the docstring of this module describes; return 0."""
    name, seconds, *how = arguments
    file, holder = Path(name), sys.stdin.readline().rstrip("\n")
    if how == ["break"]:
        _end_holder(file)
    try:
        with hold(file, float(seconds), ""):
            file.write_text(f"{holder}\npid {os.getpid()}\n")
            ended = any(_RECORDS.glob("infisical-*/last"))
            print("held ended" if ended else "held", flush=True)
            sys.stdin.read()
    except RuntimeError:
        print(f"busy {_read(file)[0]}", flush=True)
    return 0


def _read(file: Path) -> list[str]:
    """Return the lines of the lock's file, with an empty one if it has none."""
    try:
        return file.read_text(errors="replace").splitlines() or [""]
    except OSError:
        return [""]


def _end_holder(file: Path) -> None:
    """End the run that holds the lock, if one does."""
    try:
        with hold(file, 0, ""):
            return
    except RuntimeError:
        word, _, number = (*_read(file), "")[1].partition(" ")
    if word == "pid" and number.isdecimal() and _is_run(file, int(number)):
        with suppress(ProcessLookupError):
            os.kill(int(number), signal.SIGTERM)


def _is_run(file: Path, number: int) -> bool:
    """Return whether a process is a run that holds the lock.

    The number may belong to another process. The host's maintenance has the file open too, but not
    in its command line.
    """
    process = _PROCESSES / str(number)
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        opened = [os.readlink(each) for each in (process / "fd").iterdir()]
    except OSError:
        return False
    return str(file) in words and str(file) in opened
