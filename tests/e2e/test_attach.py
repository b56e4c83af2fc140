"""Test changes that go on without the command that began them, and are followed again."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import backing, dying_rotation
from tests.e2e.conftest import assert_converged
from tests.e2e.dying_script import KILLED
from tests.e2e.running import REPOSITORY, Done, command_environment, infisical_iac
from tests.staging.host import StagingHost

pytestmark = pytest.mark.real

_STATE = "/var/lib/infisical-rotation/state"
_KEY = "/etc/infisical/keys/redis_password"
_MOST_SECONDS = 240


@pytest.fixture(scope="module", autouse=True)
def host(deployed_host: StagingHost) -> Iterator[StagingHost]:
    """The host without any backup, before and after these tests."""
    yield from backing.without_backups(deployed_host)


def _key(host: StagingHost) -> str:
    return host.run(f"cat {_KEY}").stdout


def _wait(host: StagingHost, condition: str) -> None:
    """Wait until a condition of the shell is true on the host."""
    end = time.monotonic() + _MOST_SECONDS
    while host.run(f"{condition} && echo yes || true").stdout.strip() != "yes":
        assert time.monotonic() < end, condition
        time.sleep(0.5)


def _attach(host: StagingHost, *options: str) -> Done:
    return infisical_iac(host.name, "attach", *options)


def test_a_rotation_goes_on_after_the_command_was_killed(host: StagingHost) -> None:
    old = _key(host)
    command = [str(Path(sys.executable).with_name("infisical-iac")), "keys", "rotate", "redis"]
    process = subprocess.Popen(
        [*command, "--yes"],
        cwd=REPOSITORY,
        env=command_environment(host.name),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _wait(host, f"test -e {_STATE}")
    process.kill()
    process.wait()
    refused = infisical_iac(host.name, "keys", "rotate", "redis")
    if refused.returncode:
        assert "`infisical-iac attach`" in refused.stderr
    done = _attach(host)
    assert done.returncode == 0, done.stderr
    assert "rotation" in done.stderr + done.stdout
    assert _key(host) != old
    assert_converged(host)


def test_a_rotation_that_was_killed_is_undone_on_demand(host: StagingHost) -> None:
    old = _key(host)
    program = dying_rotation.program("in its place")
    died = infisical_iac(host.name, "keys", "rotate", "redis", "--yes", program=program)
    assert died.returncode == KILLED, died.stderr
    unfinished = infisical_iac(host.name, "status")
    assert "Unfinished" in unfinished.stdout
    done = _attach(host, "--go-back")
    assert done.returncode == 1
    assert "was given up" in done.stderr
    assert _key(host) == old
    assert "No change is" in _attach(host).stdout
    assert_converged(host)


def test_a_boot_takes_up_a_rotation_that_was_killed(host: StagingHost) -> None:
    old = _key(host)
    program = dying_rotation.program("in its place")
    died = infisical_iac(host.name, "keys", "rotate", "redis", "--yes", program=program)
    assert died.returncode == KILLED, died.stderr
    host.run("systemctl restart infisical-transaction.service")
    _wait(host, f"test ! -e {_STATE}")
    told = _attach(host)
    assert told.returncode == 0, told.stderr
    assert "rotation" in told.stdout
    assert "No change is" in _attach(host).stdout
    assert _key(host) != old
    assert_converged(host)
