"""Record the planned and the made changes of a run.

Each operation reports its changes while it inspects the host. Until the run makes its first
change, these are the plan.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pyinfra import logger
from pyinfra.api.command import PyinfraCommand
from pyinfra.context import host, state

from infisical_iac.core.audit_entries import Event
from infisical_iac.core.change import Change, Unknown, UpToDate, with_names
from infisical_iac.core.errors import UserError
from infisical_iac.core.images import Images

# The parts that each part of the deploy needs. In a part that needs itself, each operation needs
# the earlier ones.
_NEEDS = {
    # Without the volume, Docker would create its data on the host's own disk.
    "Docker": ("Docker", "Data volume"),
    # The firewall keeps the nodes' traffic from everybody else.
    "Swarm": ("Swarm", "Docker", "Firewall"),
    # Compose needs the keys for every file, and containers start only after a change of version.
    "Stack": ("Stack", "Swarm", "Docker", "Data volume"),
    # The rules stay while the containers call private addresses.
    "Egress": ("Stack",),
    # The edge may be closed because of an unfinished change of the stack.
    "Ingress": ("Stack",),
    # Sharing would copy the leader's losses to all nodes.
    "Share": ("Stack", "Swarm"),
    # Credentials need the identities of the project.
    "Credentials": ("Workspace",),
}
# The parts that each part needs only while it can't inspect its objects. As long as Infisical
# answers, its content is compared and changed, even if its containers are blocked.
_NEEDS_TO_SEE = {
    "Bootstrap": ("Stack", "Swarm", "Docker", "Data volume"),
    "Workspace": ("Bootstrap", "Stack", "Swarm", "Docker", "Data volume"),
    "Canary": ("Bootstrap", "Stack", "Swarm", "Docker", "Data volume"),
    "Credentials": ("Bootstrap", "Stack", "Swarm", "Docker", "Data volume"),
    "Sign-in": ("Bootstrap", "Stack", "Swarm", "Docker", "Data volume"),
}
# Parts that need nothing of the cluster's other nodes.
_OF_EACH_HOST = ("Docker",)
# Independent of the rest of the Stack: containers keep running with the files that Caddy has.
_ASIDE = "Stack | Configure the ingress"


def part_of(name: str) -> str:
    """Return the part of the deploy that an operation belongs to, by its full name."""
    return name.partition(" | ")[0]


def needs(name: str, other: str, *, unseen: bool, same_host: bool = True) -> bool:
    """Return whether an operation can't run while another, earlier one is blocked.

    Args:
        name: the operation, with its part: "Stack | Fetch the images".
        other: the blocked operation, likewise; or only a part, if all of it is blocked.
        unseen: whether the operation could not see all that it works on.
        same_host: whether both are on the same host; else they are on two nodes of a cluster.
    """
    part, before = part_of(name), part_of(other)
    if part in _OF_EACH_HOST and not same_host:
        return False
    if other == part and same_host:
        return True
    if _ASIDE in (name, other) and part == before:
        return False
    return before in _NEEDS.get(part, ()) or (unseen and before in _NEEDS_TO_SEE.get(part, ()))


# The decisions of an operation: a difference, something that can't be seen yet, that nothing is to
# be done, or a command to run.
Decided = Change | Unknown | UpToDate | PyinfraCommand


@dataclass
class OperationPlan:
    """The plan of one operation on one host.

    Attributes:
        name: the operation, with its part of the deploy: "Hardening | Harden SSH".
        changes: the differences that it removes.
        made_before: the differences of its first plan that earlier operations of the run have
            removed, such as a unit that the installation of its package has started.
        stuck: the differences that only a person can remove; the operation does all the rest.
        unknown: sentences on what it can't see yet.
        commands: the commands that make the changes.
        foreign: access to the project that the project file does not grant.
        sees_access: whether the operation searched for such access.
        notes: sentences for people who read a plan.
        blocked: the reason why it can't run; empty if it can.
        waits_for: the blocked operation that it needs, if that is the reason.
        blocks_others: whether operations that need this one are blocked with it.
    """

    name: str = ""
    changes: list[Change] = field(default_factory=list)
    made_before: list[Change] = field(default_factory=list)
    stuck: list[Change] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    commands: list[PyinfraCommand] = field(default_factory=list)
    foreign: list[Change] = field(default_factory=list)
    sees_access: bool = False
    notes: list[str] = field(default_factory=list)
    blocked: str = ""
    waits_for: str = ""
    blocks_others: bool = True

    @property
    def part(self) -> str:
        """The part of the deploy that the operation belongs to."""
        return part_of(self.name)

    def take(self, decided: Decided) -> None:
        """Add what the operation has decided."""
        match decided:
            case Change(kind="!"):
                self.stuck.append(decided)
            case Change():
                self.changes.append(decided.read())
            case Unknown():
                self.unknown.append(decided)
            case UpToDate():
                host.noop(decided)
            case _:
                self.commands.append(decided)

    def block(self, sentence: str, *, waits_for: str = "") -> None:
        """Discard the plan, for the reason that the sentence gives."""
        self.changes, self.stuck, self.unknown, self.commands = [], [], [], []
        self.blocked, self.waits_for = sentence, waits_for


@dataclass
class Journal:
    """One run on one host.

    Attributes:
        plans: the plan of each operation, by the operation's id.
        facts: facts that several operations read, as read last.
        answers: what the agent answered ahead of the operations, by its calls.
        made_changes: the changes of the operations that have succeeded. All planned ones are among
            them, also those that an earlier operation made without having planned them itself.
        has_changed: whether a command that changes something has been sent.
        failure: the sentence that the run failed with.
        remedy: what to do about the failure; empty for another run.
        event: the name of the run's kind in the audit log.
        operator_notes: sentences for the operator only, such as one with an invitation's link. They
            are printed once.
        notes: sentences for people who read a plan, or are about to apply it.
        goes_on: whether the run does all the rest if an operation is blocked; else the run ends
            before anything has changed.
        kept: the images that keep running, where a change of version is refused.
        without: the services that can't run on this host as it is; the others do.
        is_read: whether a command of this project prints the notes and the blocked parts, and exits
            with 1 for them. Else they go into pyinfra's log, and the last operation fails.
        current_plan: the plan of the operation that inspects the host now.
    """

    plans: dict[str, OperationPlan] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    answers: dict[Any, Any] = field(default_factory=dict)
    made_changes: list[Change] = field(default_factory=list)
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
    current_plan: OperationPlan = field(default_factory=OperationPlan)

    @property
    def planned_changes(self) -> list[Change]:
        """The changes of all operations, in their order."""
        return [change for plan in self.plans.values() for change in plan.changes]

    @property
    def foreign(self) -> list[Change]:
        """The access to the project that the project file does not grant."""
        return [access for plan in self.plans.values() for access in plan.foreign]

    @property
    def sees_access(self) -> bool:
        """True if an operation searched for such access."""
        return any(plan.sees_access for plan in self.plans.values())

    @property
    def all_notes(self) -> list[str]:
        """The notes on the run, and those of its operations."""
        return [*self.notes, *self.access_notes]

    @property
    def access_notes(self) -> list[str]:
        """The notes on access: on access that can't be read, and on exceptions that match none."""
        return [note for plan in self.plans.values() for note in plan.notes]

    @property
    def unknown(self) -> list[str]:
        """The sentences on what can't be seen yet, each once."""
        return list(dict.fromkeys(each for plan in self.plans.values() for each in plan.unknown))

    @property
    def blocked_parts(self) -> list[Change]:
        """The blocked operations with their reasons, and objects that only a person can correct.

        A part that waits for another one is listed once, not once for each operation.
        """
        found: dict[tuple[str, str], Change] = {}
        for plan in self.plans.values():
            for change in plan.stuck:
                found.setdefault((change.what, change.detail), change)
            if plan.blocked:
                what = plan.part if plan.waits_for else plan.name.rpartition(" | ")[2]
                change = Change("!", what, f"blocked: {plan.blocked}")
                found.setdefault((change.what, change.detail), change)
        return list(found.values())

    def block(self, name: str, sentence: str) -> None:
        """Block a part of the deploy before any operation has inspected the host."""
        self.plans[f"before {name} {sentence}"] = plan = OperationPlan(name)
        plan.block(sentence)

    def is_current(self, operation: str) -> bool:
        """Return whether an operation's plan is still valid.

        A change on any host of a cluster invalidates it, as another host may observe that change.
        """
        plan = self.plans.get(operation)
        return plan is not None and not plan.unknown and not has_changed_any_host()

    def plan(
        self, operation: str, name: str, decide: Callable[[], Iterable[Decided]]
    ) -> OperationPlan:
        """Have an operation inspect the host, and keep its plan.

        Args:
            operation: the operation's id.
            name: its full name, with the part of the deploy.
            decide: inspects the host, and yields what is to be done.

        If the run goes on without blocked operations, a UserError of `decide` is the reason why
        this one is blocked; else it is raised.
        """
        before = self.plans.get(operation, OperationPlan())
        self.current_plan = self.plans[operation] = plan = OperationPlan(name)
        # While a part is blocked, the operation can't inspect what that part has hidden from it.
        if missing := missing_for(plan, unseen=bool(before.unknown or before.waits_for)):
            plan.block(f"needs {missing!r}, which is blocked", waits_for=missing)
            return plan
        try:
            for decided in decide():
                plan.take(decided)
        except UserError as error:
            if not self.goes_on or error.ends_run:
                raise
            plan.block(str(error))
            plan.blocks_others = error.blocks_others
        if missing := missing_for(plan):
            plan.block(f"needs {missing!r}, which is blocked", waits_for=missing)
        if not state.is_executing:
            # Two operations may need one file: whichever runs first writes it.
            others = [each for other, each in self.plans.items() if other != operation]
            # A change of an object inside Infisical has no hash.
            planned = {(str(change), change.diff) for each in others for change in each.changes}
            plan.changes = [each for each in plan.changes if (str(each), each.diff) not in planned]
        if not plan.blocked:
            # Compared by name, because the reason of the same change may differ between two plans.
            left = [change.what for change in plan.changes]
            for change in before.changes:
                if change.what in left:
                    left.remove(change.what)
                else:
                    plan.made_before.append(change)
        return plan


_journals: dict[str, Journal] = {}


def current() -> Journal:
    return of(host.name)


def of(name: str) -> Journal:
    """Return the journal of a host, by the host's name."""
    return _journals.setdefault(name, Journal())


def has_changed_any_host() -> bool:
    """Return whether a command that changes something has been sent to any host."""
    return any(each.has_changed for each in _journals.values())


def missing_for(plan: OperationPlan, *, unseen: bool = False) -> str:
    """Return the blocked operation, of any host, that an operation can't run without.

    The result is empty if there is none, or if the operation is blocked already.

    Args:
        unseen: whether the operation could not see what it works on in an earlier attempt.
    """
    if plan.blocked:
        return ""
    unseen = unseen or bool(plan.unknown)
    for run in _journals.values():
        same_host = any(each is plan for each in run.plans.values())
        for each in run.plans.values():
            if (
                each.blocked
                and each.blocks_others
                and needs(plan.name, each.name, unseen=unseen, same_host=same_host)
                and _comes_before(each.name, plan.name)
            ):
                return each.waits_for or each.name.rpartition(" | ")[2]
    return ""


def _comes_before(name: str, other: str) -> bool:
    """Return whether an operation is called before another one, on any host that has both."""
    orders = ([plan.name for plan in run.plans.values()] for run in _journals.values())
    return any({name, other} <= {*each} and each.index(name) < each.index(other) for each in orders)


def block_waiting() -> None:
    """Block the operations that need an operation which is blocked on another host."""
    runs = list(_journals.values())
    while waiting := [
        (plan, missing)
        for run in runs
        for plan in run.plans.values()
        if (missing := missing_for(plan))
    ]:
        for plan, missing in waiting:
            plan.block(f"needs {missing!r}, which is blocked", waits_for=missing)


def foreign(found: Iterable[Change], notes: Iterable[str]) -> None:
    """Report access to the project that the project file does not grant, and notes on it.

    It is not a change, and blocks nothing. If no command of this project prints it, pyinfra's log
    has it.
    """
    plan = current().current_plan
    plan.sees_access = True
    plan.foreign.extend(found)
    plan.notes.extend(notes)
    if not current().is_read and not state.is_executing:
        for each in (*plan.foreign, *plan.notes):
            logger.warning(f"{host.print_prefix}{each}")


def will_change(*whats: str) -> bool:
    """Return whether the run is still a plan in which one of `whats` changes."""
    return not state.is_executing and any(each.what in whats for each in current().planned_changes)


def part_will_change(part: str) -> bool:
    """Return whether the run is still a plan in which a part of the deploy changes something."""
    plans = [plan for plan in current().plans.values() if plan.part == part]
    return not state.is_executing and any(
        plan.changes or plan.unknown or plan.blocked for plan in plans
    )


@dataclass(frozen=True)
class Journals:
    """The journals of all hosts of a run.

    Where there are several hosts, changes and sentences carry the names of theirs.

    Attributes:
        journals: by the hosts' names, in the inventory's order.
        operations: the operations' ids, in the order in which they run; empty for a single host.
    """

    journals: dict[str, Journal]
    operations: Sequence[str] = ()

    @property
    def planned_changes(self) -> list[Change]:
        """The changes of all operations, in their order, and host by host."""
        return [change for _, changes in self.planned_steps for change in changes]

    @property
    def planned_steps(self) -> list[tuple[str, list[Change]]]:
        """The steps that would change something, each with its changes, host by host."""
        if self._several:
            plans = [
                (journal.plans[operation], name)
                for operation in self.operations
                for name, journal in self.journals.items()
                if operation in journal.plans
            ]
        else:
            plans = [
                (plan, "") for journal in self.journals.values() for plan in journal.plans.values()
            ]
        steps: list[tuple[str, list[Change]]] = []
        for plan, host_name in plans:
            changes = (
                [replace(change, host=host_name) for change in plan.changes]
                if host_name
                else plan.changes
            )
            if changes and steps and steps[-1][0] == plan.name:
                steps[-1][1].extend(changes)
            elif changes:
                steps.append((plan.name, [*changes]))
        return steps

    @property
    def blocked_parts(self) -> list[Change]:
        """The parts of the deploy that are blocked, host by host."""
        return [
            replace(change, host=name) if self._several else change
            for name, journal in self.journals.items()
            for change in journal.blocked_parts
        ]

    @property
    def foreign(self) -> list[Change]:
        """The access that the project file does not grant, which is the same for all hosts."""
        return [change for journal in self.journals.values() for change in journal.foreign]

    @property
    def sees_access(self) -> bool:
        """True if an operation searched for such access."""
        return any(journal.sees_access for journal in self.journals.values())

    @property
    def access_notes(self) -> list[str]:
        """The notes on access of all hosts."""
        return [note for journal in self.journals.values() for note in journal.access_notes]

    @property
    def made_changes(self) -> list[Change]:
        """The changes that were made, host by host."""
        return self.changes_since({})

    def changes_since(self, before: dict[str, int]) -> list[Change]:
        """Return the changes that were made since, host by host.

        Args:
            before: by host, the number of changes that are left out, as `counts` returned it.
        """
        return [
            replace(change, host=name) if self._several else change
            for name, journal in self.journals.items()
            for change in journal.made_changes[before.get(name, 0) :]
        ]

    def counts(self) -> dict[str, int]:
        """Return the number of changes that were made, by host."""
        return {name: len(journal.made_changes) for name, journal in self.journals.items()}

    @property
    def unknown(self) -> list[str]:
        """The sentences on what can't be seen yet, each once."""
        return self._sentences(lambda journal: journal.unknown)

    @property
    def operator_notes(self) -> list[str]:
        """The notes shown only to the operator, such as invitation links, without duplicates."""
        return self._sentences(lambda journal: journal.operator_notes)

    @property
    def notes(self) -> list[str]:
        """The notes on the plan, each once."""
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
        """The remedy for a failure; empty for another run."""
        return next((each.remedy for each in self.journals.values() if each.remedy), "")

    def failure(self, names: Sequence[str]) -> str:
        """Return the reasons why the run failed on these hosts."""
        if not self._several:
            return "; ".join(self.journals[name].failure for name in names)
        return "; ".join(f"{name}: {self.journals[name].failure}" for name in names)

    @property
    def _several(self) -> bool:
        return len(self.journals) > 1
