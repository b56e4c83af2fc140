"""Two Redis servers on loopback, and a sentinel that fails over from the first to the second."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import redis

from tests.ports import free_port

from .services import MissingProgram, port_open, wait_until

MASTER = "infisical"
PASSWORD = "not-a-real-redis-password"
SENTINEL_PASSWORD = "not-a-real-sentinel-password"


class Sentinels:
    """A master, a replica and their sentinel; `environment` holds a server's settings for them."""

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="sentinels-")
        self._master, self._replica, self._sentinel = free_port(), free_port(), free_port()
        nobody = free_port()
        self.environment: dict[str, str | None] = {
            "REDIS_URL": None,
            "REDIS_SENTINEL_HOSTS": f"127.0.0.1:{nobody}, 127.0.0.1:{self._sentinel}",
            "REDIS_SENTINEL_MASTER_NAME": MASTER,
            "REDIS_SENTINEL_PASSWORD": SENTINEL_PASSWORD,
            "REDIS_PASSWORD": PASSWORD,
        }
        self._processes = [self._start(self._master), self._start(self._replica, self._master)]
        wait_until(self._replicates, "the replica has no link to its master")
        self._processes.append(self._watch())
        wait_until(self._knows_replica, "the sentinel does not find the replica")

    def kill_master(self) -> None:
        self._processes[0].kill()
        self._processes[0].wait(timeout=10)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait(timeout=10)
        self._home.cleanup()

    def _start(self, port: int, master: int = 0) -> subprocess.Popen[bytes]:
        options = [f"requirepass {PASSWORD}", f"masterauth {PASSWORD}", 'save ""']
        options += [f"replicaof 127.0.0.1 {master}"] if master else []
        options += ["repl-diskless-sync-delay 0"]
        return self._run(port, options)

    def _watch(self) -> subprocess.Popen[bytes]:
        options = [
            f"requirepass {SENTINEL_PASSWORD}",
            f"sentinel monitor {MASTER} 127.0.0.1 {self._master} 1",
            f"sentinel auth-pass {MASTER} {PASSWORD}",
            f"sentinel down-after-milliseconds {MASTER} 1000",
        ]
        return self._run(self._sentinel, options, "--sentinel")

    def _run(self, port: int, options: list[str], *arguments: str) -> subprocess.Popen[bytes]:
        program = shutil.which("redis-server")
        if program is None:
            raise MissingProgram("redis-server was not found: install the package redis-server")
        directory = Path(self._home.name, str(port))
        directory.mkdir()
        file = directory / "redis.conf"
        common = [f"port {port}", "bind 127.0.0.1", f"dir {directory}"]
        file.write_text("\n".join([*common, *options]) + "\n")
        process = subprocess.Popen([program, str(file), *arguments], stdout=subprocess.DEVNULL)
        wait_until(lambda: port_open(port), "Redis did not open its port")
        return process

    def _replicates(self) -> bool:
        output = redis.Redis(port=self._replica, password=PASSWORD).info("replication")
        return bool(output["master_link_status"] == "up")

    def _knows_replica(self) -> bool:
        asked: Any = redis.Redis(port=self._sentinel, password=SENTINEL_PASSWORD)
        return bool(asked.execute_command("SENTINEL", "REPLICAS", MASTER))
