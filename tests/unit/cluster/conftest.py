"""A fake leader of a cluster."""

from pathlib import Path

import pytest

from tests.unit.cluster.fake_leader import Leader


@pytest.fixture
def leader(tmp_path: Path) -> Leader:
    return Leader(tmp_path)
