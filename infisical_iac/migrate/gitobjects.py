"""All objects of a git repository: whatever is in its store, whoever refers to it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from infisical_iac.migrate.git import GitError, output

_CHUNK = 1 << 17


@dataclass(frozen=True)
class GitObject:
    """An object of git.

    Attributes:
        name: its hash.
        kind: `blob`, `tree`, `commit` or `tag`.
        size: of its content, in bytes.
        chunks: its content, to be read before the next object.
    """

    name: str
    kind: str
    size: int
    chunks: Iterator[bytes] = field(repr=False)


def objects(repository: Path) -> Iterator[GitObject]:
    """Every object that is stored, loose or packed, reachable or not, each once.

    Raises GitError if it is no repository, or if an object can't be read.
    """
    command = ("cat-file", "--batch-all-objects", "--batch", "--unordered", "--buffer")
    with output(repository, *command) as stream:
        while header := stream.readline().split():
            if len(header) != 3:
                raise GitError(f"{repository} has objects that can't be read: run git fsck there")
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
