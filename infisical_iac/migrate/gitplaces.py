"""In which commits, and under which paths, objects of a git repository are."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TypeVar

from infisical_iac.migrate.git import GitError, output

# Parents first; each commit with what differs from its first parent, or from nothing.
_LOG = (
    *("-c", "log.showSignature=false", "log", "--topo-order", "--reverse", "--root", "-z"),
    *("--raw", "-t", "--no-abbrev", "--no-renames", "--diff-merges=first-parent", "--no-color"),
    *("--no-notes", "--format=tformat:%x01%H %T %ct %P"),
)
_REFERRED_TO = ("--all", "--reflog")


@dataclass(frozen=True, order=True)
class Commit:
    """A commit: when it was made, in seconds since 1970, and its hash."""

    at: int
    name: str

    @property
    def date(self) -> str:
        """The day, in UTC."""
        return datetime.fromtimestamp(self.at, UTC).date().isoformat()


@dataclass(frozen=True)
class Place:
    """Hold how many commits hold an object under a path, and the first and the last of them."""

    commits: int
    first: Commit
    last: Commit

    def __or__(self, other: "Place") -> "Place":
        """Both together; no commit may be in both."""
        first, last = min(self.first, other.first), max(self.last, other.last)
        return Place(self.commits + other.commits, first, last)


_Key = TypeVar("_Key")
# An object and its path; commits and the trees at their roots have an empty one.
At = tuple[str, str]


@dataclass
class _Step:
    commit: Commit
    tree: str
    parent: str
    gone: set[At] = field(default_factory=set)
    come: set[At] = field(default_factory=set)


def places(repository: Path, wanted: Collection[str], commits: Collection[str]) -> dict[At, Place]:
    """Where objects are, over the whole history of a repository.

    Args:
        repository: the repository.
        wanted: hashes of the objects.
        commits: hashes of all commits that are stored, also of those that nothing refers to.

    Objects that no commit leads to are not in what is returned. Raises GitError if the history
    can't be read.
    """
    tally = _Tally(frozenset(wanted))
    for step in _steps(repository, wanted, *_REFERRED_TO):
        tally.take(step)
    left = "\n".join(each for each in commits if each not in tally.held)
    # What nothing refers to may have lost some of its objects already.
    with suppress(GitError):
        for step in _steps(repository, wanted, "--stdin", "--not", *_REFERRED_TO, stdin=left):
            tally.take(step)
    return tally.places()


@dataclass
class _Tally:
    """Hold what each commit holds; most hold the same as their parent, so sets are counted as
    one.
    """

    wanted: frozenset[str]
    held: dict[str, frozenset[At]] = field(default_factory=dict)
    _sets: dict[frozenset[At], Place] = field(default_factory=dict)

    def take(self, step: _Step) -> None:
        """Take in a commit whose parent was taken in before."""
        now = self.held.get(step.parent, frozenset())
        if step.gone or step.come:
            now = (now - step.gone) | step.come
        self.held[step.commit.name] = now
        self._count(now, step.commit)
        own = {step.commit.name, step.tree} & self.wanted
        self._count(frozenset((name, "") for name in own), step.commit)

    def _count(self, held: frozenset[At], commit: Commit) -> None:
        _add(self._sets, held, Place(1, commit, commit))

    def places(self) -> dict[At, Place]:
        """Where each object is."""
        found: dict[At, Place] = {}
        for held, place in self._sets.items():
            for at in held:
                _add(found, at, place)
        return found


def _add(to: dict[_Key, Place], key: _Key, place: Place) -> None:
    to[key] = to[key] | place if key in to else place


def _steps(
    repository: Path, wanted: Collection[str], *which: str, stdin: str = ""
) -> Iterator[_Step]:
    names = {name.encode() for name in wanted}
    with output(repository, *_LOG, *which, stdin=stdin) as stream:
        tokens = _tokens(stream)
        step: _Step | None = None
        for token in tokens:
            if token.startswith(b"\x01"):
                if step:
                    yield step
                step = _step(token)
                continue
            old, new = token.split(b" ")[2:4]
            path = next(tokens)
            assert step is not None
            if old in names:
                step.gone.add((old.decode(), _shown(path)))
            if new in names:
                step.come.add((new.decode(), _shown(path)))
        if step:
            yield step


def _step(token: bytes) -> _Step:
    name, tree, at, *parents = token[1:].decode().split()
    return _Step(Commit(int(at), name), tree, parents[0] if parents else "")


def _tokens(stream: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while block := stream.read(1 << 20):
        *whole, rest = (rest + block).split(b"\0")
        yield from whole


def _shown(path: bytes) -> str:
    text = path.decode(errors="replace")
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
