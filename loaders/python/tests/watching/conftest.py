"""Fixtures: a service whose configuration is watched, and a server whose secrets change."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripted import ScriptedServer
from tests.vault import Vault
from tests.watching.watched import Watched


@pytest.fixture
def vault() -> Vault:
    return Vault(A="1", B="2")


@pytest.fixture
def server(vault: Vault) -> Iterator[ScriptedServer]:
    with ScriptedServer(listed=[vault]) as server:
        yield server


@pytest.fixture
def watched(home: Path) -> Iterator[Watched]:
    watched = Watched(home)
    yield watched
    watched.watch.stop()
