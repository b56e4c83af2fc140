"""Keep in a new plan what an earlier one moved out of files that are deleted since."""

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from infisical_iac.migrate.findings import label
from infisical_iac.migrate.model import Name, Source
from infisical_iac.migrate.plan_file import MigrationPlan, PlannedSource


def directories(plan: MigrationPlan, directory: Path) -> list[Path]:
    """Return the absolute directories of files that had stored keys and no longer exist.

    Args:
        directory: the plan's own, which its root is relative to.
    """
    files = {_file(plan, directory, each): each for each in plan.sources if each.stored_keys}
    return [file.parent for file, each in files.items() if each.deleted or not _exists(file)]


def rebase(plan: MigrationPlan, directory: Path, root: Path) -> MigrationPlan:
    """Return the plan with paths relative to another root; files outside of it are left out.

    Args:
        directory: the plan's own, which its root is relative to.
    """
    files = [(_file(plan, directory, each), each) for each in plan.sources]
    sources = tuple(
        each.model_copy(update={"path": file.relative_to(root).as_posix()})
        for file, each in files
        if file.is_relative_to(root)
    )
    relative = Path(os.path.relpath(root, directory)).as_posix()
    return plan.model_copy(update={"root": relative, "sources": sources})


def find_unplanned(plan: MigrationPlan, directory: Path, planned: Collection[Path]) -> list[str]:
    """Return the paths of existing files with stored keys that are not planned again.

    Args:
        directory: the plan's own, which its root is relative to.
        planned: the absolute paths of the files that are.
    """
    files = [_file(plan, directory, each) for each in plan.sources if _is_present(each)]
    return [str(each) for each in files if _exists(each) and each not in planned]


def find(plan: MigrationPlan, sources: Sequence[Source], root: Path) -> Iterator[PlannedSource]:
    """Yield the planned files with stored keys that no longer exist.

    A file counts as deleted too if there is a new one of its name that has none of these keys, such
    as a `.env.local` with the variables of a login.

    Args:
        sources: the files that exist, with paths relative to `root`, as the plan's are.
    """
    scanned = {each.path: each for each in sources}
    for each in plan.sources:
        here = scanned.get(each.path)
        is_gone = not _exists(root / each.path) if here is None else _is_another(each, here)
        if each.deleted or (each.stored_keys and is_gone):
            yield each


class Kept(NamedTuple):
    """The deleted files that stay in the plan, and the paths of those of which nothing is left."""

    sources: list[PlannedSource]
    lost: list[str]


def keep(
    found: Sequence[PlannedSource],
    made: MigrationPlan,
    stored: Collection[Name],
    environments: Collection[str],
) -> Kept:
    """Decide which deleted files stay in a plan, with the keys that no other file of it has.

    A file stays if Infisical has at least one of its keys. It has been there once if it is marked
    as deleted already, so it stays until a person takes it out of the plan.

    Args:
        made: the plan of the files that exist.
        stored: the secrets in Infisical.
        environments: those that the project file declares.
    """
    taken = {
        Name(*source.target, name)
        for source in made.sources
        if source.decision != "skip"
        for name, each in source.keys.items()
        if each.decision != "skip"
    }
    kept = Kept([], [])
    for source in found:
        keys = {
            name: each
            for name, each in source.keys.items()
            if each.decision == "skip" or Name(*source.target, name) not in taken
            if each.decision != "undecided"
        }
        left = source.model_copy(update={"keys": keys, "deleted": True})
        names = {Name(*left.target, name) for name in left.stored_keys}
        is_there = source.deleted or not names.isdisjoint(stored)
        if names and is_there and source.environment in environments:
            kept.sources.append(left)
        elif names:
            kept.lost.append(source.path)
    return kept


def _file(plan: MigrationPlan, directory: Path, source: PlannedSource) -> Path:
    return Path(os.path.abspath(directory / plan.root / source.path))


def _exists(file: Path) -> bool:
    return os.path.lexists(file)


def _is_present(source: PlannedSource) -> bool:
    return bool(source.stored_keys) and not source.deleted


def _is_another(planned: PlannedSource, here: Source) -> bool:
    """Return whether a file of the same name has none of the keys that were stored."""
    names = {label(here.reading, name) for name in here.reading.values}
    is_read = not any(each.kind == "unreadable-file" for each in here.findings)
    return is_read and names.isdisjoint(planned.stored_keys)
