"""Run the script of the access log in a directory of this machine."""

import subprocess
from pathlib import Path

from infisical_iac.core.units import SCRIPTS
from infisical_iac.host.watch import DIRECTORY, rotation
from tests.unit.settings_of import settings_of


class AccessLog:
    """A log within `home`: the current file is in `log/`, rotated files are in `rotated/`."""

    def __init__(self, home: Path, **changes: object) -> None:
        self.live, self.directory = home / "log", home / "rotated"
        self.log, self.image = self.live / "access.log", self.directory / "live.img"
        self.state, self._script = home / "state", home / "access-log.sh"
        for each in (self.live, self.directory, self.state):
            each.mkdir(exist_ok=True)
        (self.directory / "live").symlink_to(self.live)
        self.apply(**changes)

    def apply(self, **changes: object) -> None:
        """Write the script, and read the commands of the units, for settings with these changes."""
        files = {each.path: each.content for each in rotation(settings_of(**changes))}
        text = files.pop(f"{SCRIPTS}/access-log.sh")
        places = {
            "live=$directory/live": f"live={self.live}",
            DIRECTORY: str(self.directory),
            "/var/lib/infisical-access-log": str(self.state),
            "/etc/logrotate.d": str(self.state / "logrotate.d"),
        }
        for old, new in places.items():
            assert old in text, old
            text = text.replace(old, new)
        self._script.write_text(text)
        commands = [
            line.partition("=")[2].split()
            for content in files.values()
            for line in content.splitlines()
            if line.startswith("ExecStart=")
        ]
        self._commands = {words[2]: words[2:] for words in commands}

    def run(self, what: str) -> str:
        """Run a command of the units; return its standard error."""
        done = subprocess.run(
            ["/bin/sh", str(self._script), *self._commands[what]],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    def rotate(self) -> str:
        """Run the command of the timer."""
        return self.run("rotate")

    def rotate_next_day(self) -> str:
        """Run the command of the timer on the day after the last rotation."""
        (self.state / "day").write_text("2026-11-24\n")
        return self.rotate()

    def mount(self) -> str:
        """Run the command that mounts the file system at boot."""
        return self.run("mount")

    def unmount(self) -> None:
        """Unmount the file system, as a reboot does."""
        subprocess.run(["umount", self.live], check=True)

    def list_rotated(self) -> list[Path]:
        """Return the rotated logs, the oldest first."""
        found = self.directory.glob("access.log*")
        return sorted(found, key=lambda each: each.stat().st_mtime_ns)

    def count_bytes(self) -> int:
        """Return the bytes of the image and of all rotated logs."""
        return sum(each.stat().st_size for each in self.directory.iterdir() if each.is_file())
