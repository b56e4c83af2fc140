"""Choose what is scanned: directories with all that is in them, or single files with what is
around.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from infisical_iac.migrate.find import ScanError
from infisical_iac.migrate.tracked import repository_of


class Tree(NamedTuple):
    """A directory, and the paths below it that are meant; None for all of its `.env` files."""

    root: Path
    only: frozenset[str] | None = None


def trees(paths: Sequence[Path]) -> list[Tree]:
    """The trees of directories and files, those of files together that are in one.

    A file's tree is the working tree of git that it is in, or else its directory: what is around
    a file tells its service and its loader.

    Raises ScanError for a path that is within another, which would be there twice.
    """
    _refuse_nested(paths)
    found: dict[Path, Tree] = {}
    for path in paths:
        if path.is_dir():
            found[path] = Tree(path)
            continue
        file = path.parent.resolve() / path.name
        root = repository_of(file.parent) or file.parent
        others = found[root].only if root in found else None
        found[root] = Tree(root, (others or frozenset()) | {file.relative_to(root).as_posix()})
    return list(found.values())


def _refuse_nested(paths: Iterable[Path]) -> None:
    named = [(path, path.resolve()) for path in paths]
    for index, (path, whole) in enumerate(named):
        others = (other for _, other in named[:index] + named[index + 1 :])
        if outer := next((other for other in others if whole.is_relative_to(other)), None):
            raise ScanError(f"{path} is in {outer}, which is scanned too: name one of them")
