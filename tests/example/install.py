"""Copy the services, and install all their packages, the loaders included.

The copy is made once for each state of the sources, below `.staging/`.
"""

import shutil
import sys
from pathlib import Path

from tests.staging.build import digest
from tests.staging.shell import REPOSITORY, STATE, run

AFTER = REPOSITORY / "examples" / "chainalign" / "after"
LOADERS = REPOSITORY / "loaders"
_MADE = ("node_modules", "vendor", ".venv", "__pycache__", ".pytest_cache")
_MOST_SECONDS = 300


def install() -> Path:
    """Return the directory of the copy; install it first if the sources have changed."""
    directory = STATE / "example"
    mark = directory / ".installed"
    now = digest(LOADERS, digest(AFTER, sys.version, without=_MADE), without=_MADE)
    if not mark.exists() or mark.read_text() != now:
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(AFTER, directory, ignore=shutil.ignore_patterns(*_MADE))
        _node(directory / "backend")
        _python(directory / "python-services")
        mark.write_text(now)
    return directory


def _node(service: Path) -> None:
    vendor = service / "vendor"
    vendor.mkdir()
    _run(service, "npm", "pack", "--silent", LOADERS / "node", "--pack-destination", vendor)
    _run(service, "npm", "ci", "--silent", "--omit=dev", "--no-audit", "--no-fund")


def _python(service: Path) -> None:
    quiet = ("--quiet", "--disable-pip-version-check")
    without = ("--no-deps", "--no-build-isolation")
    wheel = (sys.executable, "-m", "pip", "wheel", *quiet, *without, "--wheel-dir", "vendor")
    _run(service, *wheel, LOADERS / "python")
    _run(service, sys.executable, "-m", "venv", ".venv")
    install = (service / ".venv" / "bin" / "pip", "install", *quiet)
    _run(service, *install, "--require-hashes", "--requirement", "requirements.lock")
    _run(service, *install, "--no-deps", *(service / "vendor").glob("*.whl"))


def _run(directory: Path, *command: str | Path) -> None:
    run(*map(str, command), cwd=directory, timeout=_MOST_SECONDS)
