"""Find the files that there are, and what their names say."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from infisical_iac.errors import UserError

# Parts of a name that say: here is how it looks, without secrets.
SAMPLES = frozenset({"example", "sample", "template", "dist", "defaults"})

_ENV = re.compile(r"\.env(rc)?([^a-z].*)?|[^.].*\.env", re.DOTALL)
_NOT_OURS = frozenset(
    {
        *(".git", ".hg", ".svn", "node_modules", "site-packages", "__pycache__"),
        *(".venv", "venv", ".tox", ".nox", ".next", ".nuxt", ".mypy_cache", ".terraform"),
    }
)

# Words that people write for an environment; within a group they mean the same.
_WORDS = (
    ("development", "develop", "dev", "local"),
    ("staging", "stage"),
    ("production", "prod", "live"),
    ("test", "tests", "testing", "ci", "e2e"),
)
_PLAIN = _WORDS[0]


class ScanError(UserError):
    """Not all of a tree can be seen."""


def walk(root: Path) -> list[str]:
    """The paths of all files under `root`, relative to it, with slashes, sorted.

    Left out is what others made: version control, installed packages, virtual environments and
    caches; and a clone of this project, with its examples. Links to directories are not
    followed. An `.env` file counts whatever it is, so that a pipe or a broken link is told
    rather than missed.

    Raises ScanError for a directory that can't be listed: it may hold what is searched for.
    """
    return sorted(_walk(root))


def _walk(root: Path) -> Iterator[str]:
    waiting = [""]
    while waiting:
        directory = waiting.pop()
        for entry in _entries(root, directory):
            path = f"{directory}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _NOT_OURS and not _is_foreign(Path(entry)):
                    waiting.append(f"{path}/")
            elif entry.is_file(follow_symlinks=False) or is_env(entry.name):
                yield path


def _is_foreign(directory: Path) -> bool:
    return Path(directory, "pyvenv.cfg").exists() or Path(directory, "infisical_iac").is_dir()


def _entries(root: Path, directory: str) -> Sequence["os.DirEntry[str]"]:
    try:
        with os.scandir(root / directory) as entries:
            return list(entries)
    except OSError as error:
        raise ScanError(
            f"{root / directory} can't be listed ({error.strerror}): scan as somebody who may, or "
            "name the directories of the services instead"
        ) from None


def is_env(name: str) -> bool:
    """Return whether a file of this name is an `.env` file or a sample: `.env*`, `.envrc`,
    `*.env`.
    """
    return bool(_ENV.fullmatch(name))


def is_sample(name: str) -> bool:
    """Return whether the name says that there are no secrets in it, such as `.env.example`."""
    return is_env(name) and not SAMPLES.isdisjoint(words(name))


def words(name: str) -> list[str]:
    """Return what a name says beside `env`: `production` and `local` of `.env.production.local`."""
    parts = (part.lower() for part in re.split(r"[._-]", name))
    return [part for part in parts if part not in ("", "env", "envrc")]


def environment(path: str, slugs: Sequence[str]) -> str:
    """The environment of a file, one of `slugs`, or "" if there is none that fits.

    The suffix counts, then the nearest directory that is named after an environment. A name that
    says nothing is the developer's own file: `.env` and `.env.local` are of development. A suffix
    such as `test` or `bak` is of no environment unless there is one of that name: to guess would
    bring the wrong values into one that is in use.
    """
    *directories, name = path.split("/")
    said = words(name)
    for word in [*(each for each in said if each != "local"), *reversed(directories)]:
        slug = _slug(word.lower(), slugs)
        if slug is not None:
            return slug
    unknown = name.startswith(".env") and set(said) - {"local", "defaults"}
    return "" if unknown else (_slug(_PLAIN[0], slugs) or "")


def mode(environment: str) -> str:
    """Return what loaders call an environment: `production` for `prod`; its own slug if that says
    more.
    """
    group = next((group for group in _WORDS if environment in group), None)
    return group[0] if group else environment


def _slug(word: str, slugs: Sequence[str]) -> str | None:
    """The slug that a word means; "" if it means one that isn't there; None if it means none."""
    if word in slugs:
        return word
    group = next((group for group in _WORDS if word in group), None)
    return None if group is None else next((each for each in group if each in slugs), "")
