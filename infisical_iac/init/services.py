"""Find the services in a directory by the names of their files, without opening any."""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from infisical_iac.dotenv.grammar import INSTALLED, ROOTS

_DEPTH = 2
_SHARED = "/shared"  # every service reads this folder, so it can't be a service's own


class FoundDirectory(NamedTuple):
    """A directory that may be a service: its path below the root, and the files that suggest it."""

    path: str
    signs: tuple[str, ...]


class FoundService(NamedTuple):
    """A service as the project file names it, and the folder of its secrets."""

    name: str
    folder: str


def find_services(root: Path, leave_out: Path) -> list[FoundDirectory]:
    """Return the services under `root`, at most two levels down, sorted by path.

    A directory with a Node or Python package or a `.env` file is a service, with everything below
    it. Other directories are searched. So `python-services/` is one service if it is one package,
    and several if each of its directories is one.

    Args:
        leave_out: the repository to write to. Neither it nor another such repository, nor a clone
            of this project, is a service.
    """
    return [
        FoundDirectory(directory.relative_to(root).as_posix(), signs)
        for directory, signs in _search(root, leave_out.resolve(), _DEPTH)
    ]


def _search(parent: Path, leave_out: Path, depth: int) -> Iterator[tuple[Path, tuple[str, ...]]]:
    for directory in _directories(parent):
        if directory.resolve() == leave_out or _is_tool_repository(directory):
            continue
        if signs := _signs(directory):
            yield directory, signs
        elif depth > 1:
            yield from _search(directory, leave_out, depth - 1)


def _is_tool_repository(directory: Path) -> bool:
    """Return whether a directory is a clone of this project, or a repository that `init` wrote."""
    is_clone = Path(directory, "infisical_iac").is_dir()
    return is_clone or all(Path(directory, name).exists() for name in ("deploy.py", "group_data"))


def _directories(parent: Path) -> list[Path]:
    return [
        parent / entry.name
        for entry in _entries(parent)
        if entry.is_dir(follow_symlinks=False)
        and not entry.name.startswith(".")
        and entry.name not in INSTALLED
        and not Path(entry, "pyvenv.cfg").exists()
    ]


def _signs(directory: Path) -> tuple[str, ...]:
    return tuple(
        entry.name
        for entry in _entries(directory)
        if entry.is_file() and (entry.name in ROOTS or entry.name.startswith(".env"))
    )


def _entries(directory: Path) -> Sequence["os.DirEntry[str]"]:
    try:
        with os.scandir(directory) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:  # an unreadable directory has no service to name
        return []


def name_services(paths: Iterable[str]) -> list[FoundService]:
    """Return a service for each path, with a name and a folder that no other service has."""
    names: set[str] = set()
    folders = {_SHARED}
    return [
        FoundService(
            _pick_unused(slug(path.rpartition("/")[2], fallback="service"), names),
            _pick_unused("/" + re.sub(r"[^A-Za-z0-9_/-]", "-", path), folders),
        )
        for path in paths
    ]


def slug(text: str, *, fallback: str) -> str:
    """Return `text` in at most 36 lower-case letters and digits, in words joined by hyphens.

    Letters with marks lose them: `Müller` becomes `muller`.
    """
    plain = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", plain)
    return "-".join(words)[:36].rstrip("-") or fallback


def _pick_unused(preferred: str, taken: set[str]) -> str:
    numbered = (f"{preferred}-{number}" for number in range(2, len(taken) + 3))
    name = next(each for each in (preferred, *numbered) if each not in taken)
    taken.add(name)
    return name
