"""One run at a time on a host, and a run that is gone is not waited for."""

from collections.abc import Iterator

import pytest

from infisical_iac.operations.lock import FILE
from infisical_iac.rendering import script
from tests.e2e.conftest import settled
from tests.e2e.running import deploy
from tests.staging.host import StagingHost

_OTHER = "by somebody@elsewhere since yesterday, process 1"


@pytest.fixture
def held(deployed: StagingHost) -> Iterator[StagingHost]:
    """The host while somebody else's run holds its lock."""
    hold = script("lock", FILE, "1")
    deployed.run(f"(echo {_OTHER!r}; sleep 120) | {hold} >/dev/null 2>&1 & sleep 1")
    yield deployed
    deployed.run(f"pkill -f {FILE}", check=False)


def test_a_second_run_is_told_who_is_at_work_and_changes_nothing(held: StagingHost) -> None:
    run = deploy(held.name)
    assert run.status == 1
    assert f"another run is at work on this host, {_OTHER}" in run.sentence
    assert f"`pkill -f {FILE}` on the host lets go" in run.sentence


def test_the_advice_for_a_run_that_is_gone_helps(held: StagingHost) -> None:
    held.run(f"pkill -f {FILE}")
    settled(held)


def test_the_lock_is_free_after_a_run(deployed: StagingHost) -> None:
    settled(deployed)
    deployed.run(f"flock --wait 5 {FILE} true")
    assert "since" in deployed.run(f"cat {FILE}").stdout
