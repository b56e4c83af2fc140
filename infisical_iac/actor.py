"""Name who is at work, and with which revision of this project."""

import getpass
import socket
import subprocess
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_SECONDS = 10


def who() -> str:
    """The user and the machine, such as `ada@laptop`."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


@cache
def revision() -> str:
    """The commit of this project, with `-dirty` if files differ from it; empty without git."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    return f"{commit}-dirty" if commit and _git("status", "--porcelain") else commit


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(_ROOT), *arguments],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
