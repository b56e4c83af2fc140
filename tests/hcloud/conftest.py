"""A separate world for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hcloud.world import CLUSTER, World, make_world


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world without resources at Hetzner Cloud."""
    with make_world(tmp_path / "clone", monkeypatch) as world:
        yield world


@pytest.fixture
def cluster(world: World) -> World:
    """A world whose settings describe a cluster."""
    world.set(CLUSTER)
    return world
