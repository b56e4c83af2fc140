"""A host in a directory, with a real block device and mounts of its own."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from infisical_iac.agent.volume import VolumeState
from tests.unit.fake_programs import fake_program

needs_a_device = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("mkfs.ext4"),
    reason="only root may attach and mount a block device",
)
# It prints the value as JSON, or the message of an error.
_CALL = f"""
import json, sys
from dataclasses import asdict
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from infisical_iac.agent import volume
from infisical_iac.agent.runner import Runner
from infisical_iac.agent.serving import encode
name, root, arguments = sys.argv[1:]
try:
    value = getattr(volume, name)(Runner(Path(root)), **json.loads(arguments))
except RuntimeError as error:
    sys.exit(error.args[0].message)
if value:
    print(json.dumps(value, default=encode))
"""


class VolumeHost:
    """A host in a directory, with a device; each `run` has mounts of its own."""

    def __init__(self, directory: Path, device: str) -> None:
        self.directory = directory
        self.device = device
        (directory / "run").mkdir()
        fake_program(directory / "programs", "systemctl", "exit 1")

    def command(self, name: str, **arguments: str) -> str:
        """Return a command that calls a function of the agent with its places in the directory."""
        words = [name, str(self.directory), json.dumps(arguments)]
        return shlex.join([sys.executable, "-c", _CALL, *words])

    @property
    def inspect(self) -> str:
        """Return the command that prints the VolumeState of the device as JSON."""
        return self.command("inspect", device=self.device)

    def state(self, *commands: str) -> VolumeState:
        """Return the state after commands, with the same mounts."""
        said = self.ok(*commands, self.inspect).splitlines()[-1]
        return TypeAdapter(VolumeState).validate_json(said)

    def format(self) -> None:
        """Make a file system on the device."""
        self.ok(self.command("format_device", device=self.device))

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
        return self.command("mount", uuid=uuid)


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
