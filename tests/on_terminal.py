"""Run a program on a terminal of its own, answer its questions, and press keys once it waits."""

import fcntl
import os
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
_SECONDS = 300
# The seconds that a program may take to end before Ctrl-C is pressed again.
_PATIENCE = 10.0


class OnTerminal:
    """A program with a terminal.

    Attributes:
        shown: everything that the terminal has shown, with what was typed.
    """

    def __init__(self, running: subprocess.Popen[bytes], terminal: int, seconds: float) -> None:
        self._running, self._terminal = running, terminal
        self._end = time.monotonic() + seconds
        self.shown, self._answered = "", 0

    def read(self) -> bool:
        """Read what the program shows next; return False once it has ended.

        Raises TimeoutError if it shows nothing more until its time is up.
        """
        left = max(0.0, self._end - time.monotonic())
        if not select.select([self._terminal], [], [], left)[0]:
            raise TimeoutError(f"nothing more on the terminal after:\n{self.shown}")
        try:
            found = os.read(self._terminal, 65536)
        except OSError:  # Linux's answer once the other side is closed
            found = b""
        self.shown += found.decode(errors="replace").replace("\r\n", "\n")
        return bool(found)

    def read_until(self, *texts: str) -> None:
        """Read what the program shows until one of the texts is there, however it is wrapped."""
        while not any(each in " ".join(self.shown.split()) for each in texts):
            assert self.read(), f"the program ended without {texts} after:\n{self.shown}"

    def answer(self, question: str, line: str) -> None:
        """Wait for a question after the last one, and type a line."""
        while question not in self.shown[self._answered :]:
            assert self.read(), f"the program ended without {question!r} after:\n{self.shown}"
        self._answered = self.shown.index(question, self._answered) + len(question)
        self.type(line)

    def type(self, line: str) -> None:
        """Type a line, at once."""
        os.write(self._terminal, f"{line}\n".encode())

    def press(self, keys: str) -> None:
        """Press keys once the program sleeps: Python misses a signal just before it reads."""
        stat = Path(f"/proc/{self._running.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] not in "SZ":
            assert time.monotonic() < self._end, "the program does not wait"
            time.sleep(0.01)
        os.write(self._terminal, keys.encode())

    def interrupt(self) -> int:
        """Press Ctrl-C until the program ends, and return its status.

        `press` can't see whether a sleeping program reads the terminal already. Raises TimeoutError
        if the program does not end until its time is up.
        """
        while self._running.poll() is None:
            if time.monotonic() > self._end:
                raise TimeoutError(f"the program does not end by Ctrl-C after:\n{self.shown}")
            self.press("\x03")
            again = time.monotonic() + _PATIENCE
            while self._running.poll() is None and time.monotonic() < again:
                if select.select([self._terminal], [], [], 0.1)[0] and not self.read():
                    return self.wait()
        return self.finish()

    def finish(self) -> int:
        """Read all that the program shows until its end, and return its status."""
        while self.read():
            pass
        return self.wait()

    def wait(self) -> int:
        """Wait for the program's end, and return its status."""
        return self._running.wait(max(10.0, self._end - time.monotonic()))


def _become_foreground() -> None:
    """Take the terminal, and obey Ctrl-C, which a shell has its background jobs ignore."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def run_on_terminal(
    command: Sequence[str],
    *,
    directory: Path = PROJECT,
    environment: Mapping[str, str] | None = None,
    seconds: float = _SECONDS,
) -> Iterator[OnTerminal]:
    """Run a program on a terminal, and end it with the context.

    Args:
        environment: all variables that it has; None for those of this process.
        seconds: the time for all that it shows.
    """
    terminal, inside = os.openpty()
    running = subprocess.Popen(
        [*command],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        cwd=directory,
        env=environment,
        start_new_session=True,
        preexec_fn=_become_foreground,
    )
    os.close(inside)
    try:
        yield OnTerminal(running, terminal, seconds)
    finally:
        running.kill()
        running.wait()
        os.close(terminal)
