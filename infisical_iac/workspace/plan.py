"""Plan and apply the changes of a project."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from infisical_iac.core.errors import CheckFailed
from infisical_iac.workspace import (
    environment_contents,
    foreign,
    isolation,
    prune,
    second_factor,
)
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.converge import apply, converge, difference, list_rename_notes
from infisical_iac.workspace.environment_contents import readable
from infisical_iac.workspace.foreign import AccessState, ForeignAccess
from infisical_iac.workspace.foreign_actual import find_foreign
from infisical_iac.workspace.goal import Reached, pair
from infisical_iac.workspace.memory import learn, list_isolation_notes, refuse_unmoved
from infisical_iac.workspace.prune import Removal
from infisical_iac.workspace.state import Actual, ApiChange


@dataclass(frozen=True)
class WorkspacePlan:
    """The planned changes, and those that only `--prune` makes.

    Attributes:
        changes: the differences to correct.
        blocked: the differences that only a person can correct.
        removals: the removals due.
        unnamed: objects that the file no longer names and this plan leaves in place.
        foreign: access that the file does not give and that stays.
        notes: sentences that are not changes.
        left: sentences on credentials of services that the file no longer names.
        rotate: the secrets that people who lose access could read, by e-mail.
    """

    changes: list[ApiChange]
    blocked: list[ApiChange]
    removals: list[Removal]
    unnamed: list[Removal]
    foreign: list[ForeignAccess]
    notes: list[str]
    left: list[str]
    rotate: dict[str, list[str]]

    @property
    def due(self) -> list[ApiChange]:
        """Return all changes due, in order."""
        return [*self.changes, *(each.change for each in self.removals)]


def compute_plan(reached: Reached, *, prune: bool) -> WorkspacePlan:
    """Return the plan, from a comparison that changes nothing.

    Raises UserError if the actual state can't be read.
    """
    refuse_unmoved(reached)
    seen = _observe(reached)
    found = difference(reached, seen.actual)
    changes = [each for each in found if each.kind != "!"]
    blocked = [each for each in found if each.kind == "!"]
    removals = _removals(reached, seen)
    left = foreign.left_behind(seen.findings, reached, seen.actual, prunes=prune)
    notes = [
        *seen.notes,
        *second_factor.describe(
            reached.desired, seen.access.people, reached.factors, by_role=not reached.grants
        ),
        *list_rename_notes(reached.desired, seen.actual, moves_files=False),
        *list_isolation_notes(reached),
        *reached.desired.warnings(),
    ]
    if prune:
        rotate = _rotate(reached, seen)
        return WorkspacePlan(changes, blocked, removals, [], [], notes, left, rotate)
    reported = {each.id for each in seen.findings}
    unnamed = [each for each in removals if each.id not in reported]
    return WorkspacePlan(changes, blocked, [], unnamed, seen.findings, notes, left, {})


def apply_plan(reached: Reached, plan: WorkspacePlan, report: Callable[[ApiChange], None]) -> None:
    """Apply the changes until nothing differs, and then the removals.

    Args:
        report: called with each change once it is made.

    Raises UserError. Changes made before it stay, and the next run continues from there.
    """
    made: list[ApiChange] = []

    def note(change: ApiChange) -> None:
        made.append(change)
        report(change)

    goal, replaced = isolation.settle(reached.client, reached)
    if replaced:
        if reached.remember is None:
            raise CheckFailed(
                f"{replaced.detail}: give --isolation projects", code="checks.isolation"
            )
        report(replaced)
        reached.remember(goal.memory)
    reached = replace(reached, isolation=goal.isolation, memory=goal.memory)
    actual = converge(reached.client, reached, note, reached.admin)
    if reached.remember:
        memory = learn(reached.client, reached, actual, made)
        reached.remember(memory)
        reached = replace(reached, memory=memory)
    if plan.removals:
        now = _removals(reached, _observe(reached))
        _remove(reached, prune.filter_due(plan.removals, now), report)


@dataclass(frozen=True)
class _Seen:
    """The actual state, and the access that the file neither gives nor accepts."""

    actual: Actual
    access: AccessState
    findings: list[ForeignAccess]
    notes: list[str]


def _observe(reached: Reached) -> _Seen:
    actual = read(reached.client, reached, reached.admin)
    found = find_foreign(
        reached.client,
        reached,
        actual,
        reached.admin,
        deployer=reached.deployer,
        deployer_secret=reached.deployer_secret,
    )
    return _Seen(actual, *found)


def _removals(reached: Reached, seen: _Seen) -> list[Removal]:
    return prune.find(reached.client, reached, seen.actual, seen.findings, reached.credentials)


def _rotate(reached: Reached, seen: _Seen) -> dict[str, list[str]]:
    going = {each.id for each in seen.findings if each.kind == "person"}
    found: dict[str, list[str]] = {}
    for goal, actual in pair(reached, seen.actual):
        members = seen.access.parts.get(goal.key, seen.access).people.members.items()
        persons = {email: each for email, each in members if each.membership_id in going}
        names = environment_contents.read_names(reached.client, actual) if persons else {}
        for email, each in persons.items():
            found.setdefault(email, []).extend(readable(each, names))
    return dict(sorted(found.items()))


def _remove(reached: Reached, removals: list[Removal], report: Callable[[ApiChange], None]) -> None:
    reached.discard([each.file for each in removals if each.file])
    changes = [each.change for each in removals]
    for change in apply(reached.client, changes, admin=reached.admin):
        report(change)
    if reached.remember:
        reached.remember(reached.memory.without({each.id for each in removals}))
