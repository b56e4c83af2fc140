"""Run an Infisical on loopback, from the images that staging hosts run."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import httpx

from tests.contract.services import ENCRYPTION_KEY, wait_until
from tests.contract.world import World, set_up
from tests.ports import free_port
from tests.staging import stack
from tests.staging.host import CLONE
from tests.staging.shell import StagingError, docker

if TYPE_CHECKING:
    from tests.contract.services import Standin

_NAME = f"infisical-iac-server{CLONE}"
_POSTGRES, _REDIS, _INFISICAL = (f"{_NAME}-{each}" for each in ("postgres", "redis", "infisical"))
_PASSWORD = "not-a-real-password"
_START_SECONDS = 300


@dataclass(frozen=True)
class Server:
    """A fresh running Infisical; `is_standin` is whether it is the stand-in."""

    url: str
    is_standin: bool

    def client(self, token: str | None = None) -> httpx.Client:
        """Return a client with a token, or without one."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def world(self) -> World:
        """Set the server up for the contract's tests, and return their world."""
        return set_up(cast("Standin", self))  # set_up uses only members that both classes have

    def answers(self) -> bool:
        """Return whether the server answers requests already."""
        try:
            with self.client() as client:
                return client.get("/api/status").is_success
        except httpx.RequestError:
            return False


@contextmanager
def running() -> Iterator[Server]:
    """Yield a server while the context is open: PostgreSQL, Redis and Infisical in containers.

    Infisical's image is the one in STAGING_INFISICAL_IMAGE, or the stand-in's. Raises
    StagingError if it does not start.
    """
    stack.ensure()
    choice = json.loads(stack.CHOICE.read_text())
    image = f"{stack.INFISICAL}:{choice['infisical_version']}"
    server = Server(f"http://127.0.0.1:{free_port()}", choice["standin"])
    _remove()
    try:
        docker("network", "create", _NAME)
        _start(server, image)
        yield server
    finally:
        _remove()


def host_address() -> str:
    """Return the address at which the running server reaches this machine."""
    path = "{{(index .IPAM.Config 0).Gateway}}"
    return docker("network", "inspect", "--format", path, _NAME).strip()


def _start(server: Server, image: str) -> None:
    database = f"postgresql://infisical:{_PASSWORD}@{_POSTGRES}:5432/infisical"
    settings = {
        "POSTGRES_USER": "infisical",
        "POSTGRES_PASSWORD": _PASSWORD,
        "POSTGRES_INITDB_ARGS": "--locale=en_US.utf8 --encoding=UTF8",
    }
    _run(_POSTGRES, stack.POSTGRES, settings)
    _run(_REDIS, stack.REDIS, {})
    ready = ("exec", _POSTGRES, "psql", "-h", _POSTGRES, database, "-c", "select 1")
    _wait(lambda: bool(docker(*ready, check=False)), "PostgreSQL")
    settings = {
        "DB_CONNECTION_URI": database,
        "REDIS_URL": f"redis://{_REDIS}:6379",
        "ENCRYPTION_KEY": ENCRYPTION_KEY,
        "AUTH_SECRET": "bm90LWEtcmVhbC1zZWNyZXQtb2YtMzItYnl0ZXMhISE=",
        "SITE_URL": server.url,
        "HOST": "0.0.0.0",
        "PORT": "8080",
        "TELEMETRY_ENABLED": "false",
        # The issuers of the tests are on this machine.
        "ALLOW_INTERNAL_IP_CONNECTIONS": "true",
    }
    _run(_INFISICAL, image, settings, "--publish", f"{server.url.removeprefix('http://')}:8080")
    _wait(server.answers, "Infisical")


def _run(name: str, image: str, settings: dict[str, str], *options: str) -> None:
    given = [f"--env={key}={value}" for key, value in settings.items()]
    docker("run", "--detach", "--name", name, "--network", _NAME, *given, *options, image)


def _wait(ready: Callable[[], bool], what: str) -> None:
    try:
        wait_until(ready, what, seconds=_START_SECONDS)
    except TimeoutError:
        raise StagingError(f"{what} did not answer within {_START_SECONDS} s: try again") from None


def _remove() -> None:
    docker("rm", "--force", "--volumes", _POSTGRES, _REDIS, _INFISICAL, check=False)
    docker("network", "rm", _NAME, check=False)
