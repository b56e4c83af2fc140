"""Test that one run at a time holds a host's lock, and that a stale lock can be broken."""

import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infisical_iac.core.lock import FILE, hold_command
from tests.e2e.conftest import assert_converged
from tests.e2e.drift import UPDATES
from tests.e2e.running import REPOSITORY, command_environment, deploy, infisical_iac
from tests.staging.host import StagingHost

_OTHER = "by somebody@elsewhere since yesterday, process 1"


@pytest.fixture
def locked_host(deployed_host: StagingHost) -> Iterator[StagingHost]:
    """The host while another run holds its lock."""
    hold = shlex.quote(hold_command(1))
    deployed_host.run(f"(echo {_OTHER!r}; sleep 120) | sh -c {hold} >/dev/null 2>&1 & sleep 1")
    yield deployed_host
    deployed_host.run(f"pkill -f {FILE}", check=False)


def test_a_second_run_is_refused_with_the_holder_of_the_lock(locked_host: StagingHost) -> None:
    run = deploy(locked_host.name)
    assert run.status == 1
    assert _OTHER in run.sentence
    assert f"`pkill -f {FILE}`" in run.sentence


def test_the_command_that_the_error_names_releases_a_stale_lock(locked_host: StagingHost) -> None:
    locked_host.run(f"pkill -f {FILE}")
    assert_converged(locked_host)


def test_the_lock_is_free_after_a_run(deployed_host: StagingHost) -> None:
    assert_converged(deployed_host)
    deployed_host.run(f"flock --wait 5 {FILE} true")
    assert "since" in deployed_host.run(f"cat {FILE}").stdout


def test_two_applies_at_once_take_turns(deployed_host: StagingHost) -> None:
    deployed_host.run(f"rm {UPDATES}; docker stop infisical-infisical-1")
    program = Path(sys.executable).with_name("infisical-iac")
    both = [
        subprocess.Popen(
            [program, "apply", "--yes", "--lock-timeout", "120"],
            cwd=REPOSITORY,
            env=command_environment(deployed_host.name),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    ended = [each.communicate(timeout=300) for each in both]
    assert [each.returncode for each in both] == [0, 0], ended
    lines = [line for stdout, _ in ended for line in stdout.splitlines()]
    assert [each for each in lines if each.startswith("2 changes made in ")]
    assert [each for each in lines if each.startswith("Nothing to change. ")]
    assert_converged(deployed_host)


def test_apply_without_waiting_names_the_holder_and_plan_needs_no_lock(
    locked_host: StagingHost,
) -> None:
    refused = infisical_iac(locked_host.name, "apply", "--yes", "--lock-timeout", "0")
    assert refused.returncode == 1
    assert _OTHER in refused.stderr
    assert "--break-lock" in refused.stderr
    assert infisical_iac(locked_host.name, "plan").returncode == 0


def test_a_stale_lock_can_be_broken(locked_host: StagingHost) -> None:
    broken = infisical_iac(locked_host.name, "apply", "--yes", "--break-lock")
    assert broken.returncode == 0, broken.stderr
    # The host ends the process that holds the lock once the run's connection has ended.
    for _ in range(20):
        if not (
            left := locked_host.run(f"pgrep -f {FILE} | grep -vx $$", check=False).stdout.split()
        ):
            break
        time.sleep(0.5)
    assert left == []
