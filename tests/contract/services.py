"""Throw-away Redis and stand-in servers on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

TESTS = Path(__file__).resolve().parent.parent
ENCRYPTION_KEY = "0123456789abcdef0123456789abcdef"


class MissingProgram(Exception):
    """A server program is not installed; the text names the Debian package."""


class RedisServer:
    """A Redis without persistence, with a separate part for each database of PostgreSQL."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._parts: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise MissingProgram(
                "redis-server was not found: install the Debian package redis-server"
            )
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        options += ["--databases", "1000"]
        self._process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
        wait_until(lambda: port_open(self.port), "Redis did not open its port")

    def url_for(self, database: str) -> str:
        """Return the URL of the part for the servers on a database of PostgreSQL."""
        return f"{self.url}/{self._parts.setdefault(database, len(self._parts))}"

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=10)
            self._process = None


class Standin:
    """A stand-in in a separate process; `environment` sets variables, None removes one."""

    def __init__(self, database_uri: str, redis_url: str, **environment: str | None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        settings: dict[str, str | None] = {
            "PATH": os.environ["PATH"],
            "DB_CONNECTION_URI": database_uri,
            "REDIS_URL": redis_url,
            "ENCRYPTION_KEY": ENCRYPTION_KEY,
            "AUTH_SECRET": "a-secret-for-tests-only",
            "SITE_URL": self.url,
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            **environment,
        }
        self._home = tempfile.TemporaryDirectory(prefix="standin-")
        self._log = Path(self._home.name) / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "standin"],
                cwd=TESTS,
                env={name: value for name, value in settings.items() if value is not None},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self) -> Standin:
        """Return once the port answers; raise TimeoutError with the log if it does not."""
        message = "The stand-in did not open its port"
        wait_until(lambda: self.answers() or self.process.poll() is not None, message, self.log)
        if not self.answers():
            raise RuntimeError(f"{message}: {self.log()}")
        return self

    def answers(self) -> bool:
        return self.process.poll() is None and port_open(self.port)

    def exit_code(self) -> int:
        return self.process.wait(timeout=20)

    def log(self) -> str:
        return self._log.read_text()

    def client(self, token: str | None = None) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=10)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(timeout=10)
        self._home.cleanup()


def port_open(port: int) -> bool:
    """Return whether something listens on a port of the loopback address."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(
    condition: Callable[[], bool],
    message: str,
    log: Callable[[], str] = str,
    seconds: float = 20,
) -> None:
    """Return once the condition holds; raise TimeoutError with the message and the log."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{message}: {log()}")
        time.sleep(0.05)
