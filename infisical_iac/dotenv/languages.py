"""The languages of services, as the names of files in a repository show them.

To support a third one, add it to LANGUAGES, give the grammars its packages (`grammar.Grammar`), and
say in `migrate/loaders.py` how a manifest of it is read.
"""

import posixpath
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """A language, by the files that say what a package of it depends on.

    Attributes:
        manifest: the pattern of the names of files that name what a package depends on.
        roots: those of them that show that the directory they are in is a package.
        locks: files that name what is installed, with what the dependencies bring themselves.
    """

    name: str
    manifest: re.Pattern[str]
    roots: frozenset[str]
    locks: frozenset[str]

    def is_manifest(self, path: str) -> bool:
        """Return whether a file names the packages that a program depends on."""
        return bool(self.manifest.fullmatch(posixpath.basename(path)))

    def is_lock(self, path: str) -> bool:
        """Return whether a file is a lock file."""
        return posixpath.basename(path) in self.locks


NODE = Language(
    "Node",
    manifest=re.compile(r"package\.json"),
    roots=frozenset({"package.json"}),
    locks=frozenset({"package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml"}),
)
PYTHON = Language(
    "Python",
    manifest=re.compile(r"requirements[^/]*\.(txt|in)|pyproject\.toml|Pipfile|setup\.(cfg|py)"),
    roots=frozenset({"pyproject.toml", "requirements.txt"}),
    locks=frozenset({"poetry.lock", "uv.lock", "pdm.lock", "Pipfile.lock"}),
)
LANGUAGES = (NODE, PYTHON)
ROOTS = frozenset(name for each in LANGUAGES for name in each.roots)
