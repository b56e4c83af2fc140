"""Keep the access log within the limits of the settings, for units of systemd.

--access-log mount <size> <days> <most>    mounts a file system of a fixed size, which bounds the
                                           log that Caddy writes; makes it if it is missing
--access-log rotate <size> <days> <most>   compresses the log once a day, and when it fills a
                                           quarter of the file system; removes logs older than
                                           <days>, and the oldest ones until all take at most
                                           <most>

Sizes are in MiB.
"""

import gzip
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from infisical_iac.agent.files import sync, write
from infisical_iac.agent.runner import Runner

DIRECTORY = "/var/log/infisical-access"
# The mount point of the current log's file system; rotated logs are next to it.
LIVE = f"{DIRECTORY}/live"
LOG = f"{LIVE}/access.log"
_IMAGE = f"{DIRECTORY}/live.img"
_STATE = "/var/lib/infisical-access-log"
_DAY = f"{_STATE}/day"
_DAY_SECONDS = 86400
_MIB = 1 << 20
_CHUNK = 1 << 20
# Bytes of the disk that must stay free, since the database may be on it.
_LEAST_FREE = 512 * _MIB
_MOST_MEMORY = 64 * _MIB
# Other programs' logs are rotated at this size. They are named in configurations of logrotate.
_MOST_OF_OTHERS = 50 * _MIB
_OTHERS = ("fail2ban", "rsyslog", "btmp", "infisical-logs")
_CONFIGURED = re.compile(r"^/var/log/[A-Za-z0-9./_-]*", re.MULTILINE)
# Seconds to wait after each attempt to mount the file system.
_PAUSES = (1, 1, 2, 0)


@dataclass(frozen=True)
class Limits:
    """The limits of the logs.

    Attributes:
        size: bytes of the current log's file system.
        days: for which a rotated log is kept.
        most: bytes of the file system and all rotated logs together.
    """

    size: int
    days: int
    most: int


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments say, as the docstring of this module describes; return the status."""
    match arguments:
        case ["mount" | "rotate" as what, size, days, most]:
            limits = Limits(int(size) * _MIB, int(days), int(most) * _MIB)
            try:
                (mount if what == "mount" else rotate)(Runner(), limits)
            except RuntimeError as error:
                _report(error.args[0].message)
                return 1
            except OSError as error:
                _report(str(error))
                return 1
            return 0
    return 2


def _report(what: str) -> None:
    print(f"<3>The access log: {what}", file=sys.stderr)


def mount(runner: Runner, limits: Limits) -> None:
    """Mount the current log's file system; if that fails, one in memory, which is reported.

    Raises RuntimeError with a Failure, or OSError.
    """
    directory, live = runner.path(DIRECTORY), runner.path(LIVE)
    if live.is_mount():
        return
    for each in (directory, live):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _mount_image(runner, limits):
        options = f"size={min(limits.size, _MOST_MEMORY)},mode=750,nodev,nosuid,noexec"
        runner.must_run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(live)])
        _report("it can't have a file system of its own, and is in memory until it is rotated")
    directory.chmod(0o750)
    live.chmod(0o750)
    # fail2ban does not start if the log is missing.
    os.close(os.open(runner.path(LOG), os.O_WRONLY | os.O_CREAT, 0o600))


def _mount_image(runner: Runner, limits: Limits) -> bool:
    """Mount the file system of the image, which is made if it is missing or damaged."""
    image = runner.path(_IMAGE)
    if image.exists() and _size(image) != limits.size:
        # Its log is compressed and kept with the older ones.
        if _attach(runner) and not (_keep_log(runner, limits) and _detach(runner)):
            return False
        with suppress(OSError):
            image.unlink()
    if image.exists():
        if _is_sound(runner) and _attach(runner, is_quiet=True):
            return True
        _report("its file system is damaged and made again; lines since the last rotation are lost")
    return _make(runner, limits) and _attach(runner)


def _try(runner: Runner, words: Sequence[str], *, is_quiet: bool = False) -> bool:
    """Return whether a program succeeds; its errors go to the journal unless `is_quiet`."""
    done = runner.run(words)
    if done.status != 0 and not is_quiet:
        print(done.errors.strip() or f"{words[0]}: status {done.status}", file=sys.stderr)
    return done.status == 0


def _attach(runner: Runner, *, is_quiet: bool = False) -> bool:
    """Mount the image, and return whether that succeeded.

    In a container, /dev may lack the device that the kernel names. Another process may take that
    device first, so it is tried again: the file system itself is sound.
    """
    mount = ["mount", "-o", "loop,noatime,nodev,nosuid,noexec"]
    mount += [str(runner.path(_IMAGE)), str(runner.path(LIVE))]
    for pause in _PAUSES:
        device = runner.run(["losetup", "--find"]).text.strip()
        if device and not Path(device).is_block_device():
            number = device.removeprefix("/dev/loop")
            _try(runner, ["mknod", device, "b", "7", number], is_quiet=is_quiet)
        if _try(runner, mount, is_quiet=is_quiet):
            return True
        time.sleep(pause)
    return False


def _detach(runner: Runner) -> bool:
    return _try(runner, ["umount", str(runner.path(LIVE))])


def _make(runner: Runner, limits: Limits) -> bool:
    """Make the image, and return whether that succeeded."""
    image = runner.path(_IMAGE)
    new = image.with_name(f"{image.name}.new")
    # The log may fill the file system, so the image gets all of its blocks in advance. Blocks that
    # mkfs leaves to be zeroed after the mount would be returned to the disk.
    now = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"
    allocate = ["fallocate", "--length", str(limits.size), str(new)]
    make = ["mkfs.ext4", "-q", "-F", "-m", "0", "-E", now, str(new)]
    try:
        for each in (image, new):
            with suppress(OSError):
                each.unlink()
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        if all(_try(runner, words) for words in (allocate, make, allocate)):
            sync(new)
            new.replace(image)
            sync(image.parent)
            return True
    except OSError as error:
        print(error, file=sys.stderr)
    with suppress(OSError):
        new.unlink()
    return False


def _is_sound(runner: Runner) -> bool:
    """Return whether the file system has no errors, or none that could not be repaired."""
    image = str(runner.path(_IMAGE))
    # It may still be mounted in a container.
    if runner.run(["losetup", "--noheadings", "--associated", image]).text.strip():
        return True
    # Statuses 1 and 2 mean that it was repaired.
    return runner.run(["e2fsck", "-p", image]).status in (0, 1, 2)


def _keep_log(runner: Runner, limits: Limits) -> bool:
    """Compress the log, and return whether that succeeded."""
    try:
        _compress(runner, limits)
    except OSError as error:
        print(error, file=sys.stderr)
        return False
    return True


def rotate(runner: Runner, limits: Limits) -> None:
    """Rotate the log if it is due, remove logs beyond the limits, and bound others' logs.

    Raises OSError.
    """
    directory = runner.path(DIRECTORY)
    runner.path(_STATE).mkdir(mode=0o700, parents=True, exist_ok=True)
    # Without Caddy there is no access log.
    if directory.is_dir():
        for each in directory.glob("access.log-*.new"):
            each.unlink(missing_ok=True)
        if _is_due(runner):
            _compress(runner, limits)
            _note_day(runner)
        now = time.time()
        for log in _list_rotated(runner):
            if (now - log.written) // _DAY_SECONDS > limits.days:
                log.path.unlink(missing_ok=True)
        _free_bytes(runner, limits, 0)
    _bound_others(runner)


def _is_due(runner: Runner) -> bool:
    """Return whether the log is of a former day, or fills a quarter of its file system."""
    written = _size(runner.path(LOG))
    if not written:
        return False
    if not runner.path(_DAY).exists():
        with suppress(OSError):
            _note_day(runner)
    if (runner.text(_DAY) or "").strip() != time.strftime("%F"):
        return True
    found = os.statvfs(runner.path(LIVE))
    return written >= found.f_blocks * found.f_frsize // 4


def _note_day(runner: Runner) -> None:
    write(runner.path(_DAY), f"{time.strftime('%F')}\n".encode())


def _compress(runner: Runner, limits: Limits) -> None:
    """Add the log to the rotated ones, compressed, and empty it. Raises OSError.

    Caddy keeps the file open and can't be made to reopen it. Lines that it writes meanwhile are
    copied too; only those of the moment before the file is truncated are lost.
    """
    log, rotated = runner.path(LOG), _rotated_path(runner)
    new = rotated.with_suffix(".new")
    taken = 0
    for _ in range(4):
        more = _size(log) - taken
        if more <= 0:
            break
        _free_bytes(runner, limits, more)
        if _free(runner) < _LEAST_FREE + more:
            _report(
                "the disk has less than 512 MiB free, so it is not rotated, and ends once it is "
                "full"
            )
            new.unlink(missing_ok=True)
            return
        _append_compressed(log, new, taken, more)
        taken += more
    if not taken:
        return
    found = log.stat()
    os.utime(new, ns=(found.st_atime_ns, found.st_mtime_ns))
    sync(new)
    new.replace(rotated)
    sync(rotated.parent)
    os.truncate(log, 0)


def _rotated_path(runner: Runner) -> Path:
    """Return a path that no rotated log has."""
    name = f"{DIRECTORY}/access.log-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (name, *(f"{name}-{number}" for number in range(1, 1000)))
    return next(path for path in (runner.path(f"{each}.gz") for each in names) if not path.exists())


def _append_compressed(log: Path, new: Path, begin: int, length: int) -> None:
    """Append a part of the log to a file for root only. Raises OSError."""
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with (
        log.open("rb") as source,
        open(descriptor, "ab") as target,
        gzip.GzipFile("", "wb", 6, target, mtime=0) as packed,
    ):
        source.seek(begin)
        while length and (chunk := source.read(min(_CHUNK, length))):
            packed.write(chunk)
            length -= len(chunk)


@dataclass(frozen=True, order=True)
class _RotatedLog:
    """A rotated log: the time of its last line, its bytes, and its path."""

    written: float
    size: int
    path: Path


def _list_rotated(runner: Runner) -> list[_RotatedLog]:
    """Return the rotated logs, the oldest first, including those of earlier versions."""
    return sorted(_read_rotated(runner))


def _read_rotated(runner: Runner) -> Iterator[_RotatedLog]:
    for each in runner.path(DIRECTORY).glob("access.log*"):
        if each.is_file() and not each.is_symlink():
            found = each.stat()
            yield _RotatedLog(found.st_mtime, found.st_size, each)


def _free_bytes(runner: Runner, limits: Limits, more: int) -> None:
    """Remove the oldest logs until so many more bytes fit."""
    found = _list_rotated(runner)
    surplus = sum(each.size for each in found) + more + _size(runner.path(_IMAGE)) - limits.most
    missing = _LEAST_FREE + more - _free(runner)
    for each in found:
        if surplus <= 0 and missing <= 0:
            return
        each.path.unlink(missing_ok=True)
        surplus -= each.size
        missing -= each.size


def _free(runner: Runner) -> int:
    """Return the bytes that are free on the disk of the rotated logs."""
    found = os.statvfs(runner.path(DIRECTORY))
    return found.f_bavail * found.f_frsize


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _bound_others(runner: Runner) -> None:
    """Rotate large logs of other programs.

    These are rotated only by days, and strangers can fill them by failed logins.
    """
    for name in _OTHERS:
        configuration = f"/etc/logrotate.d/{name}"
        logs = _CONFIGURED.findall(runner.text(configuration) or "")
        if any(_size(runner.path(log)) > _MOST_OF_OTHERS for log in logs):
            state, file = runner.path(f"{_STATE}/others"), runner.path(configuration)
            # The names of rotated logs may have the day of the host's time zone.
            done = runner.run(
                ["logrotate", "--force", "--state", str(state), str(file)],
                environment={"TZ": ":/etc/localtime"},
            )
            if done.status != 0:
                print(done.errors.strip(), file=sys.stderr)
