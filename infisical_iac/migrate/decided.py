"""Show the decisions of a plan in a scan: what is decided there is a note."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from infisical_iac.core.errors import UserError
from infisical_iac.migrate.comparison import KINDS
from infisical_iac.migrate.findings import label
from infisical_iac.migrate.fingerprint import digest, of_bytes
from infisical_iac.migrate.model import FileFinding, Source
from infisical_iac.migrate.plan_file import PLAN_FILE, MigrationPlan, PlannedSource, load, load_key
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
"""The kind of the note."""


class FoundPlan(NamedTuple):
    """A plan, its directory, and the key of its hashes; without the key no hash can be compared."""

    directory: Path
    plan: MigrationPlan
    key: bytes = b""

    @property
    def left_out(self) -> frozenset[Path]:
        """Return the personal files that it skips."""
        return find_left_out(self.plan, self.directory)

    def by_path(self, root: Path) -> dict[str, PlannedSource]:
        """Return its present files by their path below `root`."""
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

    It is read by the grammar that a person chose in the plan.

    Args:
        planned: the same file in the plan.
        key: that of the plan's hashes; b"" if it is unknown.
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
