"""A cluster's lead that is played."""

from pathlib import Path

import pytest

from tests.unit.cluster.played_lead import Lead


@pytest.fixture
def lead(tmp_path: Path) -> Lead:
    return Lead(tmp_path)
