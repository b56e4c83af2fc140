"""Run a program on a terminal of its own, and press keys once it waits."""

import fcntl
import os
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_PROJECT = Path(__file__).resolve().parents[2]
_SECONDS = 60


class OnTerminal:
    """A Python program with a terminal, in the project's directory."""

    def __init__(self, running: subprocess.Popen[bytes], terminal: int) -> None:
        self._running, self._terminal = running, terminal
        self.shown = ""

    def read_until(self, *texts: str) -> None:
        """Read what the program shows until one of the texts is there."""
        while not any(each in self.shown for each in texts):
            self.shown += os.read(self._terminal, 4096).decode()

    def press(self, keys: str) -> None:
        """Press keys once the program sleeps: Python misses a signal just before it reads."""
        end = time.monotonic() + _SECONDS
        stat = Path(f"/proc/{self._running.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "S":
            assert time.monotonic() < end, "the program does not wait"
            time.sleep(0.01)
        os.write(self._terminal, keys.encode())

    def wait(self) -> int:
        """Wait for the program's end, and return its status."""
        return self._running.wait(_SECONDS)


@contextmanager
def run_on_terminal(
    code: str, environment: Mapping[str, str] | None = None
) -> Iterator[OnTerminal]:
    """Run Python code on a terminal, and end it with the context."""
    terminal, inside = os.openpty()
    running = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        cwd=_PROJECT,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(inside)
    try:
        yield OnTerminal(running, terminal)
    finally:
        running.kill()
        os.close(terminal)
