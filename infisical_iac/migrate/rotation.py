"""List what must be rotated because it is in a history, and how to take it out of there."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infisical_iac.migrate.history import Searched


@dataclass(frozen=True)
class Rotation:
    """A value that others may have read.

    Attributes:
        label: which value it is.
        since: the day of the first commit that holds it; empty if no commit does.
        repositories: where it is.
    """

    label: str
    since: str
    repositories: tuple[str, ...]


def rotations(searched: Sequence[Searched]) -> list[Rotation]:
    """The values that were found, each once, by label."""
    labels = sorted({hit.label for each in searched for hit in each.hits})
    return [_rotation(label, searched) for label in labels]


def _rotation(label: str, searched: Sequence[Searched]) -> Rotation:
    found = [(each.repository, hit) for each in searched for hit in each.hits if hit.label == label]
    first = [hit.place.first for _, hit in found if hit.place]
    repositories = dict.fromkeys(str(repository) for repository, _ in found)
    return Rotation(label, min(first).date if first else "", tuple(repositories))


def blobs(searched: Sequence[Searched]) -> list[str]:
    """The versions of files that hold a value, as hashes: no value is among them."""
    hits = [hit for each in searched for hit in each.hits if hit.kind == "file"]
    return sorted({name for hit in hits for name in hit.objects})


def filter_repo(hashes: Path) -> str:
    """The command that takes the versions whose hashes are in a file out of a fresh clone."""
    path = shlex.quote(str(hashes.resolve()))
    return f"git filter-repo --sensitive-data-removal --strip-blobs-with-ids {path}"
