"""A host in a directory, with a real block device and mounts of its own, for volume.sh."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infisical_iac.core.rendering import script
from tests.unit.fake_programs import fake_program

needs_a_device = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("mkfs.ext4"),
    reason="only root may attach and mount a block device",
)
_PLACES = (
    *("/mnt/infisical-data", "/etc/infisical", "/var/lib/docker", "/var/lib/infisical-"),
    *("/var/backups/infisical", "/var/log/infisical-", "/run/infisical-iac.lock"),
)


class VolumeHost:
    """A host in a directory, with a device; each `run` has mounts of its own."""

    def __init__(self, directory: Path, device: str) -> None:
        self.directory = directory
        self.device = device
        (directory / "run").mkdir()
        fake_program(directory / "programs", "systemctl", "exit 1")

    def command(self, *arguments: str) -> str:
        """Return a call of the script, with its places below the directory."""
        command = script("volume", *arguments)
        for place in _PLACES:
            command = command.replace(place, f"{self.directory}{place}")
        return command

    def run(self, *commands: str) -> subprocess.CompletedProcess[str]:
        """Run commands one after the other with the same mounts, until a command fails."""
        path = f"{self.directory}/programs:{os.environ['PATH']}"
        return subprocess.run(
            ["unshare", "--mount", "sh", "-ec", "\n".join(commands)],
            env={"PATH": path, "H": str(self.directory)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def ok(self, *commands: str) -> str:
        """Run commands that must succeed, and return their output."""
        done = self.run(*commands)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def mount(self) -> str:
        """Return the command that mounts the device."""
        uuid = self.ok(f"blkid -p -s UUID -o value {self.device}").strip()
        return self.command("mount", uuid)


@contextmanager
def volume_host(directory: Path) -> Iterator[VolumeHost]:
    """Yield a host with a blank device, which is detached at the end."""
    image = directory / "device.img"
    with image.open("wb") as file:
        file.truncate(64 * 1024**2)
    attach = ["losetup", "--find", "--show", str(image)]
    device = subprocess.run(attach, capture_output=True, text=True, check=True).stdout.strip()
    yield VolumeHost(directory, device)
    subprocess.run(["losetup", "--detach", device], check=True)
