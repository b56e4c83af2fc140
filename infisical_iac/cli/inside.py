"""Show what differs inside an Infisical that was reached, and set it right."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from infisical_iac.cli.reach import Reached
from infisical_iac.workspace import apply as applying
from infisical_iac.workspace import duplicates, people, secret_names
from infisical_iac.workspace import prune as pruning
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.change import Change
from infisical_iac.workspace.converge import converge
from infisical_iac.workspace.difference import difference
from infisical_iac.workspace.memory import learn
from infisical_iac.workspace.prune import Removal
from infisical_iac.workspace.readable import readable
from infisical_iac.workspace.state import Actual


@dataclass(frozen=True)
class Plan:
    """Hold what is to be done, and what only `--prune` does.

    Attributes:
        changes: what differs.
        removals: what is to be taken away.
        unnamed: what the file no longer names and stays nevertheless.
        notes: sentences on people that are no changes.
        rotate: the secrets that people who lose access could read, by e-mail.
    """

    changes: list[Change]
    removals: list[Removal]
    unnamed: list[Removal]
    notes: list[str]
    rotate: dict[str, list[str]]

    @property
    def due(self) -> list[Change]:
        """All that is to be done, in order."""
        return [*self.changes, *(each.change for each in self.removals)]


def look(reached: Reached, *, prune: bool) -> Plan:
    """Compare what is there with what is wanted, and change nothing.

    Raises a UserError if that can't be told.
    """
    actual = _read(reached, leavers=prune)
    changes = difference(
        reached.desired,
        actual,
        isolation=reached.isolation,
        admin_email=reached.admin_email,
        remembered=reached.memory,
    )
    unnamed = _unnamed(reached, actual)
    notes = people.notes(reached.desired, actual)
    if prune:
        return Plan(changes, unnamed, [], notes, _rotate(reached, actual))
    kept = [*people.kept(reached.desired, actual), *duplicates.notes(actual.duplicates)]
    return Plan(changes, [], unnamed, [*notes, *kept], {})


def make(reached: Reached, plan: Plan, tell: Callable[[Change], None]) -> None:
    """Make the changes until nothing differs, and then the removals.

    Args:
        tell: called with each change once it is made.

    Raises a UserError; what was made until then is, and the next run goes on from there.
    """
    made: list[Change] = []

    def note(change: Change) -> None:
        made.append(change)
        tell(change)

    actual = converge(
        reached.client,
        reached.desired,
        isolation=reached.isolation,
        admin_email=reached.admin_email,
        remembered=reached.memory,
        tell=note,
        admin=reached.admin,
    )
    if reached.remember:
        memory = learn(reached.client, reached.desired, reached.memory, actual, made)
        reached.remember(memory)
        reached = replace(reached, memory=memory)
    if plan.removals:
        now = _read(reached, leavers=True)
        _remove(reached, pruning.still(plan.removals, _unnamed(reached, now)), tell)


def _read(reached: Reached, *, leavers: bool) -> Actual:
    return read(
        reached.client,
        workspace=reached.desired,
        isolation=reached.isolation,
        admin_email=reached.admin_email,
        admin=reached.admin,
        leavers=leavers and reached.has_admin,
        remembered=reached.memory,
    )


def _unnamed(reached: Reached, actual: Actual) -> list[Removal]:
    leavers = people.leavers(reached.desired, actual)
    return [
        *(Removal(each.what, each) for each in leavers),
        *pruning.find(
            reached.client,
            reached.desired,
            actual,
            reached.memory,
            deployer=reached.deployer,
            credentials=reached.credentials,
        ),
    ]


def _rotate(reached: Reached, actual: Actual) -> dict[str, list[str]]:
    left = people.left(reached.desired, actual)
    names = secret_names.read(reached.client, actual) if left else {}
    return {email: readable(each, names) for email, each in left.items()}


def _remove(reached: Reached, removals: list[Removal], tell: Callable[[Change], None]) -> None:
    reached.discard([each.file for each in removals if each.file])
    changes = [each.change for each in removals]
    for change in applying.apply(reached.client, changes, admin=reached.admin):
        tell(change)
    if reached.remember:
        reached.remember(reached.memory.without({each.id for each in removals}))
