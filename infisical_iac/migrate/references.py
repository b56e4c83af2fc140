"""Search code, compose files, CI and docs for what still speaks of files that are deleted."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from infisical_iac.migrate.find import is_env, walk

LIMIT = 500
_LARGEST = 2 << 20
_HEAD = 8192
# What reads `.env` without naming it.
_LOADERS = (
    r"(?<![\w-])dotenv[/.]config\b",
    r"\b(?:load_dotenv|find_dotenv|dotenv_values|loadEnvFile|loadEnvConfig)\b",
    r"(?<=[\"'])dotenv(?:-expand|-cli)?(?=[\"'])",
    r"\bpython-dotenv\b",
)
# Neither a property such as process.env, nor a part of a longer name.
_BEFORE, _AFTER = r"(?<![\w.)\]?-])", r"(?![\w-]|\.\w)"
# They name the files in order to leave them out, or repeat what another file says.
_SILENT = re.compile(r".*ignore|.*\.lock|package-lock\.json|pnpm-lock\.yaml|migration-report\.\w+")


@dataclass(frozen=True)
class Reference:
    """A place that names a file or loads one: what was found there, and nothing around it."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


class FoundReferences(NamedTuple):
    """Hold what a search found.

    Attributes:
        references: at most LIMIT of them, by path and line.
        more: whether there are more.
        unread: the paths of texts that are too large to be searched, or can't be read.
    """

    references: list[Reference]
    more: bool
    unread: list[str]


def pattern(paths: Iterable[str]) -> re.Pattern[bytes]:
    """Return what matches the files at `paths`, by name or by the end of their path, and
    loaders.
    """
    ends = {end for path in paths for end in _ends(path)}
    names = "|".join(re.escape(end) for end in sorted(ends, key=lambda end: (-len(end), end)))
    loaders = "|".join(_LOADERS)
    return re.compile(f"{_BEFORE}(?:{names}){_AFTER}|{loaders}".encode())


def _ends(path: str) -> Iterator[str]:
    parts = path.split("/")
    return ("/".join(parts[start:]) for start in range(len(parts)))


def matches(data: bytes, wanted: re.Pattern[bytes]) -> list[tuple[int, str]]:
    """Line and matched text of each match, the same text once a line."""
    found: dict[tuple[int, str], None] = {}
    line, last = 1, 0
    for match in wanted.finditer(data):
        line += data.count(b"\n", last, match.start())
        last = match.start()
        found[line, match[0].decode(errors="replace")] = None
    return list(found)


def search(root: Path, paths: Sequence[str], leave_out: Iterable[str] = ()) -> FoundReferences:
    """Search the texts under `root` for what speaks of the files at `paths`.

    Not searched are `.env` files and samples themselves, ignore and lock files, binary files, what
    others made (see `find.walk`), and the paths in `leave_out`.

    Raises ScanError for a directory that can't be listed.
    """
    wanted, silent = pattern(paths), set(leave_out)
    references: list[Reference] = []
    unread = []
    for path in walk(root):
        if path in silent or _is_silent(path.rpartition("/")[2]):
            continue
        try:
            data = _text(root / path)
        except (OSError, OverflowError):
            unread.append(path)
            continue
        references += (Reference(path, *match) for match in matches(data, wanted))
        if len(references) > LIMIT:
            return FoundReferences(references[:LIMIT], True, unread)
    return FoundReferences(references, False, unread)


def _is_silent(name: str) -> bool:
    return bool(_SILENT.fullmatch(name)) or (is_env(name) and not name.startswith(".envrc"))


def _text(file: Path) -> bytes:
    """Return the bytes of a text, none of a binary file. Raises OverflowError if too large."""
    with file.open("rb") as stream:
        head = stream.read(_HEAD)
        if b"\0" in head:
            return b""
        data = head + stream.read(_LARGEST - len(head) + 1)
    if len(data) > _LARGEST:
        raise OverflowError(file)
    return data
