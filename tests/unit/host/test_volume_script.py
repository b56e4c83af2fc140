"""Test the volume as a real block device: formatting, mounting, moving data of the disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infisical_iac.agent import volume
from infisical_iac.agent.runner import Runner
from infisical_iac.agent.volume import VolumeState
from tests.unit.fake_programs import fake_program
from tests.unit.volume_host import VolumeHost, needs_a_device, volume_host

pytestmark = needs_a_device


@pytest.fixture
def host(tmp_path: Path) -> Iterator[VolumeHost]:
    """A host with a blank device."""
    with volume_host(tmp_path) as host:
        yield host


def test_a_blank_device_is_formatted_and_bound_to_every_place(host: VolumeHost) -> None:
    assert host.state() == VolumeState(present=True)
    host.format()
    found = host.state(host.mount, host.mount)
    assert (found.holds, found.mounted, found.unbound) == ("ext4", found.uuid, [])


def test_a_device_with_content_is_never_formatted(host: VolumeHost) -> None:
    for fill in (
        f"mkswap {host.device} >/dev/null",
        f"mkfs.ext4 -q -F {host.device}",
        f"wipefs --all --quiet {host.device}; printf '\\n' | dd of={host.device} status=none",
    ):
        host.ok(fill)
        before = host.ok(f"sha256sum {host.device}")
        assert host.state().holds
        refused = host.run(host.command("format_device", device=host.device))
        assert "it was not formatted" in refused.stderr
        assert host.ok(f"sha256sum {host.device}") == before


def test_a_missing_device_is_reported(host: VolumeHost) -> None:
    assert volume.inspect(Runner(host.directory), device="/dev/none") == VolumeState()


def test_data_of_the_disk_are_moved_and_leave_no_second_copy(host: VolumeHost) -> None:
    host.format()
    said = host.ok(
        "mkdir -p $H/etc/infisical/keys; echo fake > $H/etc/infisical/keys/encryption_key",
        host.mount,
        "cat $H/etc/infisical/keys/encryption_key",
        "umount $H/etc/infisical; ls -A $H/etc/infisical",
    )
    assert said == "fake\n"
    again = host.ok(host.mount, "cat $H/etc/infisical/keys/encryption_key")
    assert again == "fake\n"


def test_two_versions_of_the_keys_are_never_mixed(host: VolumeHost) -> None:
    host.format()
    host.ok(host.mount, "echo volume > $H/etc/infisical/key")
    refused = host.run("mkdir -p $H/etc/infisical; echo disk > $H/etc/infisical/key", host.mount)
    assert refused.returncode == 1
    assert f"files for {host.directory}/etc/infisical:" in refused.stderr
    assert (host.directory / "etc/infisical/key").read_text() == "disk\n"


def test_an_interrupted_move_is_completed(host: VolumeHost) -> None:
    host.format()
    host.ok(host.mount, "echo key > $H/etc/infisical/key; echo two > $H/etc/infisical/two")
    # A run was interrupted after the copy, with half of the originals deleted.
    said = host.ok("echo key > $H/etc/infisical/key", host.mount, "cat $H/etc/infisical/*")
    assert said == "key\ntwo\n"
    assert not (host.directory / "etc/infisical/key").exists()


def test_a_file_system_of_somebody_else_is_not_changed(host: VolumeHost) -> None:
    host.ok(f"mkfs.ext4 -q {host.device}; mount {host.device} /mnt; touch /mnt/theirs")
    refused = host.run(host.mount)
    assert refused.returncode == 1
    assert "not made here" in refused.stderr


def test_files_written_without_the_volume_do_not_prevent_its_mount(host: VolumeHost) -> None:
    host.format()
    state, log = "$H/var/lib/infisical-backup", "$H/var/log/infisical-access"
    host.ok(host.mount, f"echo volume > {state}/last.json; touch {log}/old")
    # A timer ran in between, and wrote its failure to a file on the disk that nobody reads.
    host.ok(f"mkdir -p {state}; echo disk > {state}/last.json; touch {log}/new")
    assert host.ok(host.mount, f"cat {state}/last.json; ls {log}") == "volume\nold\n"


def test_a_device_that_became_larger_is_reported_and_used(host: VolumeHost) -> None:
    host.format()
    assert host.state().larger is None
    with (host.directory / "device.img").open("r+b") as file:
        file.truncate(512 * 1024**2)
    host.ok(f"losetup --set-capacity {host.device}")
    assert host.state().larger == (64, 512)
    # The device is not mounted, which would need a capability that few containers have.
    host.ok(host.command("grow", device=host.device))
    assert host.state(host.mount).larger is None


def _replace_by_failing(host: VolumeHost, program: str, status: int) -> None:
    said = f"{program}: read error: Input/output error"
    fake_program(host.directory / "programs", program, f'echo "{said}" >&2\nexit {status}')


def test_a_copy_that_can_not_be_compared_is_never_removed(host: VolumeHost) -> None:
    host.format()
    host.ok(host.mount, "echo volume > $H/etc/infisical/key")
    own = host.directory / "etc/infisical/key"
    own.write_text("own\n")
    mount = host.mount
    _replace_by_failing(host, "diff", 2)
    refused = host.run(mount)
    assert (refused.returncode, "can't be compared" in refused.stderr) == (1, True)
    assert own.read_text() == "own\n"


def test_a_place_that_can_not_be_read_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/infisical").write_text("no directory")
    with pytest.raises(RuntimeError) as refused:
        volume.check_own(Runner(tmp_path))
    assert "dmesg" in refused.value.args[0].message


def test_additional_files_on_the_volume_are_not_a_difference(host: VolumeHost) -> None:
    host.format()
    host.ok(host.mount, "mkdir $H/etc/infisical/keys; echo more > $H/etc/infisical/keys/more")
    (host.directory / "etc/infisical/keys").mkdir(parents=True)
    said = host.ok(host.mount, "cat $H/etc/infisical/keys/more")
    assert said == "more\n"


def test_a_device_that_blkid_cannot_identify_is_not_blank(host: VolumeHost) -> None:
    """blkid exits with 8 for signs of several file systems; the first megabyte is empty."""
    _replace_by_failing(host, "blkid", 8)
    assert host.state().holds == "something"
