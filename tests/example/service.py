"""Run a service of the example as a process."""

import os
import subprocess
from pathlib import Path
from typing import Any

import httpx

from tests.contract.services import port_open, wait_until

_START_SECONDS = 30


class Service:
    """A service that is started by `command` in its directory and listens on `port`.

    Its process gets only PATH and HOME, and reads all else from `.env.local` and Infisical.
    """

    def __init__(self, directory: Path, command: tuple[str, ...], port: int):
        self.directory = directory
        self.port = port
        self._command = command
        self._log = directory / "output.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> str:
        """The output of the service since its last start."""
        return self._log.read_text()

    def start(self) -> int | None:
        """Start the service; return None once it listens, or its exit status if it has ended."""
        with self._log.open("wb") as log:
            self._process = process = subprocess.Popen(
                self._command,
                cwd=self.directory,
                env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(
                lambda: process.poll() is not None or port_open(self.port),
                f"{self.directory.name} did not start",
                lambda: self.output[-2000:],
                _START_SECONDS,
            )
        except TimeoutError:
            self.stop()
            raise
        return process.poll()

    def stop(self) -> int | None:
        """Stop the service; return its exit status, None if it was never started."""
        if self._process is None:
            return None
        self._process.terminate()
        try:
            return self._process.wait(timeout=10)
        finally:
            self._process.kill()

    def restart(self) -> int | None:
        """Stop and start the service; return the same as `start`."""
        self.stop()
        return self.start()

    def get(self, path: str, token: str = "") -> httpx.Response:
        """Return the answer to a GET, with a token if one is given."""
        return self._ask("GET", path, token)

    def graphql(self, query: str, token: str = "", **variables: str) -> Any:
        """Return the data of a GraphQL answer, which must have no errors."""
        body = {"query": query, "variables": variables}
        answer = self._ask("POST", "/", token, json=body).json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def _ask(self, method: str, path: str, token: str, json: Any = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"http://127.0.0.1:{self.port}{path}"
        return httpx.request(method, url, json=json, headers=headers, timeout=10)
