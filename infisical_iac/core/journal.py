"""Note what a run would change and what it has changed, item by item.

Operations tell their items while they look at the host. What they told before anything has
changed makes up the plan, and holds until the run makes its first change.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pyinfra import logger
from pyinfra.api.command import PyinfraCommand
from pyinfra.context import host, state

from infisical_iac.core.audit_entries import Event
from infisical_iac.core.errors import UserError
from infisical_iac.core.images import Images
from infisical_iac.core.item import Item, Unknown, UpToDate, with_names

# By part, those without which nothing of it can be done. One that names itself is a chain: each of
# its operations needs those before it.
_NEEDS = {
    # Docker would make its data on the host's own disk.
    "Docker": ("Docker", "Data volume"),
    # What the nodes say to each other is for them alone.
    "Swarm": ("Swarm", "Docker", "Firewall"),
    # Compose reads no file without the keys, and no container starts before a version has changed.
    "Stack": ("Stack", "Swarm", "Docker", "Data volume"),
    # A change that has not ended may be why the edge is closed.
    "Ingress": ("Stack",),
    # It would bring to all nodes what the lead has lost.
    "Share": ("Stack", "Swarm"),
    # Which identities there are.
    "Credentials": ("Workspace",),
}
# By part, those that it needs as long as it can't see what it works on: an Infisical that answers
# is looked at and set right, whatever keeps its containers from being so.
_NEEDS_TO_SEE = {
    "Bootstrap": ("Stack", "Swarm", "Docker", "Data volume"),
    "Workspace": ("Bootstrap", "Stack", "Swarm", "Docker", "Data volume"),
    "Canary": ("Bootstrap", "Stack", "Swarm", "Docker", "Data volume"),
    "Credentials": ("Bootstrap", "Stack", "Swarm", "Docker", "Data volume"),
}
# Of the other nodes of a cluster, these need nothing.
_OF_EACH_HOST = ("Docker",)
# Containers go on with the files that Caddy has.
_ASIDE = "Stack | Configure the way in"


def part_of(name: str) -> str:
    """Return the part that an operation is of, by its whole name."""
    return name.partition(" | ")[0]


def needs(name: str, other: str, *, unseen: bool, same_host: bool = True) -> bool:
    """Return whether one operation can't go on where another, earlier one can't.

    Args:
        name: the one's, with its part before it, as in "Stack | Fetch the images".
        other: the other's, likewise; or a part, for all of it.
        unseen: whether the one could not see all that it works on.
        same_host: whether both are of the same host; else of two nodes of a cluster.
    """
    part, before = part_of(name), part_of(other)
    if part in _OF_EACH_HOST and not same_host:
        return False
    if other == part and same_host:
        return True
    if _ASIDE in (name, other) and part == before:
        return False
    return before in _NEEDS.get(part, ()) or (unseen and before in _NEEDS_TO_SEE.get(part, ()))


# One thing that an operation has decided: to tell a difference, or what it can't see; that there is
# nothing to do; or what is to be done.
Decided = Item | Unknown | UpToDate | PyinfraCommand


@dataclass
class Look:
    """The findings of one operation.

    Attributes:
        name: the operation's, with its part of the deploy before it: "Hardening | Harden SSH".
        items: what differs.
        stuck: what of it only a person can set right; all else is done.
        unknown: what it could not see.
        commands: what it will run.
        foreign: access that nothing in the file gives.
        sees_access: whether that was looked for.
        notes: sentences for whoever reads a plan.
        blocked: why it can't go on; empty if it can.
        waits_for: the operation that it can't go on without, where that one is blocked.
        is_alone: whether nothing waits for it where it is blocked.
    """

    name: str = ""
    items: list[Item] = field(default_factory=list)
    stuck: list[Item] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    commands: list[PyinfraCommand] = field(default_factory=list)
    foreign: list[Item] = field(default_factory=list)
    sees_access: bool = False
    notes: list[str] = field(default_factory=list)
    blocked: str = ""
    waits_for: str = ""
    is_alone: bool = False

    @property
    def part(self) -> str:
        """The part of the deploy that the operation is of."""
        return part_of(self.name)

    def take(self, decided: Decided) -> None:
        """Keep what the operation has decided."""
        match decided:
            case Item(kind="!"):
                self.stuck.append(decided)
            case Item():
                self.items.append(decided.read())
            case Unknown():
                self.unknown.append(decided)
            case UpToDate():
                host.noop(decided)
            case _:
                self.commands.append(decided)

    def block(self, sentence: str, *, waits_for: str = "") -> None:
        """Have the operation do nothing, for the reason that the sentence gives."""
        self.items, self.stuck, self.unknown, self.commands = [], [], [], []
        self.blocked, self.waits_for = sentence, waits_for


@dataclass
class Journal:
    """One run on one host.

    Attributes:
        looks: by operation, what it found.
        facts: what several operations look at, as read last.
        made_changes: the items of the operations that have run to their end.
        has_changed: whether a command that changes something has been sent.
        failure: the sentence that the run failed with.
        remedy: what helps then, if that is not to run again.
        event: what the audit log calls it.
        operator_notes: sentences for the operator's eyes alone, such as one with an invitation's link, to
            be printed once.
        notes: sentences for whoever reads a plan or is about to apply it.
        goes_on: whether the run does all the rest where one operation can't go on; else that ends
            the run, before anything has changed.
        kept: the images that go on running, where the change from them is refused.
        without: the services that can't run for what is so on the host; the others do.
        is_read: whether a command of this project shows the notes and what is blocked, and ends
            with status 1 for that; else pyinfra's log has them, and an operation fails at the end.
    """

    looks: dict[str, Look] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    made_changes: list[Item] = field(default_factory=list)
    has_changed: bool = False
    failure: str = ""
    remedy: str = ""
    event: Event = "apply"
    operator_notes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    goes_on: bool = False
    kept: Images | None = None
    without: frozenset[str] = frozenset()
    is_read: bool = False
    current: Look = field(default_factory=Look)

    @property
    def planned_changes(self) -> list[Item]:
        """The items of all operations, in their order."""
        return [item for look in self.looks.values() for item in look.items]

    @property
    def foreign(self) -> list[Item]:
        """Return the access that nothing in the file gives."""
        return [item for look in self.looks.values() for item in look.foreign]

    @property
    def sees_access(self) -> bool:
        """Return whether such access was looked for."""
        return any(look.sees_access for look in self.looks.values())

    @property
    def all_notes(self) -> list[str]:
        """Return the notes on the run, and those of its operations."""
        return [*self.notes, *self.access_notes]

    @property
    def access_notes(self) -> list[str]:
        """Return the notes on access: what of it could not be seen, and what is accepted in
        vain.
        """
        return [note for look in self.looks.values() for note in look.notes]

    @property
    def unknown(self) -> list[str]:
        """Return what can't be seen yet, each sentence once."""
        return list(dict.fromkeys(each for look in self.looks.values() for each in look.unknown))

    @property
    def blocked_parts(self) -> list[Item]:
        """The operations that can't go on, each with its reason; of a part that waits, one. Single
        objects that can't be set right are among them.
        """
        found: dict[tuple[str, str], Item] = {}
        for look in self.looks.values():
            for item in look.stuck:
                found.setdefault((item.what, item.detail), item)
            if look.blocked:
                what = look.part if look.waits_for else look.name.rpartition(" | ")[2]
                item = Item("!", what, f"blocked: {look.blocked}")
                found.setdefault((item.what, item.detail), item)
        return list(found.values())

    def block(self, name: str, sentence: str) -> None:
        """Have a part of the deploy blocked before any operation has looked."""
        self.looks[f"before {name} {sentence}"] = look = Look(name)
        look.block(sentence)

    def holds(self, operation: str) -> bool:
        """Return whether what an operation found is still what it would find.

        On a cluster, a change on one host may be seen from another.
        """
        look = self.looks.get(operation)
        return look is not None and not look.unknown and not has_changed_any_host()

    def look(self, operation: str, name: str, look_around: Callable[[], Iterable[Decided]]) -> Look:
        """Let an operation look at the host, to its end, and keep what it finds.

        Where the run goes on without an operation, its UserError is kept too, instead of raised.
        """
        before = self.looks.get(operation, Look())
        self.current = self.looks[operation] = look = Look(name)
        # What could not see what it works on for a part that is still blocked can't see it now.
        if missing := missing_for(look, unseen=bool(before.unknown or before.waits_for)):
            look.block(f"needs {missing!r}, which is blocked", waits_for=missing)
            return look
        try:
            for decided in look_around():
                look.take(decided)
        except UserError as error:
            if not self.goes_on or error.ends_run:
                raise
            look.block(str(error))
            look.is_alone = not error.blocks_others
        if missing := missing_for(look):
            look.block(f"needs {missing!r}, which is blocked", waits_for=missing)
        return look


_journals: dict[str, Journal] = {}


def current() -> Journal:
    return of(host.name)


def of(name: str) -> Journal:
    """The journal of a host, by its name."""
    return _journals.setdefault(name, Journal())


def has_changed_any_host() -> bool:
    """Return whether a command that changes something has been sent to any host."""
    return any(each.has_changed for each in _journals.values())


def missing_for(look: Look, *, unseen: bool = False) -> str:
    """Return the blocked operation that one of any host can't go on without; empty for none.

    It may not have seen what it works on before, and is `unseen` then.
    """
    if look.blocked:
        return ""
    unseen = unseen or bool(look.unknown)
    for run in _journals.values():
        same_host = any(each is look for each in run.looks.values())
        for each in run.looks.values():
            if (
                each.blocked
                and not each.is_alone
                and needs(look.name, each.name, unseen=unseen, same_host=same_host)
                and _comes_before(each.name, look.name)
            ):
                return each.waits_for or each.name.rpartition(" | ")[2]
    return ""


def _comes_before(name: str, other: str) -> bool:
    """Return whether one operation is called before another, on a host on which both are."""
    orders = ([look.name for look in run.looks.values()] for run in _journals.values())
    return any({name, other} <= {*each} and each.index(name) < each.index(other) for each in orders)


def block_waiting() -> None:
    """Block what waits for an operation that another host of the run was found to be blocked in."""
    runs = list(_journals.values())
    while waiting := [
        (look, missing)
        for run in runs
        for look in run.looks.values()
        if (missing := missing_for(look))
    ]:
        for look, missing in waiting:
            look.block(f"needs {missing!r}, which is blocked", waits_for=missing)


def foreign(found: Iterable[Item], notes: Iterable[str]) -> None:
    """Tell access that nothing in the file gives, and notes on it.

    It is no change, and keeps nothing from being done. Where no command of this project prints it,
    pyinfra's log has it.
    """
    look = current().current
    look.sees_access = True
    look.foreign.extend(found)
    look.notes.extend(notes)
    if not current().is_read and not state.is_executing:
        for each in (*look.foreign, *look.notes):
            logger.warning(f"{host.print_prefix}{each}")


def will_change(*whats: str) -> bool:
    """Return whether the run is still a plan in which one of `whats` changes."""
    return not state.is_executing and any(each.what in whats for each in current().planned_changes)


@dataclass(frozen=True)
class Journals:
    """Hold what a run would change and has changed on hosts.

    Attributes:
        journals: by the hosts' names, in the inventory's order. Where there are several, what is
            told of one holds its name.
        operations: in the order in which they run; empty for that of a single host.
    """

    journals: dict[str, Journal]
    operations: Sequence[str] = ()

    @property
    def planned_changes(self) -> list[Item]:
        """The items of all operations, in their order, and host by host."""
        return [item for _, items in self.planned_steps for item in items]

    @property
    def planned_steps(self) -> list[tuple[str, list[Item]]]:
        """The steps that would change something, each with its items, host by host."""
        if self._several:
            looks = [
                (journal.looks[operation], name)
                for operation in self.operations
                for name, journal in self.journals.items()
                if operation in journal.looks
            ]
        else:
            looks = [
                (look, "") for journal in self.journals.values() for look in journal.looks.values()
            ]
        steps: list[tuple[str, list[Item]]] = []
        for look, host_name in looks:
            items = (
                [replace(item, host=host_name) for item in look.items] if host_name else look.items
            )
            if items and steps and steps[-1][0] == look.name:
                steps[-1][1].extend(items)
            elif items:
                steps.append((look.name, [*items]))
        return steps

    @property
    def blocked_parts(self) -> list[Item]:
        """The parts of the deploy that can't go on, host by host."""
        return [
            replace(item, host=name) if self._several else item
            for name, journal in self.journals.items()
            for item in journal.blocked_parts
        ]

    @property
    def foreign(self) -> list[Item]:
        """Return the access that nothing in the file gives, which is the same for all hosts."""
        return [item for journal in self.journals.values() for item in journal.foreign]

    @property
    def sees_access(self) -> bool:
        """Return whether such access was looked for."""
        return any(journal.sees_access for journal in self.journals.values())

    @property
    def access_notes(self) -> list[str]:
        """Return the notes on access of all hosts."""
        return [note for journal in self.journals.values() for note in journal.access_notes]

    @property
    def made_changes(self) -> list[Item]:
        """Return what has been made on all hosts, host by host."""
        return self.changes_since({})

    def changes_since(self, before: dict[str, int]) -> list[Item]:
        """Return what has been made after so many items, by host."""
        return [
            replace(item, host=name) if self._several else item
            for name, journal in self.journals.items()
            for item in journal.made_changes[before.get(name, 0) :]
        ]

    def counts(self) -> dict[str, int]:
        """Return how many items have been made, by host."""
        return {name: len(journal.made_changes) for name, journal in self.journals.items()}

    @property
    def unknown(self) -> list[str]:
        """Return what can't be seen yet, each once; with the host's name if not so on all."""
        return self._sentences(lambda journal: journal.unknown)

    @property
    def operator_notes(self) -> list[str]:
        """The sentences for the operator's eyes alone, likewise."""
        return self._sentences(lambda journal: journal.operator_notes)

    @property
    def notes(self) -> list[str]:
        """The notes on the plan, likewise."""
        return self._sentences(lambda journal: journal.all_notes)

    def _sentences(self, read: Callable[[Journal], list[str]]) -> list[str]:
        if not self._several:
            return [each for journal in self.journals.values() for each in read(journal)]
        found: dict[str, list[str]] = {}
        for name, each in self.journals.items():
            for sentence in read(each):
                found.setdefault(sentence, []).append(name)
        return with_names(found, of=len(self.journals))

    @property
    def remedy(self) -> str:
        """Return what helps where the run failed; empty if that is to run again."""
        return next((each.remedy for each in self.journals.values() if each.remedy), "")

    def failure(self, names: Sequence[str]) -> str:
        """Return why the run failed on these hosts."""
        if not self._several:
            return "; ".join(self.journals[name].failure for name in names)
        return "; ".join(f"{name}: {self.journals[name].failure}" for name in names)

    @property
    def _several(self) -> bool:
        return len(self.journals) > 1
