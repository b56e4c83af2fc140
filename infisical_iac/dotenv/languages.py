"""The languages of services, recognized by the names of files.

CONTRIBUTING.md, "Adding a kind", lists what a third one needs. The readers of code, which find the
keys that a service uses, are in `check/usage.py`.
"""

import posixpath
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """A language, by the files that list the dependencies of a package.

    Attributes:
        manifest: the pattern of the names of files with a package's own dependencies.
        roots: the names among them that mark their directory as a package.
        locks: the names of files with all installed packages.
        installed: the names of directories with installed packages, which nobody searches.
    """

    name: str
    manifest: re.Pattern[str]
    roots: frozenset[str]
    locks: frozenset[str]
    installed: frozenset[str]

    def is_manifest(self, path: str) -> bool:
        """Return whether a file lists the dependencies of a package."""
        return bool(self.manifest.fullmatch(posixpath.basename(path)))

    def is_lock(self, path: str) -> bool:
        """Return whether a file is a lock file."""
        return posixpath.basename(path) in self.locks


NODE = Language(
    "Node",
    manifest=re.compile(r"package\.json"),
    roots=frozenset({"package.json"}),
    locks=frozenset({"package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml"}),
    installed=frozenset({"node_modules"}),
)
PYTHON = Language(
    "Python",
    manifest=re.compile(r"requirements[^/]*\.(txt|in)|pyproject\.toml|Pipfile|setup\.(cfg|py)"),
    roots=frozenset({"pyproject.toml", "requirements.txt"}),
    locks=frozenset({"poetry.lock", "uv.lock", "pdm.lock", "Pipfile.lock"}),
    # `migrate` and `init` also skip a virtual environment of another name, by its pyvenv.cfg.
    installed=frozenset({".venv", "venv", "site-packages", ".tox", ".nox"}),
)
LANGUAGES = (NODE, PYTHON)
ROOTS = frozenset(name for each in LANGUAGES for name in each.roots)
INSTALLED = frozenset(name for each in LANGUAGES for name in each.installed)
