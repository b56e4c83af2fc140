"""Servers for the contract tests."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from tests.certificates import OwnAuthority
from tests.serving import serving
from tests.token_issuer import TokenIssuer

from .caddies import Caddy, StartCaddy
from .laptops import Office
from .postgres import Postgres
from .services import RedisServer, Standin
from .upstream import Upstream
from .world import World, set_up

if TYPE_CHECKING:
    from pathlib import Path

StartStandin = Callable[..., Standin]
# Set while the tests run against a real server.
REAL = "INFISICAL_IAC_TESTS_ON_A_SERVER"
# Permissions are cached for less than twice this time: a real server caches them for ten seconds.
CACHE_SECONDS = 6.0 if REAL in os.environ else 0.5
_numbers = count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A stand-in with an admin, a deployer and a project, shared by the tests.

    With tests.real it is a real server in Docker. Modules write to it once, so all tests
    of a module run in one process, one after the other (`--dist loadfile`).
    """
    if REAL in os.environ:
        from tests.staging.server import running  # needs Docker

        with running() as server:
            yield server.world()
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    redis_server: RedisServer = request.getfixturevalue("redis_server")
    database = f"infisical_{next(_numbers)}"
    uri = postgres.create_database(database)
    settings = {
        "STANDIN_PERMISSION_CACHE_SECONDS": str(CACHE_SECONDS),
        # The issuers of the tests are on loopback.
        "ALLOW_INTERNAL_IP_CONNECTIONS": "true",
    }
    standin = Standin(uri, redis_server.url_for(database), **settings)
    yield set_up(standin.wait(), database)
    standin.close()


@pytest.fixture(scope="session")
def office(world: World) -> Office:
    opened = Office.open(world)
    time.sleep(CACHE_SECONDS)
    return opened


@pytest.fixture(scope="module")
def issuer(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenIssuer]:
    """An issuer that the server reaches; its certificate is of an authority of its own."""
    address = "127.0.0.1"
    if REAL in os.environ:
        from tests.staging.server import host_address  # needs Docker

        address = host_address()
    authority = OwnAuthority(tmp_path_factory.mktemp("authority"))
    with serving(TokenIssuer(address, authority.issue(address))) as made:
        made.authority = authority.ca.read_text().strip()
        yield made


@pytest.fixture
def database(postgres: Postgres) -> str:
    """The name of a new, empty database."""
    name = f"infisical_{next(_numbers)}"
    postgres.create_database(name)
    return name


@pytest.fixture
def start(postgres: Postgres, redis_server: RedisServer) -> Iterator[StartStandin]:
    """Start a stand-in on a database; settings override its environment."""
    started: list[Standin] = []

    def start_one(database: str, **environment: str | None) -> Standin:
        url = redis_server.url_for(database)
        standin = Standin(postgres.uri(database), url, **environment)
        started.append(standin)
        return standin

    yield start_one
    for standin in started:
        standin.close()


@pytest.fixture
def standin(start: StartStandin, database: str) -> Standin:
    """A stand-in on an empty database."""
    return start(database).wait()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


@pytest.fixture
def start_caddy(upstream: Upstream, tmp_path: Path) -> Iterator[StartCaddy]:
    """Start a Caddy with the given settings."""
    started: list[Caddy] = []

    def start_one(certificate: str = "", /, *edits: tuple[str, str], **changes: Any) -> Caddy:
        one = Caddy(tmp_path, upstream.port, **changes)
        one.write(certificate, *edits)
        started.append(one)
        return one.start()

    yield start_one
    for each in started:
        each.stop()
