"""Test that a cluster's Redis and sentinel accept two passwords during a rotation."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import redis

from infisical_iac.agent import redis_passwords
from infisical_iac.agent.runner import Output
from infisical_iac.cluster.stack_plan import Level
from infisical_iac.core.rendering import template
from tests.ports import free_port
from tests.unit.agent.fake_runner import FakeRunner, docker_answers, docker_container

from .services import port_open, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

OLD, NEW = "old-obviously-fake", "new-obviously-fake"
VOLUMES = {"redis": "redis-replica", "sentinel": "sentinel"}


class Docker(FakeRunner):
    """A Docker whose containers' commands run in the shell of this machine."""

    cli = ""

    def run(self, words: Sequence[str], *, stdin: str = "", **_: Any) -> Output:
        match [*words]:
            case ["docker", "volume", "inspect", *_, name]:
                place = f"/{name.removeprefix('infisical_')}"
                return Output(0, json.dumps({"Mountpoint": place}))
            case ["docker", "exec", "--interactive", _, *command]:
                inside = [each.replace("/run/secrets/env", f"{self.root}/env") for each in command]
                done = subprocess.run(
                    inside,
                    input=stdin,
                    capture_output=True,
                    text=True,
                    env={**os.environ, "CLI": self.cli},
                )
                return Output(done.returncode, done.stdout, done.stderr)
        return super().run(words, stdin=stdin)


class Host:
    """The Redis and the sentinel of a data node; both start with `secret`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports = {"redis": free_port(), "sentinel": free_port()}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("redis-replica", "sentinel", "etc/infisical/keys"):
            (directory / name).mkdir(parents=True)
        self._certify()
        self.is_running = True

    @property
    def _cli(self) -> str:
        return f"--tls --cacert {self.directory}/ca.crt"

    def _certify(self) -> None:
        """Make a self-signed certificate for this machine, and its key."""
        command = (
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=fake"
        )
        subprocess.run(
            [
                *("openssl", *command.split(), "-addext", "subjectAltName=IP:127.0.0.1"),
                *("-keyout", self.directory / "key.pem", "-out", self.directory / "ca.crt"),
            ],
            check=True,
            capture_output=True,
        )
        parts = [(self.directory / name).read_text() for name in ("ca.crt", "key.pem")]
        (self.directory / "tls.pem").write_text("".join(parts))

    def start(self, secret: str) -> None:
        """Restart both with a secret."""
        self.stop()
        (self.directory / "env").write_text(f"REDIS_PASSWORD={secret}\n")
        for name, volume in (("redis", "redis-replica"), ("sentinel", "sentinel")):
            text = template(f"{name}.sh", numbers=(1,), redis_maxmemory_mb=16, tls=Level.REQUIRED)
            for old, new in (
                ("/tmp/tls.pem", f"{self.directory}/{name}.pem"),
                ("/run/secrets/", f"{self.directory}/"),
                ("/data", f"{self.directory}/{volume}"),
                ("tls-port 26379", f"tls-port {self.ports['sentinel']}"),
                ("-p 26379", f"-p {self.ports['sentinel']}"),
                ("redis-1", "127.0.0.1"),
                ("sentinel-1", "127.0.0.1"),
                (" 6379", f" {self.ports['redis']}"),
            ):
                text = text.replace(old, new)
            self._running[name] = subprocess.Popen(
                ["sh", "-c", text],
                env={**os.environ, "NAME": "127.0.0.1", "CLI": self._cli},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            wait_until(partial(port_open, self.ports[name]), f"{name} opens no port")

    def stop(self) -> None:
        for process in self._running.values():
            process.terminate()
            process.wait(timeout=10)
        self._running.clear()

    @property
    def docker(self) -> Docker:
        """The host's Docker."""
        state = "running" if self.is_running else "exited"
        containers = (
            docker_container(name, swarm=f"infisical_{name}-1", state=state) for name in VOLUMES
        )
        made = Docker(self.directory, answers=docker_answers(*containers))
        object.__setattr__(made, "cli", self._cli)
        return made

    def hashes(self) -> list[str]:
        return redis_passwords.hashes(self.docker)

    def admit_all(self) -> None:
        with self._own_ports():
            redis_passwords.admit(self.docker, hashes=self.hashes())

    def accept_only(self, hash: str) -> None:
        with self._own_ports():
            redis_passwords.accept_only(self.docker, hash=hash)

    @contextmanager
    def _own_ports(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(redis_passwords, "_PORTS", self.ports)
            yield

    def key(self, suffix: str, password: str) -> None:
        (self.directory / f"etc/infisical/keys/redis_password{suffix}").write_text(password)

    def list_accepted(self) -> dict[str, list[str]]:
        """Return the passwords that Redis and the sentinel accept."""
        return {
            name: [password for password in (OLD, NEW) if self._accepts(port, password)]
            for name, port in self.ports.items()
        }

    def _accepts(self, port: int, password: str) -> bool:
        authority = str(self.directory / "ca.crt")
        with redis.Redis(
            host="127.0.0.1", port=port, password=password, ssl=True, ssl_ca_certs=authority
        ) as client:
            try:
                return bool(client.ping())
            except redis.AuthenticationError:
                return False


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    made.key("", OLD)
    made.key(".next", NEW)
    made.start(OLD)
    yield made
    made.stop()


BOTH = {"redis": [OLD, NEW], "sentinel": [OLD, NEW]}


@pytest.mark.long
def test_both_passwords_work_from_admit_to_only_through_every_start(host: Host) -> None:
    assert host.list_accepted() == {"redis": [OLD], "sentinel": [OLD]}
    hashes = host.hashes()
    host.admit_all()
    assert host.list_accepted() == BOTH
    for secret in (OLD, NEW):
        host.start(secret)
        assert host.list_accepted() == BOTH
    host.key("", NEW)
    new = host.hashes()[0]
    assert (new, len(hashes)) == (hashes[1], 2)
    host.accept_only(new)
    assert host.list_accepted() == {"redis": [NEW], "sentinel": [NEW]}
    host.start(NEW)
    assert host.list_accepted() == {"redis": [NEW], "sentinel": [NEW]}


def test_other_files_of_a_start_hold_no_password(host: Host) -> None:
    host.admit_all()
    for volume in ("redis-replica", "sentinel"):
        text = (host.directory / volume / "admitted").read_text()
        assert len(text.split()) == 2
        assert not [password for password in (OLD, NEW) if password in text]


@pytest.mark.long
def test_a_stopped_server_accepts_both_passwords_when_it_starts(host: Host) -> None:
    host.is_running = False
    host.stop()
    host.admit_all()
    host.start(OLD)
    assert host.list_accepted() == BOTH
