"""Test the file system of the access log and its rotation, by the agent's programs."""

import gzip
import os
import random
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent.runner import Output
from infisical_iac.host.deploy import packages
from infisical_iac.host.model import MachineState
from infisical_iac.host.site import Known, Site
from tests.unit.host.rotating import AccessLog, LocalRunner
from tests.unit.settings_of import settings_of

_DAY, _MIB = 86400, 1024**2


@pytest.fixture
def log(tmp_path: Path) -> AccessLog:
    return AccessLog(tmp_path)


@pytest.fixture
def access_log(tmp_path: Path) -> Iterator[AccessLog]:
    """Yield a log of at most 50 MiB, with 12 MiB of them for the current file."""
    log = AccessLog(tmp_path, access_log_max_mb=50)
    assert log.mount() == ""
    yield log
    log.unmount()


def _make_old(log: AccessLog, name: str, content: bytes, days: float) -> Path:
    """Make a log that was rotated the given number of days ago."""
    file = log.directory / f"access.log-{name}.gz"
    file.write_bytes(gzip.compress(content))
    os.utime(file, (time.time() - days * _DAY,) * 2)
    return file


def _make_noise(mebibytes: int) -> bytes:
    """Return random bytes, which no compression makes smaller."""
    return random.Random(1).randbytes(mebibytes * _MIB)


def test_the_log_of_a_day_is_rotated_and_compressed_while_the_writer_continues(
    log: AccessLog,
) -> None:
    writer = log.log.open("ab", buffering=0)
    writer.write(b"yesterday\n")
    log.rotate_next_day()
    writer.write(b"today\n")
    log.rotate()
    [file] = log.list_rotated()
    assert gzip.decompress(file.read_bytes()) == b"yesterday\n"
    assert log.log.read_bytes() == b"today\n"
    assert (file.stat().st_mode & 0o777, file.suffix) == (0o600, ".gz")


def test_a_killed_rotation_is_repeated(log: AccessLog) -> None:
    (log.directory / "access.log-20261125-000000.new").write_bytes(b"half")
    log.log.write_bytes(b"yesterday\n")
    log.rotate_next_day()
    [file] = log.list_rotated()
    assert gzip.decompress(file.read_bytes()) == b"yesterday\n"


def test_a_small_log_is_not_rotated_within_a_day(log: AccessLog) -> None:
    log.log.write_bytes(b"today\n")
    log.rotate()
    assert log.list_rotated() == []


def test_logs_are_kept_for_the_number_of_days_in_the_settings(tmp_path: Path) -> None:
    log = AccessLog(tmp_path, access_log_keep_days=90)
    kept, gone = (
        _make_old(log, "20260901-000000", b"1\n", 89),
        _make_old(log, "20260801-000000", b"2\n", 92),
    )
    # Earlier versions let Caddy write here, before the log had a file system of its own.
    former = log.directory / "access.log"
    former.write_bytes(b"3\n")
    log.rotate()
    assert (kept.exists(), gone.exists(), former.exists()) == (True, False, True)
    os.utime(former, (time.time() - 92 * _DAY,) * 2)
    log.rotate()
    assert not former.exists()


def test_logs_are_on_a_file_system_of_limited_size(access_log: AccessLog) -> None:
    assert access_log.image.stat().st_size == 12 * _MIB
    # All blocks are allocated at once: a sparse file would grow with the log.
    assert access_log.image.stat().st_blocks * 512 >= 12 * _MIB
    with pytest.raises(OSError, match="No space left"), access_log.log.open("ab") as log:
        log.write(bytes(13 * _MIB))
    assert access_log.log.stat().st_size < 12 * _MIB


def test_the_logs_of_a_flood_never_exceed_the_size_in_the_settings(access_log: AccessLog) -> None:
    noise = _make_noise(9)
    for turn in range(8):
        access_log.log.write_bytes(b"%d " % turn + noise)
        most = access_log.count_bytes()
        access_log.rotate()
        assert access_log.log.stat().st_size == 0
        assert max(most, access_log.count_bytes()) <= 50 * _MIB
    turns = [gzip.decompress(each.read_bytes())[:1] for each in access_log.list_rotated()]
    # The oldest logs were removed.
    assert turns == [b"4", b"5", b"6", b"7"]


def test_a_log_is_rotated_once_it_fills_a_quarter_of_its_file_system(
    access_log: AccessLog,
) -> None:
    access_log.log.write_bytes(bytes(2 * _MIB))
    access_log.rotate()
    assert access_log.list_rotated() == []
    access_log.log.write_bytes(bytes(3 * _MIB))
    access_log.rotate()
    assert len(access_log.list_rotated()) == 1


def test_logs_survive_a_reboot_and_a_change_of_size(
    access_log: AccessLog,
) -> None:
    access_log.log.write_bytes(b"before\n")
    access_log.unmount()
    assert access_log.mount() == ""
    assert access_log.log.read_bytes() == b"before\n"
    access_log.unmount()
    access_log.apply(access_log_max_mb=100)
    assert access_log.mount() == ""
    assert access_log.image.stat().st_size == 25 * _MIB
    [file] = access_log.list_rotated()
    assert gzip.decompress(file.read_bytes()) == b"before\n"


def test_a_loop_device_in_use_does_not_lose_the_log(
    access_log: AccessLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hosts on one kernel may request the same device at boot; the log was re-created then."""
    access_log.log.write_bytes(b"before\n")
    access_log.unmount()
    refused: list[Sequence[str]] = []
    run = LocalRunner.run

    def refuse_once(self: LocalRunner, words: Sequence[str], **more: Any) -> Output:
        if words[0] == "mount" and not refused:
            refused.append(words)
            return Output(32, errors="mount: obviously fake")
        return run(self, words, **more)

    monkeypatch.setattr(LocalRunner, "run", refuse_once)
    assert access_log.mount() == ""
    assert len(refused) == 1
    assert access_log.log.read_bytes() == b"before\n"


def test_a_damaged_file_system_is_re_created_and_reported(access_log: AccessLog) -> None:
    access_log.unmount()
    with access_log.image.open("r+b") as image:
        image.write(bytes(4 * _MIB))
    assert "is damaged" in access_log.mount()
    assert access_log.log.read_bytes() == b""


def test_the_log_is_in_memory_of_the_same_size_if_no_file_system_can_be_created(
    access_log: AccessLog,
) -> None:
    access_log.unmount()
    access_log.image.unlink()
    access_log.image.mkdir()
    (access_log.image / "file").touch()
    assert "is in memory" in access_log.mount()
    with pytest.raises(OSError, match="No space left"), access_log.log.open("ab") as log:
        log.write(bytes(13 * _MIB))


def test_a_host_without_caddy_rotates_no_log(log: AccessLog) -> None:
    (log.directory / "live").unlink()
    log.directory.rmdir()
    assert log.rotate() == ""
    assert not log.directory.exists()


def test_logs_that_clients_can_grow_are_rotated_by_size(
    log: AccessLog,
) -> None:
    # Only paths in /var/log are read from a configuration.
    place = log.runner.path("/var/log/obviously-fake")
    place.mkdir()
    configuration = log.runner.path("/etc/logrotate.d/fail2ban")
    configuration.parent.mkdir(parents=True)
    configuration.write_text(
        "/var/log/obviously-fake/fail2ban.log {\n    weekly\n    rotate 1\n    missingok\n}\n"
    )
    file = place / "fail2ban.log"
    subprocess.run(["truncate", "--size=1M", file], check=True)
    log.rotate()
    assert [each.name for each in place.iterdir()] == ["fail2ban.log"]
    for _ in range(3):
        subprocess.run(["truncate", "--size=51M", file], check=True)
        log.rotate()
    assert [each.name for each in place.iterdir()] == ["fail2ban.log.1"]


@pytest.mark.parametrize(("ingress", "due"), [("caddy", True), ("traefik", True), ("none", False)])
def test_hosts_with_caddy_get_the_package_that_creates_the_logs_file_system(
    ingress: str, due: bool
) -> None:
    machine = MachineState(os="debian", release="13")
    settings = settings_of(ingress=ingress)
    known = Known(settings, machine, Site(settings))
    assert ("e2fsprogs" in packages(known)) is due
