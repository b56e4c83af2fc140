"""Search the whole history of a repository for values, and list those to be rotated."""

import shlex
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

from infisical_iac.core import atomic
from infisical_iac.core.errors import FileError
from infisical_iac.migrate.git import output
from infisical_iac.migrate.search_terms import Match, SearchTerms

_CHUNK = 1 << 17


@dataclass(frozen=True)
class GitObject:
    """An object of git: its hash, kind, size and bytes, which are read before the next object."""

    name: str
    kind: str
    size: int
    chunks: Iterator[bytes] = field(repr=False)


def objects(repository: Path) -> Iterator[GitObject]:
    """Yield every stored object once: loose or packed, reachable or not.

    Raises FileError for a directory without a repository, or an object that can't be read.
    """
    command = ("cat-file", "--batch-all-objects", "--batch", "--unordered", "--buffer")
    with output(repository, *command) as stream:
        while header := stream.readline().split():
            if len(header) != 3:
                raise FileError(f"{repository} has objects that can't be read: run git fsck there")
            size = int(header[2])
            chunks = _chunks(stream, size)
            yield GitObject(header[0].decode(), header[1].decode(), size, chunks)
            for _ in chunks:
                pass
            stream.readline()


def _chunks(stream: IO[bytes], size: int) -> Iterator[bytes]:
    while size:
        chunk = stream.read(min(size, _CHUNK))
        if not chunk:
            return
        size -= len(chunk)
        yield chunk


# Parents first; each commit with what differs from its first parent, or from nothing.
_LOG = (
    *("-c", "log.showSignature=false", "log", "--topo-order", "--reverse", "--root", "-z"),
    *("--raw", "-t", "--no-abbrev", "--no-renames", "--diff-merges=first-parent", "--no-color"),
    *("--no-notes", "--format=tformat:%x01%H %T %ct %P"),
)
_REFERRED_TO = ("--all", "--reflog")


@dataclass(frozen=True, order=True)
class Commit:
    """A commit: its time, in seconds since 1970, and its hash."""

    at: int
    name: str

    @property
    def date(self) -> str:
        """Return the day, in UTC."""
        return datetime.fromtimestamp(self.at, UTC).date().isoformat()


@dataclass(frozen=True)
class HistoryPlace:
    """The number of commits that have an object under a path, the first and the last of them."""

    commits: int
    first: Commit
    last: Commit

    def __or__(self, other: "HistoryPlace") -> "HistoryPlace":
        """Return the union of two places that share no commit."""
        first, last = min(self.first, other.first), max(self.last, other.last)
        return HistoryPlace(self.commits + other.commits, first, last)


# An object and its path; commits and the trees at their roots have an empty one.
At = tuple[str, str]


@dataclass
class _Step:
    commit: Commit
    tree: str
    parent: str
    gone: set[At] = field(default_factory=set)
    come: set[At] = field(default_factory=set)


def places(
    repository: Path, names: Collection[str], commits: Collection[str]
) -> dict[At, HistoryPlace]:
    """Return the places of objects in the whole history of a repository.

    Args:
        names: hashes of the objects.
        commits: hashes of all stored commits, also of those that nothing refers to.

    Objects that no commit leads to have no place. Raises FileError if the history can't be read.
    """
    held: dict[str, frozenset[At]] = {}
    # Most commits have the same objects as their parent, so equal sets are counted together.
    sets: dict[frozenset[At], HistoryPlace] = {}

    def take(step: _Step) -> None:
        now = held.get(step.parent, frozenset())
        if step.gone or step.come:
            now = (now - step.gone) | step.come
        held[step.commit.name] = now
        own = frozenset((name, "") for name in (step.commit.name, step.tree) if name in names)
        for each in (now, own):
            once = HistoryPlace(1, step.commit, step.commit)
            sets[each] = sets[each] | once if each in sets else once

    for step in _steps(repository, names, *_REFERRED_TO):
        take(step)
    left = "\n".join(each for each in commits if each not in held)
    # Commits that nothing refers to may have lost some of their objects already.
    with suppress(FileError):
        for step in _steps(repository, names, "--stdin", "--not", *_REFERRED_TO, stdin=left):
            take(step)
    found: dict[At, HistoryPlace] = {}
    for objects_at, place in sets.items():
        for at in objects_at:
            found[at] = found[at] | place if at in found else place
    return found


def _steps(
    repository: Path, names: Collection[str], *which: str, stdin: str = ""
) -> Iterator[_Step]:
    encoded = {name.encode() for name in names}
    with output(repository, *_LOG, *which, stdin=stdin) as stream:
        tokens = _tokens(stream)
        step: _Step | None = None
        for token in tokens:
            if token.startswith(b"\x01"):
                if step:
                    yield step
                name, tree, seconds, *parents = token[1:].decode().split()
                step = _Step(Commit(int(seconds), name), tree, parents[0] if parents else "")
                continue
            old, new = token.split(b" ")[2:4]
            path = next(tokens)
            assert step is not None
            if old in encoded:
                step.gone.add((old.decode(), _printable_path(path)))
            if new in encoded:
                step.come.add((new.decode(), _printable_path(path)))
        if step:
            yield step


def _tokens(stream: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while block := stream.read(1 << 20):
        *whole, rest = (rest + block).split(b"\0")
        yield from whole


def _printable_path(path: bytes) -> str:
    text = path.decode(errors="replace")
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


Kind = Literal["file", "file name", "commit", "tag"]

_KINDS: dict[str, Kind] = {"blob": "file", "tree": "file name", "commit": "commit", "tag": "tag"}


@dataclass(frozen=True)
class Hit:
    """A value that was found in the history, in one form, under one path.

    Attributes:
        label: the label of the value.
        form: the form of the value there.
        kind: the place: a file, the name of a file, or the message of a commit or a tag.
        path: of the file, or of the folder with the file's name; empty if it has none.
        objects: hashes of the objects that have it.
        place: the commits that have it; None if no commit does.
    """

    label: str
    form: str
    kind: Kind
    path: str
    objects: tuple[str, ...]
    place: HistoryPlace | None


@dataclass(frozen=True)
class Searched:
    """A searched repository: the number of objects and bytes, and the hits."""

    repository: Path
    objects: int
    size: int
    hits: list[Hit]


def search(repository: Path, terms: SearchTerms) -> Searched:
    """Search every object of a repository: reachable or not, loose or packed.

    Hits are ordered by label, then by path. Raises FileError if an object can't be read.
    """
    count = size = 0
    commits: set[str] = set()
    holders: dict[str, tuple[Kind, set[Match]]] = {}
    for each in objects(repository):
        count, size = count + 1, size + each.size
        if each.kind == "commit":
            commits.add(each.name)
        if found := terms.search(each.chunks):
            holders[each.name] = (_KINDS[each.kind], found)
    where = places(repository, holders.keys(), commits) if holders else {}
    return Searched(repository, count, size, _join(_hits(holders, where, terms)))


def _hits(
    holders: dict[str, tuple[Kind, set[Match]]], where: dict[At, HistoryPlace], terms: SearchTerms
) -> Iterator[Hit]:
    nowhere = holders.keys() - {name for name, _ in where}
    for (name, path), place in (*where.items(), *(((name, ""), None) for name in nowhere)):
        kind, found = holders[name]
        masked = bool(terms.search([path.encode()]))
        shown = f"(object {name[:12]}, in a path that holds a value)" if masked else path
        for each in found:
            yield Hit(each.label, each.form, kind, shown, (name,), place)


def _join(hits: Iterator[Hit]) -> list[Hit]:
    """Return the hits; those that differ only in their objects are merged."""
    joined: dict[tuple[str, str, str, str, bool], Hit] = {}
    for hit in hits:
        key = (hit.label, hit.path, hit.kind, hit.form, hit.place is None)
        if before := joined.get(key):
            both = before.place | hit.place if before.place and hit.place else None
            hit = replace(before, objects=(*before.objects, *hit.objects), place=both)
        joined[key] = hit
    return [joined[key] for key in sorted(joined)]


@dataclass(frozen=True)
class ValueRotation:
    """A value to be rotated, with the day of its first commit; "" if it is in none."""

    label: str
    since: str
    repositories: tuple[str, ...]


def rotations(searched: Sequence[Searched]) -> list[ValueRotation]:
    """Return each found value once, sorted by label."""
    by_label: dict[str, list[tuple[Path, Hit]]] = {}
    for each in searched:
        for hit in each.hits:
            by_label.setdefault(hit.label, []).append((each.repository, hit))
    found = []
    for label, hits in sorted(by_label.items()):
        first = [hit.place.first for _, hit in hits if hit.place]
        repositories = dict.fromkeys(str(repository) for repository, _ in hits)
        found.append(ValueRotation(label, min(first).date if first else "", tuple(repositories)))
    return found


def write_hashes(hashes: Path, searched: Sequence[Searched]) -> str:
    """Write the hashes of the file versions that contain a value.

    Return the command that removes these versions from a clone; "" if there are none.
    """
    hits = [hit for each in searched for hit in each.hits if hit.kind == "file"]
    names = sorted({name for hit in hits for name in hit.objects})
    with atomic.explain_failure(hashes):
        hashes.write_text("".join(f"{name}\n" for name in names))
    path = shlex.quote(str(hashes.resolve()))
    command = f"git filter-repo --sensitive-data-removal --strip-blobs-with-ids {path}"
    return command if names else ""
