"""What a run would change and what it has changed, item by item.

Operations tell their items while they look at the host. What they told before anything has
changed makes up the plan, and holds until the run makes its first change.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from pyinfra.api.command import PyinfraCommand
from pyinfra.context import host, state

from infisical_iac.auditing import Event
from infisical_iac.item import Item, Kind


@dataclass
class Look:
    """What one operation found: its items, what it could not see, and what it will run."""

    items: list[Item] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    commands: list[PyinfraCommand] = field(default_factory=list)


@dataclass
class Journal:
    """One run on one host.

    Attributes:
        looks: by operation, what it found.
        facts: what several operations look at, as read last.
        made: the items of the operations that have run to their end.
        changed: whether a command that changes something has been sent.
        failure: the sentence that the run failed with.
        remedy: what helps then, if that is not to run again.
        event: what the audit log calls it.
        shown: sentences for the operator's eyes alone, such as one with an invitation's link, to
            be printed once.
    """

    looks: dict[str, Look] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    made: list[Item] = field(default_factory=list)
    changed: bool = False
    failure: str = ""
    remedy: str = ""
    event: Event = "apply"
    shown: list[str] = field(default_factory=list)
    current: Look = field(default_factory=Look)

    @property
    def planned(self) -> list[Item]:
        """The items of all operations, in their order."""
        return [item for look in self.looks.values() for item in look.items]

    @property
    def unknown(self) -> list[str]:
        """What can't be seen yet, each sentence once."""
        return list(dict.fromkeys(each for look in self.looks.values() for each in look.unknown))

    def holds(self, operation: str) -> bool:
        """Whether what an operation found is still what it would find.

        On a cluster, a change on one host may be seen from another.
        """
        look = self.looks.get(operation)
        return look is not None and not look.unknown and not changed()

    def look(self, operation: str, look_around: Callable[[], Iterable[PyinfraCommand]]) -> Look:
        """Let an operation look at the host, to its end, and keep what it finds."""
        self.current = self.looks[operation] = Look()
        self.current.commands.extend(look_around())
        return self.current


_journals: dict[str, Journal] = {}


def current() -> Journal:
    """The journal of the current host."""
    return of(host.name)


def of(name: str) -> Journal:
    """The journal of a host, by its name."""
    return _journals.setdefault(name, Journal())


def changed() -> bool:
    """Whether a command that changes something has been sent to any host."""
    return any(each.changed for each in _journals.values())


def item(kind: Kind, what: str, detail: str = "", diff: str = "") -> None:
    """Tell a difference that the current operation has found."""
    items([Item(kind, what, detail, diff=diff)])


def items(found: Iterable[Item]) -> None:
    """Tell differences that are items already."""
    current().current.items.extend(found)


def unknown(sentence: str) -> None:
    """Tell what the current operation can't see before earlier ones have done their work."""
    current().current.unknown.append(sentence)


def will_change(*whats: str) -> bool:
    """Whether the run is still a plan in which one of `whats` changes."""
    return not state.is_executing and any(each.what in whats for each in current().planned)
