"""Build the wheel of this project, and collect those of its locked dependencies.

Dependencies come from where this machine's pip gets its packages, or from its cache.
"""

import hashlib
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.staging.shell import REPOSITORY, STATE, StagingError, hold_lock, run

_LOCK = REPOSITORY / "requirements.lock"
_VERSION = re.compile(r'^version = "([^"]+)"$', re.MULTILINE)
# Needless for a build, or no part of the sources.
_LEFT_OUT = shutil.ignore_patterns(
    *(".*", "__pycache__", "node_modules", "bench", "examples", "*.egg-info", "unit")
)


def version() -> str:
    """Return the version of this project."""
    match = _VERSION.search((REPOSITORY / "pyproject.toml").read_text())
    assert match
    return match[1]


def wheelhouse(python: tuple[int, int]) -> Path:
    """Return a directory with the wheels of all locked dependencies for a release of Python.

    They are collected once for each state of the lock file. Raises StagingError if one is missing
    where pip looks for it.
    """
    release = ".".join(map(str, python))
    found = STATE / "wheels" / f"{hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:16]}-{release}"
    with hold_lock():
        if not found.exists():
            new = found.with_suffix(".new")
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
            run(
                *(sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes"),
                *("--no-deps", "--only-binary", ":all:", "--python-version", release),
                *("--requirement", str(_LOCK), "--dest", str(new)),
            )
            new.rename(found)
    return found


def build(into: Path, *, release: str = "", changes: Mapping[str, str] | None = None) -> Path:
    """Build the wheel of this project in a directory, and return its path.

    Args:
        release: another version than this project's.
        changes: lines to add to the end of files, by their path in the repository.

    Raises StagingError if the build fails.
    """
    copy = into / "source"
    shutil.copytree(REPOSITORY, copy, ignore=_LEFT_OUT, dirs_exist_ok=True)
    if release:
        file = copy / "pyproject.toml"
        file.write_text(_VERSION.sub(f'version = "{release}"', file.read_text()))
    for path, line in (changes or {}).items():
        with (copy / path).open("a") as opened:
            opened.write(f"{line}\n")
    command = (sys.executable, "-m", "hatchling", "build", "--target", "wheel")
    run(*command, "--directory", str(into), cwd=copy)
    shutil.rmtree(copy)
    wheels = [*into.glob("*.whl")]
    if len(wheels) != 1:
        raise StagingError(f"{into} has {len(wheels)} wheels after a build")
    return wheels[0]
