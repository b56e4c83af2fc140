"""Test that changes of data or keys wait for a running backup or drill."""

from pathlib import Path

import pytest

from tests.unit.fake_host import make_host


@pytest.mark.parametrize(
    "step",
    [
        ("restore", "begin", "20261125T101112Z"),
    ],
)
def test_a_backup_that_does_not_end_is_reported_with_the_command_that_stops_it(
    tmp_path: Path, step: tuple[str, ...]
) -> None:
    host = make_host(tmp_path)
    host.program("flock", 'test "$*" = "--wait 600 9"')
    host.write("/var/lib/infisical-backup/lock", "")
    done = host.run(*step)
    assert done.returncode == 1
    command = done.stderr.split("`")[1]
    assert command.split() == ["systemctl", "stop", "infisical-backup", "infisical-drill"]
    assert host.read(f"/var/lib/infisical-{step[0]}/state") is None
