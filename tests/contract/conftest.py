"""Servers for the contract tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from .postgres import Postgres
from .services import RedisServer, Standin
from .world import World, set_up

StartStandin = Callable[..., Standin]
CACHE_SECONDS = 0.5
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
def world(postgres: Postgres, redis_server: RedisServer) -> Iterator[World]:
    """A stand-in with an admin, a deployer and a project, shared by the tests."""
    database = f"infisical_{next(_numbers)}"
    uri = postgres.create_database(database)
    cache = {"STANDIN_PERMISSION_CACHE_SECONDS": str(CACHE_SECONDS)}
    standin = Standin(uri, redis_server.url, **cache)
    yield set_up(standin.wait(), database)
    standin.close()


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
        standin = Standin(postgres.uri(database), redis_server.url, **environment)
        started.append(standin)
        return standin

    yield start_one
    for standin in started:
        standin.close()


@pytest.fixture
def standin(start: StartStandin, database: str) -> Standin:
    """A stand-in on an empty database."""
    return start(database).wait()
