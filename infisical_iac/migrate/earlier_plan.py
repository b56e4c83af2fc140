"""Apply an earlier plan to the files of a new scan or plan.

A scan shows the plan's decisions as notes. The next plan keeps the migrated keys of files that were
deleted since.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from infisical_iac.core.errors import UserError
from infisical_iac.core.wording import join_names
from infisical_iac.migrate.comparison import KINDS
from infisical_iac.migrate.find import OWN_FILE
from infisical_iac.migrate.findings import label
from infisical_iac.migrate.model import FileFinding, Name, Source
from infisical_iac.migrate.plan_file import (
    PLAN_FILE,
    MigrationPlan,
    PlannedSource,
    digest,
    load,
    load_key,
    of_bytes,
)
from infisical_iac.migrate.planning import (
    CHOSEN,
    by_label,
    decide_file,
    default_decision,
    find_left_out,
    is_grammar_chosen,
    keep_decision,
    read_again,
)
from infisical_iac.workspace.model import Workspace

DECIDED = "decided"
"""The kind of the note on a decision."""


class FoundPlan(NamedTuple):
    """A plan, its directory, and the key of its hashes; without it, hashes can't be compared."""

    directory: Path
    plan: MigrationPlan
    key: bytes = b""

    @property
    def left_out(self) -> frozenset[Path]:
        """Return the personal files that the plan skips."""
        return find_left_out(self.plan, self.directory)

    def by_path(self, root: Path) -> dict[str, PlannedSource]:
        """Return the plan's present files by their path below `root`."""
        top = root.resolve()
        found = {
            (self.directory / self.plan.root / each.path).resolve(): each
            for each in self.plan.present_sources
        }
        return {
            path.relative_to(top).as_posix(): each
            for path, each in found.items()
            if path.is_relative_to(top)
        }


def find_plans(directories: Iterable[Path], project: str) -> Iterator[FoundPlan]:
    """Yield the plans in these directories that can be read.

    Args:
        project: the slug of the project; plans for another one are left out.
    """
    for directory in dict.fromkeys(each.resolve() for each in directories):
        file = directory / PLAN_FILE
        with suppress(UserError):
            found = FoundPlan(directory, load(file))
            with suppress(UserError):
                found = found._replace(key=load_key(file))
            if found.plan.project == project:
                yield found


def mark_decided(
    source: Source, planned: PlannedSource, key: bytes, root: Path, workspace: Workspace
) -> Source:
    """Return a source with a note in place of each decision that its plan has made.

    A grammar that a person chose in the plan is used to read the source.

    Args:
        planned: the same file in the plan.
        key: the key of the plan's hashes; b"" if it is unknown.
        root: the directory that the source's path is relative to.
    """
    if is_grammar_chosen(planned, source):
        read = read_again(source, planned.grammar, CHOSEN, root, workspace)
        others = (each for each in source.findings if each.kind in KINDS)
        source = replace(read, findings=(*read.findings, *others))
    found = by_label(source, source.reading.values)
    of_file = found.pop("", [])
    fresh = decide_file(of_file)
    decision = fresh
    if planned.decision == "skip" or (key and planned.digest == of_bytes(key, source.data)):
        decision = keep_decision(fresh, planned.decision, of_file, planned.findings)
    if decision == "skip":
        return _with_note(source, source.findings, decision)
    if decision != fresh:
        source = _with_note(source, of_file, decision)
    for name, value in source.reading.values.items():
        named = label(source.reading, name)
        here, before = found.get(named, []), planned.keys.get(named)
        if key and before and before.digest == digest(key, value):
            default = default_decision(here, allow_literal=False)
            of_key = keep_decision(default, before.decision, here, before.findings)
            if default == "undecided" and of_key != default:
                source = _with_note(source, here, of_key)
    return source


def _with_note(source: Source, found: Sequence[FileFinding], decision: str) -> Source:
    """Return the source with one note in place of those of the findings that block."""
    decided = [each for each in found if each.blocking]
    if not decided:
        return source
    first = decided[0]
    kinds = ", ".join(dict.fromkeys(each.kind for each in decided))
    note = replace(
        first,
        line=0 if len({each.line for each in decided}) > 1 else first.line,
        kind=DECIDED,
        key=first.key if len({each.key for each in decided}) == 1 else "",
        message=f"{decision}, in {PLAN_FILE} ({kinds}).",
        remedy="Change it there, then plan again.",
        blocking=False,
    )
    rest = [each for each in source.findings if each not in decided]
    rest.insert(source.findings.index(first), note)
    return replace(source, findings=tuple(rest))


def deleted_directories(plan: MigrationPlan, directory: Path) -> list[Path]:
    """Return the absolute directories of files that had stored keys and no longer exist.

    Args:
        directory: the plan's directory, to which its root is relative.
    """
    files = {_file(plan, directory, each): each for each in plan.sources if each.stored_keys}
    return [file.parent for file, each in files.items() if each.deleted or not _exists(file)]


def moved_names(plan: MigrationPlan, directory: Path) -> set[Name]:
    """Return the secrets of the plan's files that were migrated and no longer exist.

    Args:
        directory: the plan's directory, to which its root is relative.
    """
    return {
        Name(*each.target, key)
        for each in plan.sources
        if each.deleted or not _exists(_file(plan, directory, each))
        for key in each.stored_keys
    }


def rebase(plan: MigrationPlan, directory: Path, root: Path) -> MigrationPlan:
    """Return the plan with paths relative to another root; files outside of it are left out.

    Args:
        directory: the plan's directory, to which its root is relative.
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
        directory: the plan's directory, to which its root is relative.
        planned: the absolute paths of the planned files.
    """
    files = [_file(plan, directory, each) for each in plan.sources if _is_present(each)]
    left = [each for each in files if each.name != OWN_FILE and each not in planned]
    return [str(each) for each in left if _exists(each)]


def find_deleted(
    plan: MigrationPlan, sources: Sequence[Source], root: Path
) -> Iterator[PlannedSource]:
    """Yield the planned files with stored keys that no longer exist.

    A file also counts as deleted if a new file of its name has none of these keys, such as a
    `.env.local` with the variables of a login.

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
    """The deleted files that stay in the plan, and the paths of those that are dropped from it."""

    sources: list[PlannedSource]
    lost: list[str]


def keep_deleted(
    found: Sequence[PlannedSource],
    made: MigrationPlan,
    stored: Collection[Name],
    environments: Collection[str],
) -> Kept:
    """Decide which deleted files stay in a plan; each keeps the keys that no existing file stores.

    A file stays if Infisical has at least one of its keys. One that the plan already marks as
    deleted stays until a person removes it from the plan.

    Args:
        made: the plan of the files that exist.
        stored: the secrets in Infisical.
        environments: the environments that the project file declares.
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


def refuse_unknown_targets(
    plan: MigrationPlan, present: Collection[str], workspace: Workspace, name: str
) -> None:
    """Raise UserError for a service, environment or folder that the project file lacks.

    Either a person wrote it into the plan, or the project file no longer has it.

    Args:
        present: the paths of the files that are planned again; others do not count.
        name: the plan's file, as the error names it.
    """
    slugs = [each.slug for each in workspace.environments]
    for source in plan.present_sources:
        if source.decision == "skip" or source.path not in present:
            continue
        for kind, word, known in (
            ("service", source.service, [*workspace.services]),
            ("environment", source.environment, slugs),
            ("folder", source.folder, [*workspace.folders]),
        ):
            if word and word not in known:
                instead = f"write {join_names(known, 'or')}" if known else "correct it"
                how = _ADD_SERVICE if kind == "service" else ""
                raise UserError(
                    f"the project file has no {kind} {word!r}, which {name} names for "
                    f"{source.path}: {instead} there, or add it to the project file{how}",
                    code="error.plan_targets",
                )


_ADD_SERVICE = ", by `infisical-iac init --add-service NAME=PATH`"


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
