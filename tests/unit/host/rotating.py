"""Run the agent's programs for the access log in a directory of this machine."""

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from infisical_iac.agent import access_log
from infisical_iac.agent.runner import Output, Runner
from infisical_iac.host.watch import DIRECTORY, LIVE, rotation
from tests.unit.settings_of import settings_of


@dataclass(frozen=True)
class LocalRunner(Runner):
    """A runner of this machine's programs, whose logrotate finds `/var/log` below the root."""

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 120,
        environment: Mapping[str, str] = {},
    ) -> Output:
        if words[0] == "logrotate":
            file = Path(words[-1])
            here = file.with_name("here")
            here.write_text(file.read_text().replace("/var/log", str(self.path("/var/log"))))
            words = [*words[:-1], str(here)]
        return super().run(words, stdin=stdin, seconds=seconds, environment=environment)


class AccessLog:
    """A log within `home`: the current file is in `log/`, rotated files are in `directory`."""

    def __init__(self, home: Path, **changes: object) -> None:
        self.runner: Runner = LocalRunner(home)
        self.live, self.directory = home / "log", self.runner.path(DIRECTORY)
        self.log, self.image = self.live / "access.log", self.directory / "live.img"
        self.state = self.runner.path("/var/lib/infisical-access-log")
        for each in (self.live, self.directory, self.state):
            each.mkdir(parents=True, exist_ok=True)
        self.runner.path(LIVE).symlink_to(self.live)
        self.apply(**changes)

    def apply(self, **changes: object) -> None:
        """Read the commands of the units for settings with these changes."""
        commands = [
            shlex.split(line.partition("=")[2])[-1].partition(" --access-log ")[2].split()
            for each in rotation(settings_of(**changes))
            for line in each.content.splitlines()
            if line.startswith("ExecStart=")
        ]
        self._commands = {words[0]: words for words in commands}

    def run(self, what: str) -> str:
        """Run a command of the units; return its standard error."""
        said = StringIO()
        with redirect_stderr(said), pytest.MonkeyPatch.context() as patch:
            patch.setattr(access_log, "Runner", lambda: self.runner)
            status = access_log.main(self._commands[what])
        assert status == 0, said.getvalue()
        return said.getvalue()

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
