"""The log's rotation, by the logrotate of this machine with the file as it is rendered."""

import gzip
import os
import random
import subprocess
import time
from pathlib import Path
from typing import IO

from infisical_iac.deploys.watch import CONFIGURATION, rotation
from infisical_iac.operations.watch import LOG
from tests.unit.settings_of import settings_of

_DAY = 86400


class Rotated:
    """A directory with a log that somebody writes to, and its rotation."""

    def __init__(self, home: Path, **changes: object) -> None:
        self.directory = home / "log"
        self.directory.mkdir(mode=0o750)
        self.log = self.directory / "access.log"
        self.writer: IO[bytes] = self.log.open("ab", buffering=0)
        texts = {each.path: each.content for each in rotation(settings_of(**changes))}
        self._configuration, self._state = home / "configuration", home / "state"
        self._configuration.write_text(texts[CONFIGURATION].replace(LOG, str(self.log)))

    def rotate(self, *, days_since: int = 1) -> None:
        """Run logrotate, so many days after the last time."""
        day = time.strftime("%Y-%m-%d-%H:%M:%S", time.localtime(time.time() - days_since * _DAY))
        self._state.write_text(f'logrotate state -- version 2\n"{self.log}" {day}\n')
        self._state.chmod(0o600)
        done = subprocess.run(
            ["logrotate", "--state", self._state, self._configuration],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")

    def old(self, name: str, content: bytes, days: float) -> Path:
        """A log that was rotated so many days ago."""
        file = self.directory / f"access.log-{name}.gz"
        file.write_bytes(gzip.compress(content))
        os.utime(file, (time.time() - days * _DAY,) * 2)
        return file

    def rotated(self) -> list[Path]:
        """The logs but for the one in use."""
        return sorted(self.directory.glob("access.log-*"))


def test_a_day_is_rotated_and_compressed_while_the_writer_goes_on(tmp_path: Path) -> None:
    log = Rotated(tmp_path)
    log.writer.write(b"yesterday\n")
    log.rotate()
    log.writer.write(b"today\n")
    [file] = log.rotated()
    assert gzip.decompress(file.read_bytes()) == b"yesterday\n"
    assert log.log.read_bytes() == b"today\n"


def test_within_a_day_a_small_log_stays(tmp_path: Path) -> None:
    log = Rotated(tmp_path)
    log.writer.write(b"today\n")
    log.rotate(days_since=0)
    assert log.rotated() == []


def test_within_a_day_a_large_log_is_rotated(tmp_path: Path) -> None:
    log = Rotated(tmp_path, access_log_max_mb=50)
    log.writer.write(b"x" * 5 * 1024**2 + b"\n")
    log.rotate(days_since=0)
    assert len(log.rotated()) == 1
    assert log.log.stat().st_size == 0


def test_logs_are_kept_for_as_many_days_as_the_setting_says(tmp_path: Path) -> None:
    log = Rotated(tmp_path, access_log_keep_days=90)
    kept, gone = log.old("20260901-000000", b"1\n", 89), log.old("20260801-000000", b"2\n", 92)
    log.rotate()
    assert kept.exists()
    assert not gone.exists()


def test_an_idle_host_lets_old_logs_go_too(tmp_path: Path) -> None:
    log = Rotated(tmp_path, access_log_keep_days=2)
    gone = log.old("20260801-000000", b"2\n", 4)
    log.rotate()
    assert not gone.exists()


def test_the_oldest_go_once_all_take_more_than_the_setting_allows(tmp_path: Path) -> None:
    log = Rotated(tmp_path, access_log_max_mb=50)
    noise = random.Random(1).randbytes(20 * 1024**2)
    files = [log.old(f"2026112{day}-000000", noise, 6 - day) for day in range(1, 4)]
    log.writer.write(b"today\n")
    log.rotate()
    assert [each.exists() for each in files] == [False, True, True]
    assert sum(each.stat().st_size for each in log.directory.iterdir()) <= 50 * 1024**2
