"""Fixtures of all tests: a clean environment, and a service with a server that works."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import service
from tests.scripted import ScriptedServer, listing

# A process started in the background of a script ignores it, and the services would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name, value in service.VARIABLES.items():
        monkeypatch.setenv(name, value)
    # The note of a refused credential must not affect another test.
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("temporary")))


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(listed=[listing(A="value-of-a", B="value-of-b")]) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, server: ScriptedServer) -> Path:
    """The directory of a service whose secrets `server` has."""
    return service.directory(tmp_path / "service", server.address)


@pytest.fixture
def without_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's environment, in which only `.env.local` has the credential."""
    for name in service.CREDENTIAL:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NODE_ENV", "development")
