"""Find the files that git tracks: they are in every clone, and in its history."""

import os
from collections.abc import Iterable
from pathlib import Path

from infisical_iac.migrate.find import ScanError
from infisical_iac.migrate.git import GitError, run


def tracked(root: Path, paths: Iterable[str]) -> set[str]:
    """Those of `paths`, relative to `root`, that a repository tracks.

    The root may be inside of a repository, be one, hold several, or have nothing to do with git.

    Raises ScanError if there is a repository and git can't list it.
    """
    top = root.resolve()
    by_repository: dict[Path, list[str]] = {}
    for path in paths:
        if repository := repository_of((top / path).parent):
            by_repository.setdefault(repository, []).append(path)
    return {
        path
        for repository, inside in by_repository.items()
        for names in [_listed(repository)]
        for path in inside
        if os.path.relpath(top / path, repository) in names
    }


def repository_of(directory: Path) -> Path | None:
    """The top of the repository that a directory is in, told without git; None if it is in none."""
    around = (directory, *directory.parents)
    return next((each for each in around if (each / ".git").exists()), None)


def _listed(repository: Path) -> set[str]:
    try:
        answer = run(repository, "ls-files", "-z")
    except GitError as error:
        raise _refusal(repository, str(error)) from None
    if answer.returncode:
        raise _refusal(repository, answer.stderr.partition("\n")[0])
    return {name for name in answer.stdout.split("\0") if name}


def _refusal(repository: Path, reason: str) -> ScanError:
    return ScanError(
        f"git can't say what it tracks in {repository} ({reason}): see that `git ls-files` works "
        "there"
    )
