"""volume.sh release: a volume is let go whole, and only one that has the data."""

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


def test_nothing_of_a_volume_is_left_in_place_once_it_is_let_go(host: VolumeHost) -> None:
    host.ok(host.command("format", host.device))
    said = host.ok(
        host.mount,
        "echo key > $H/etc/infisical/key",
        host.command("release"),
        "ls -A $H/etc/infisical $H/mnt/infisical-data | grep -v : || true",
        host.command("inspect", host.device),
    )
    assert "bound" not in said
    assert "mounted" not in said


def test_data_that_are_on_the_hosts_own_disk_are_not_left_behind(host: VolumeHost) -> None:
    host.ok(host.command("ours"))
    host.ok("mkdir -p $H/etc/infisical; echo key > $H/etc/infisical/key")
    for command in ("ours", "release"):
        refused = host.run(host.command(command))
        assert refused.returncode == 1
        assert "host's own disk" in refused.stderr
    host.ok(host.command("format", host.device))
    host.ok(host.mount, host.command("ours"))


def test_a_volume_is_not_let_go_while_somebody_is_at_work(host: VolumeHost) -> None:
    host.ok(host.command("format", host.device))
    lock = "$H/run/infisical-iac.lock"
    refused = host.run(
        host.mount,
        f"echo 'by you since noon' > {lock}; exec 9>>{lock}; flock 9",
        host.command("release"),
    )
    assert refused.returncode == 1
    assert "(by you since noon)" in refused.stderr


def test_a_short_reader_of_a_file_does_not_keep_the_volume(host: VolumeHost) -> None:
    host.ok(host.command("format", host.device))
    host.ok(
        host.mount,
        "touch $H/var/log/infisical-access/access.log",
        "(exec 7<$H/var/log/infisical-access/access.log; sleep 0.5) & sleep 0.1",
        host.command("release"),
    )
