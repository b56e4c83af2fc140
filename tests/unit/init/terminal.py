"""Run a command on a pseudo-terminal, and type the answers to its questions."""

import os
import pty
import select
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

_SECONDS = 120.0


class Typed:
    """A program on a terminal of its own.

    Attributes:
        seen: everything that the terminal has shown, with what was typed.
    """

    def __init__(self, command: Iterable[str], directory: Path, environment: Mapping[str, str]):
        self._terminal, other = pty.openpty()
        self._process = subprocess.Popen(
            [*command],
            cwd=directory,
            env=environment,
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
        )
        os.close(other)
        self.seen, self._read_until = "", 0

    def answer(self, question: str, line: str) -> None:
        """Wait for a question, and type a line. Fails if it does not come in two minutes."""
        at = self._wait_for(question)
        self._read_until = at + len(question)
        os.write(self._terminal, f"{line}\n".encode())

    def finish(self) -> int:
        """Wait for the program's end, and return its exit status."""
        try:
            self._wait_for(None)
            return self._process.wait(timeout=_SECONDS)
        finally:
            self._process.kill()
            os.close(self._terminal)

    def _wait_for(self, text: str | None) -> int:
        end = time.monotonic() + _SECONDS
        while text is None or text not in self.seen[self._read_until :]:
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                self._process.kill()
                raise AssertionError(f"no {text!r} in two minutes after:\n{self.seen}")
            try:
                shown = os.read(self._terminal, 65536)
            except OSError:  # Linux's answer once the other side is closed
                shown = b""
            if not shown:
                if text is None:
                    return len(self.seen)
                raise AssertionError(f"it ended without {text!r} after:\n{self.seen}")
            self.seen += shown.decode(errors="replace").replace("\r\n", "\n")
        return self.seen.index(text, self._read_until)
