"""One service of the example as a process: started, asked, stopped."""

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

_START_SECONDS = 30


class Service:
    """A service that is started by `command` in its directory and listens on `port`.

    It is given PATH and HOME and nothing else: whatever it needs, it reads from `.env.local` and
    Infisical.
    """

    def __init__(self, directory: Path, command: tuple[str, ...], port: int):
        self.directory = directory
        self.port = port
        self._command = command
        self._log = directory / "output.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> str:
        """What it has printed since it was started the last time."""
        return self._log.read_text()

    def start(self) -> int | None:
        """Start it and wait: None once it listens, or its exit status if it ends before."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.directory,
                env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            status = self._process.poll()
            if status is not None:
                return status
            if _listens(self.port):
                return None
            time.sleep(0.05)
        self.stop()
        raise AssertionError(f"{self.directory.name} did not start: {self.output[-2000:]}")

    def stop(self) -> int | None:
        """Ask it to end; its exit status, None if it was never started."""
        if self._process is None:
            return None
        self._process.terminate()
        try:
            return self._process.wait(timeout=10)
        finally:
            self._process.kill()

    def restart(self) -> int | None:
        """Stop it, and start it again as `start` does."""
        self.stop()
        return self.start()

    def get(self, path: str, token: str = "") -> httpx.Response:
        """The answer to a GET, with a token if one is given."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=10)

    def graphql(self, query: str, token: str = "", **variables: str) -> Any:
        """The data of a GraphQL answer that has no errors."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = httpx.post(
            f"http://127.0.0.1:{self.port}/",
            json={"query": query, "variables": variables},
            headers=headers,
            timeout=10,
        ).json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
