"""The shipped host tests pass on what the deploy made, on every kind of host."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import settled
from tests.e2e.running import REPOSITORY, deploy
from tests.staging.host import StagingHost

_LEAST_CHECKS = 60


def _verify(host: StagingHost) -> None:
    done = subprocess.run(
        f"{sys.executable} -m pytest -q tests/host --inventory inventory/staging.py".split(),
        cwd=REPOSITORY,
        env={**os.environ, "STAGING_HOST": host.name},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= _LEAST_CHECKS
    assert "skipped" not in done.stdout


def test_debian_13_as_root(deployed: StagingHost) -> None:
    _verify(deployed)


@pytest.fixture(scope="module")
def bookworm() -> Iterator[StagingHost]:
    """A Debian 12 whose user is not root but may use sudo."""
    host = StagingHost("e2e-bookworm", "bookworm", "deploy")
    host.down()
    host.up()
    yield host
    host.down()


def test_debian_12_as_a_user_with_sudo(bookworm: StagingHost) -> None:
    run = deploy(bookworm.name).ok()
    assert len(run.changed) >= 10
    settled(bookworm)
    _verify(bookworm)
