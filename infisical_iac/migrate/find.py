"""Find the files of a tree, and derive service and environment from names and directories."""

import os
import posixpath
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from infisical_iac.core.errors import FileError
from infisical_iac.dotenv.grammar import INSTALLED
from infisical_iac.migrate import archive
from infisical_iac.workspace.model import Workspace

Content = Callable[[str], tuple[bytes, str]]
"""The function `content`, for paths under one root."""

_LONGEST_TEXT = 8 << 20


def content(root: Path, path: str) -> tuple[bytes, str]:
    """Return the bytes of a file under `root`, and the reason if they can't be read."""
    file = root / path
    try:
        # Path.resolve raises no OSError for a link that leads to itself, before Python 3.13.
        if not Path(os.path.realpath(file, strict=True)).is_relative_to(root.resolve()):
            return b"", "It is a link to a place outside of the scanned directory."
        if not stat.S_ISREG(file.stat().st_mode):
            return b"", "It is not a regular file, but a pipe or the like."
        return file.read_bytes(), ""
    except OSError as error:
        return b"", f"It can't be read: {error.strerror}."


def text(root: Path, path: str) -> str:
    """Return the text of a file, up to 8 MiB; "" if it can't be read."""
    try:
        with (root / path).open("rb") as opened:
            return opened.read(_LONGEST_TEXT).decode(errors="replace")
    except OSError:
        return ""


# Parts of a name that mark a sample, which has no secrets.
SAMPLES = frozenset({"example", "sample", "template", "dist", "defaults"})

_ENV = re.compile(r"\.env(rc)?([^a-z].*)?|[^.].*\.env", re.DOTALL)
# Directories of version control, caches and builds, where an .env file is a copy or another's.
_NOT_OURS = INSTALLED | {
    *(".git", ".hg", ".svn", "__pycache__"),
    *(".next", ".nuxt", ".mypy_cache", ".terraform"),
}

# Words in file names that name no environment.
_OF_A_PERSON = frozenset({"local", "override"})

# Words for environments; each group has the words for one environment.
WORDS = (
    ("development", "develop", "dev", "local"),
    ("staging", "stage"),
    ("production", "prod", "live"),
    ("test", "tests", "testing", "ci", "e2e"),
)


def walk(root: Path) -> list[str]:
    """Return the paths of all files under `root`, relative to it, with slashes, sorted.

    Skips version control, installed packages, virtual environments, caches, the archives of
    `migrate clean`, and a clone of this project with its examples. Does not follow links to
    directories. A pipe or a broken link with the name of an `.env` file is returned, so that it is
    reported.

    Raises FileError for a directory that can't be listed, as it may have `.env` files.
    """
    found, waiting = [], [""]
    while waiting:
        directory = waiting.pop()
        try:
            entries = list(os.scandir(root / directory))
        except OSError as error:
            raise FileError(
                f"{root / directory} can't be listed ({error.strerror}): scan as a user who may, "
                "or name the directories of the services instead"
            ) from None
        for entry in entries:
            path = f"{directory}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                is_foreign = (
                    entry.name in _NOT_OURS
                    or Path(entry, "pyvenv.cfg").exists()
                    or Path(entry, "infisical_iac").is_dir()
                )
                if not is_foreign:
                    waiting.append(f"{path}/")
            elif _is_archive(entry.name):
                continue
            elif entry.is_file(follow_symlinks=False) or is_env(entry.name):
                found.append(path)
    return sorted(found)


def is_env(name: str) -> bool:
    """Return whether a file of this name is an `.env` file or a sample: `.env*`, `.envrc`,
    `*.env`. An archive of `migrate clean` is none.
    """
    return bool(_ENV.fullmatch(name)) and not _is_archive(name)


def _is_archive(name: str) -> bool:
    return fnmatchcase(name, archive.PATTERN)


def is_sample(name: str) -> bool:
    """Return whether a file of this name is a sample without secrets, such as `.env.example`."""
    return is_env(name) and not SAMPLES.isdisjoint(words(name))


def is_personal(name: str) -> bool:
    """Return whether a file of this name is one person's own: `.env.local`, `.env.override`."""
    return bool(re.fullmatch(r"\.env((\..+)?\.local|\.override)", name, re.DOTALL))


OWN_FILE = ".env.override"
"""The file with one person's overrides: the loaders read it, and it is not migrated."""
OVERRIDES = re.compile(rb"^[ \t]*#[ \t]*overrides[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
"""The line in a `.env.local` below which all keys are one person's overrides."""


def shared_part(path: str, data: bytes) -> bytes:
    """Return the bytes of a file without one person's overrides, which stay on that machine."""
    name = posixpath.basename(path)
    if name == OWN_FILE:
        return b""
    marker = OVERRIDES.search(data) if name == ".env.local" else None
    return data[: marker.start()] if marker else data


def words(name: str) -> list[str]:
    """Return the words of a name but `env`: `production` and `local` of `.env.production.local`."""
    parts = (part.lower() for part in re.split(r"[._-]", name))
    return [part for part in parts if part not in ("", "env", "envrc")]


def environment_of(path: str, slugs: Sequence[str]) -> str:
    """Return the environment of a file, one of `slugs`, or "" if none fits.

    The suffix decides, then the nearest directory with the name of an environment. Without either,
    the file is a developer's: `.env` and `.env.local` belong to development. A suffix such as
    `test` or `bak` fits only an environment of that name: a guess would bring wrong values into
    another one.
    """
    *directories, name = path.split("/")
    suffixes = words(name)
    around = map(str.lower, reversed(directories))
    for word in (*(each for each in suffixes if each not in _OF_A_PERSON), *around):
        group = _group(word)
        if word in slugs or group:
            return next((each for each in (word, *group) if each in slugs), "")
    unknown = name.startswith(".env") and set(suffixes) - {*_OF_A_PERSON, "defaults"}
    return "" if unknown else next((each for each in _group("development") if each in slugs), "")


def mode(environment: str) -> str:
    """Return the name of an environment in loaders: `production` for `prod`, or else its slug."""
    return (*_group(environment), environment)[0]


def _group(word: str) -> tuple[str, ...]:
    """Return the words for the same environment; none if the word stands for no environment."""
    return next((group for group in WORDS if word in group), ())


def service_of(
    path: str,
    root: str,
    readers: Sequence[str],
    workspace: Workspace,
    former: Mapping[str, str] | None = None,
    declared: Mapping[str, str] | None = None,
) -> str:
    """Return the service that a file belongs to, or "".

    Args:
        path: of the file, relative to the scanned directory.
        root: the name of the scanned directory, which may be the service's own.
        readers: the names of the containers in compose files that read it.
        former: services by further names, which count like their own; None for all former names.
        declared: services by the directories whose `.infisical.json` names their folder.

    The nearest directory that is declared, or has a service's folder or name, decides; then the
    readers, if they are one service.
    """
    parents = path.split("/")[:-1]
    here = [_plain(each) for each in (root, *parents)]
    folders = {
        name: [_plain(each) for each in service.folder.strip("/").split("/")]
        for name, service in workspace.services.items()
    }
    names = dict(workspace.renamed_services if former is None else former)
    names |= {name: name for name in workspace.services}
    while here:
        if service := (declared or {}).get("/".join(parents[: len(here) - 1])):
            return service
        fitting = [name for name, folder in folders.items() if here[-len(folder) :] == folder]
        if fitting:
            return max(fitting, key=lambda name: len(folders[name]))
        if here[-1] in names:
            return names[here[-1]]
        here.pop()
    known = {names[each] for each in map(_plain, readers) if each in names}
    return known.pop() if len(known) == 1 else ""


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
