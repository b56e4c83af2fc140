"""Make disks of a given size for a staging host's Docker: a loop device with ext4."""

from pathlib import Path

from tests.staging.shell import run

_NAME = "disk.img"


def have(directory: Path, gigabytes: int) -> str:
    """Return the device of the disk in a host's directory; make the disk if it is missing."""
    file = directory / _NAME
    if not file.exists():
        with file.open("wb") as sparse:
            sparse.truncate(gigabytes * 2**30)
        run("mkfs.ext4", "-q", str(file))
    attached = _device(file)
    return attached or run("losetup", "--find", "--show", str(file)).stdout.strip()


def forget(directory: Path) -> None:
    """Detach the disk, if there is one; its file is removed with the directory."""
    device = _device(directory / _NAME)
    if device:
        run("losetup", "--detach", device)


def _device(file: Path) -> str:
    if not file.exists():
        return ""
    return run(
        "losetup", "--noheadings", "--output", "NAME", "--associated", str(file)
    ).stdout.strip()
