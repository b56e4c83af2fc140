"""A git repository for a test, made by git."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SETTINGS = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_NAME": "Somebody" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "somebody@example.com" for who in ("AUTHOR", "COMMITTER")},
}


@dataclass
class Repository:
    """A repository under `path`; `days` counts its commits, one a day."""

    path: Path
    days: int = 0

    @classmethod
    def create(cls, path: Path, *options: str) -> "Repository":
        """Return a new and empty repository."""
        path.mkdir()
        repository = cls(path)
        repository.git("init", "--quiet", "--initial-branch=main", *options)
        return repository

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run git, and return its output."""
        date = f"2026-01-{self.days + 1:02}T12:00:00Z"
        dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        command = ("git", "-C", str(self.path), *arguments)
        environment = os.environ | _SETTINGS | dates
        done = subprocess.run(
            command, env=environment, input=stdin, capture_output=True, check=True, timeout=60
        )
        return done.stdout.decode().strip()

    def write(self, path: str, content: str) -> None:
        """Write a file and stage it."""
        file = self.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        self.git("add", path)

    def commit(self, path: str, content: str, *options: str, message: str = "Change") -> str:
        """Write a file, commit it a day after the previous commit, and return the commit's hash."""
        self.write(path, content)
        self.git("commit", "--quiet", "--message", message, *options)
        self.days += 1
        return self.git("rev-parse", "HEAD")
