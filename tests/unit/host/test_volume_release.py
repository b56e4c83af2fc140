"""Test that a volume is released completely, and only if the data are on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.volume_host import VolumeHost, needs_a_device, volume_host

pytestmark = needs_a_device


@pytest.fixture
def host(tmp_path: Path) -> Iterator[VolumeHost]:
    """A host with a blank device."""
    with volume_host(tmp_path) as host:
        yield host


def test_a_released_volume_is_not_mounted_anywhere(host: VolumeHost) -> None:
    host.format()
    found = host.state(
        host.mount,
        "echo key > $H/etc/infisical/key",
        host.command("release"),
        "ls -A $H/etc/infisical $H/mnt/infisical-data | grep -v : || true",
    )
    assert (found.mounted, found.bound) == ("", frozenset())


def test_a_release_is_refused_while_data_are_on_the_hosts_own_disk(host: VolumeHost) -> None:
    host.ok(host.command("check_own"))
    host.ok("mkdir -p $H/etc/infisical; echo key > $H/etc/infisical/key")
    for command in ("check_own", "release"):
        refused = host.run(host.command(command))
        assert refused.returncode == 1
        assert "host's own disk" in refused.stderr
    host.format()
    host.ok(host.mount, host.command("check_own"))


def test_a_release_is_refused_while_a_run_holds_the_lock(host: VolumeHost) -> None:
    host.format()
    lock = "$H/run/infisical-iac.lock"
    refused = host.run(
        host.mount,
        f"echo 'by you since noon' > {lock}; exec 9>>{lock}; flock 9",
        host.command("release"),
    )
    assert refused.returncode == 1
    assert "(by you since noon)" in refused.stderr


def test_a_release_waits_for_a_program_that_reads_a_file_briefly(host: VolumeHost) -> None:
    host.format()
    host.ok(
        host.mount,
        "touch $H/var/log/infisical-access/access.log",
        "(exec 7<$H/var/log/infisical-access/access.log; sleep 0.5) & sleep 0.1",
        host.command("release"),
    )
