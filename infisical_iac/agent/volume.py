"""Mount the volume for the data that outlive the host: database, keys, backups, logs.

infisical-data.service runs it before Docker starts, as the agent with `--data-volume mount <uuid>`.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from infisical_iac.agent.files import hold, write
from infisical_iac.agent.runner import Failure, Runner, action, observation

# The directories of the volume, and their places on the host.
PLACES = {
    "etc": "/etc/infisical",
    "volumes": "/var/lib/docker/volumes",
    "backups": "/var/backups/infisical",
    "saved": "/var/backups/infisical-iac",
    "log": "/var/log/infisical-iac",
    "access": "/var/log/infisical-access",
    "state-backup": "/var/lib/infisical-backup",
    "state-drill": "/var/lib/infisical-drill",
    "state-restore": "/var/lib/infisical-restore",
    "state-upgrade": "/var/lib/infisical-upgrade",
    "state-rotation": "/var/lib/infisical-rotation",
    "state-scale": "/var/lib/infisical-scale",
    "state-share": "/var/lib/infisical-share",
    "state-access-log": "/var/lib/infisical-access-log",
}
_MOUNT = "/mnt/infisical-data"
_MARK = f"{_MOUNT}/.infisical-iac"
_DOCKER_VOLUMES = PLACES["volumes"]
_ACCESS_DISK = f"{PLACES['access']}/live"
_LOCK = "/run/infisical-iac.lock"
_LABEL = "infisical-data"
_ATTACH_SECONDS = 90
# For work that takes as long as there are data.
_DAY = 86400
_BLANK_BYTES = 1 << 20
# A file system grows by whole groups of blocks.
_GROUP_BYTES = 128 << 20


@dataclass(frozen=True)
class VolumeState:
    """The state of the desired device, and of the directories on the host that hold the data.

    Attributes:
        present: whether the device exists.
        holds: the type of its content, such as `ext4`; empty for a blank device.
        uuid: of that file system.
        mounted: the UUID of the mounted file system, empty if none is mounted.
        bound: those of the directories that are on the volume.
        docker_volumes: Docker's volumes on the host's own disk.
        larger: the sizes of file system and device in MiB, if the device is the larger one.
    """

    present: bool = False
    holds: str = ""
    uuid: str = ""
    mounted: str = ""
    bound: frozenset[str] = frozenset()
    docker_volumes: tuple[str, ...] = ()
    larger: tuple[int, int] | None = None

    @property
    def unbound(self) -> list[str]:
        """Return the directories that are still on the host's own disk."""
        return [place for place in PLACES.values() if place not in self.bound]


def _refuse(message: str) -> RuntimeError:
    return RuntimeError(Failure("command", message))


@observation
def inspect(runner: Runner, *, device: str) -> VolumeState:
    """Return the state of a device, and of the host's directories."""
    holds, uuid, larger = "", "", None
    is_present = Path(device).is_block_device()
    if is_present:
        holds = _content(runner, device)
    if holds:
        uuid = _uuid(runner, device)
        larger = _find_larger(runner, device)
    mounted = _source(runner)
    return VolumeState(
        present=is_present,
        holds=holds,
        uuid=uuid,
        mounted=_uuid(runner, mounted.partition("[")[0]) if mounted else "",
        bound=frozenset(place for name, place in PLACES.items() if _is_bound(runner, name)),
        docker_volumes=() if _is_bound(runner, "volumes") else tuple(_docker_volumes(runner)),
        larger=larger,
    )


def _content(runner: Runner, device: str) -> str:
    """Return the type of a device's content; empty for a blank one. Only zeros count as blank."""
    status = runner.run(["blkid", "-p", device]).status
    if status == 0:
        shown = runner.run(["blkid", "-p", "-s", "TYPE", "-o", "value", device])
        return shown.text.strip() or "partitions"
    # With status 2, blkid knows nothing of the content.
    if status == 2:
        with open(device, "rb") as file:
            begin = file.read(_BLANK_BYTES)
        if len(begin) == _BLANK_BYTES and not any(begin):
            return ""
    return "something"


def _uuid(runner: Runner, device: str) -> str:
    return runner.run(["blkid", "-p", "-s", "UUID", "-o", "value", device]).text.strip()


def _source(runner: Runner) -> str:
    """Return the device that is mounted for the data; empty for none."""
    asked = ["findmnt", "--noheadings", "--first-only", "--output", "SOURCE", "--mountpoint"]
    return runner.run([*asked, str(runner.path(_MOUNT))]).text.strip()


def _find_larger(runner: Runner, device: str) -> tuple[int, int] | None:
    """Return the sizes if the device has a group of blocks more than its file system uses."""
    listed = runner.run(["dumpe2fs", "-h", device]).text.splitlines()
    values = {name: value.strip() for name, _, value in (line.partition(":") for line in listed)}
    size = runner.run(["blockdev", "--getsize64", device]).text.strip()
    if "Block count" not in values or not size:
        return None
    taken, there = int(values["Block count"]) * int(values["Block size"]), int(size)
    return (taken >> 20, there >> 20) if there >= taken + _GROUP_BYTES else None


def _docker_volumes(runner: Runner) -> Iterator[str]:
    folder = runner.path(_DOCKER_VOLUMES)
    if folder.is_dir():
        yield from sorted(each.name for each in folder.iterdir() if each.is_dir())


def _is_bound(runner: Runner, name: str) -> bool:
    """Return whether a directory of the volume is mounted at its place on the host."""
    here, there = runner.path(PLACES[name]), runner.path(f"{_MOUNT}/{name}")
    return here.is_dir() and there.is_dir() and here.samefile(there)


def _is_empty(path: Path) -> bool:
    """Return whether a directory is empty or missing.

    Raises RuntimeError with a Failure for a place that can't be read: it may not be empty.
    """
    try:
        return not os.path.lexists(path) or not os.listdir(path)
    except OSError:
        raise _refuse(f"{path} can't be read: see what `dmesg` says of its disk") from None


@action
def format_device(runner: Runner, *, device: str) -> None:
    """Make a file system, if the device is entirely empty."""
    if not Path(device).is_block_device():
        raise _refuse(f"there is no device {device}")
    if _content(runner, device):
        raise _refuse(f"{device} is not empty: it was not formatted")
    runner.must_run(["mkfs.ext4", "-q", "-m", "1", "-L", _LABEL, device], seconds=_DAY)


@action
def grow(runner: Runner, *, device: str) -> None:
    """Extend a mounted file system to a device that became larger."""
    runner.must_run(["resize2fs", device], seconds=_DAY)


@action
def mount(runner: Runner, *, uuid: str) -> None:
    """Mount the volume, and bind each of its directories to its place on the host.

    Content of a place that the volume lacks is moved onto the volume first. Raises RuntimeError
    with a Failure.
    """
    folder = runner.path(_MOUNT)
    source = _source(runner)
    if source and _uuid(runner, source.partition("[")[0]) != uuid:
        raise _refuse(f"another file system is mounted at {folder}")
    if not source:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not _is_empty(folder):
            raise _refuse(f"{folder} has files in it: move them away")
        device = _await_device(runner, uuid)
        runner.must_run(["mount", "-o", "noatime,nodev,nosuid", device, str(folder)])
    folder.chmod(0o700)
    _adopt(runner)
    # The access log's mount is within one of the places. Its unit mounts it again later.
    if not _is_bound(runner, "access"):
        _unmount_access_disk(runner)
    for name, place in PLACES.items():
        if not _is_bound(runner, name):
            there, here = folder / name, runner.path(place)
            for each in (there, here):
                _make_private(each)
            _move(runner, name)
            runner.must_run(["mount", "--bind", str(there), str(here)])


def _make_private(path: Path) -> None:
    # `mkdir` with parents gives these the usual mode, as the umask says.
    before = os.umask(0o077)
    try:
        path.mkdir(parents=True, exist_ok=True)
    finally:
        os.umask(before)


def _await_device(runner: Runner, uuid: str) -> str:
    """Return the device of a file system, which may appear late after a boot."""
    for _ in range(_ATTACH_SECONDS):
        if device := runner.run(["blkid", "-U", uuid]).text.strip():
            return device
        time.sleep(1)
    raise _refuse(f"the data volume with UUID {uuid} is not attached to this host")


def _adopt(runner: Runner) -> None:
    """Mark an empty file system as made here. Raises RuntimeError for one of somebody else."""
    if runner.path(_MARK).exists():
        return
    folder = runner.path(_MOUNT)
    if not _is_empty(folder) and os.listdir(folder) != ["lost+found"]:
        raise _refuse("the file system is not empty and was not made here: it is not used")
    write(runner.path(_MARK), b"")


def _unmount_access_disk(runner: Runner) -> None:
    """Unmount the access log's own file system, which is a file in one of the places."""
    runner.run(["systemctl", "stop", "infisical-access-disk.service"])
    folder = str(runner.path(_ACCESS_DISK))
    for _ in range(5):
        if runner.run(["mountpoint", "--quiet", folder]).status != 0:
            return
        if runner.run(["umount", folder]).status != 0:
            time.sleep(1)
    raise _refuse(
        f"{folder} can't be unmounted: end what has files open in it (`fuser -m {folder}`)"
    )


def _move(runner: Runner, name: str) -> None:
    """Move the content of a place to the volume, and remove it from the host's own disk."""
    here, there = runner.path(PLACES[name]), runner.path(f"{_MOUNT}/{name}")
    if _is_empty(here):
        return
    if _is_empty(there):
        new = there.with_name(f"{name}.new")
        runner.must_run(["rm", "-rf", str(new)], seconds=_DAY)
        runner.must_run(["cp", "-a", str(here), str(new)], seconds=_DAY)
        runner.must_run(["sync", "-f", str(new)], seconds=_DAY)
        there.rmdir()
        new.rename(there)
    elif _differs(runner, here, there):
        # A new host has begun its own log, records of its timers and list of Docker's volumes. The
        # host continues those on the volume instead.
        if name in ("log", "access") or name.startswith("state-"):
            return
        if name == "volumes" and not any(_docker_volumes(runner)):
            return
        raise _refuse(
            f"both the volume and the host's own disk have files for {here}: find out which are "
            "right, and move the others away"
        )
    # Copied content, also that of an interrupted run, must be written to the volume before it is
    # removed here. It must be removed, as the mount would only hide the keys.
    runner.must_run(["sync", "-f", str(there)], seconds=_DAY)
    runner.must_run(["find", str(here), "-mindepth", "1", "-delete"], seconds=_DAY)


def _differs(runner: Runner, here: Path, there: Path) -> bool:
    """Return whether a place on the host's own disk has content that the volume lacks.

    Raises RuntimeError with a Failure if they can't be compared.
    """
    compare = ["diff", "-rq", "--no-dereference", str(here), str(there)]
    found = runner.run(compare, seconds=_DAY)
    if found.status not in (0, 1):
        said = (found.text + found.errors).strip().partition("\n")[0]
        raise _refuse(
            f"what the volume has for {here} can't be compared with the host's own ({said}): "
            "nothing was moved or removed"
        )
    only_there = f"Only in {there}"
    return any(
        not line.startswith((f"{only_there}:", f"{only_there}/"))
        for line in found.text.splitlines()
    )


@observation
def check_own(runner: Runner) -> None:
    """Raise RuntimeError with a Failure if the host has an Infisical that is not on a volume."""
    if not _is_bound(runner, "etc") and not _is_empty(runner.path(PLACES["etc"])):
        raise _refuse(
            "the Infisical on this host has its data on the host's own disk, not on a volume: make "
            "a recovery kit and a backup, and restore to a server with a volume"
        )


@action
def release(runner: Runner) -> None:
    """Undo `mount`, with Docker stopped, so that the volume can be detached.

    Raises RuntimeError with a Failure while a run of infisical-iac or the maintenance is at work.
    """
    check_own(runner)
    lock = runner.path(_LOCK)
    holder = (runner.text(_LOCK) or "").partition("\n")[0]
    busy = f"the host is busy ({holder}): run again when that has ended"
    with hold(lock, 0, busy):
        since = time.strftime("%a %b %e %H:%M:%S %Z %Y")
        lock.write_text(f"by the release of the data volume since {since}\n")
        _release(runner)


def _release(runner: Runner) -> None:
    for what in ("backup", "drill", "access-log"):
        runner.run(["systemctl", "stop", f"infisical-{what}.timer", f"infisical-{what}.service"])
    # With live-restore, containers go on running without the engine.
    is_running = runner.run(["systemctl", "--quiet", "is-active", "docker.service"]).status == 0
    containers = runner.must_run(["docker", "ps", "--quiet"]).split() if is_running else []
    if containers:
        runner.must_run(["docker", "stop", *containers])
    runner.run(["systemctl", "stop", "docker.socket", "docker.service"])
    # It keeps the logs open.
    runner.run(["systemctl", "stop", "infisical-logs.service"])
    _unmount_access_disk(runner)
    for name, place in PLACES.items():
        while _is_bound(runner, name):
            # fail2ban opens the log for a moment now and then.
            unmount = ["umount", str(runner.path(place))]
            if runner.run(unmount).status != 0:
                time.sleep(1)
                runner.must_run(unmount)
    os.sync()
    if _source(runner):
        runner.must_run(["umount", str(runner.path(_MOUNT))])
    runner.run(["systemctl", "stop", "infisical-data.service"])


def main(arguments: Sequence[str]) -> int:
    """Mount the volume as a unit of systemd does; return the exit status."""
    match arguments:
        case ["mount", uuid]:
            try:
                mount(Runner(), uuid=uuid)
            except RuntimeError as error:
                print(error.args[0].message, file=sys.stderr)
                return 1
            return 0
    return 2
