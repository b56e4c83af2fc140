"""The journals of one run on all its hosts, as one; those of a single host are as they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from infisical_iac.core.item import Item
from infisical_iac.core.journal import Journal


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
    def planned(self) -> list[Item]:
        """The items of all operations, in their order, and host by host."""
        if not self._several:
            return [item for journal in self.journals.values() for item in journal.planned]
        return [
            replace(item, host=name)
            for operation in self.operations
            for name, journal in self.journals.items()
            if operation in journal.looks
            for item in journal.looks[operation].items
        ]

    @property
    def blocked(self) -> list[Item]:
        """The parts of the deploy that can't go on, host by host."""
        return [
            replace(item, host=name) if self._several else item
            for name, journal in self.journals.items()
            for item in journal.blocked
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
    def made(self) -> list[Item]:
        """Return what has been made on all hosts, host by host."""
        return self.made_since({})

    def made_since(self, before: dict[str, int]) -> list[Item]:
        """Return what has been made after so many items, by host."""
        return [
            replace(item, host=name) if self._several else item
            for name, journal in self.journals.items()
            for item in journal.made[before.get(name, 0) :]
        ]

    def counts(self) -> dict[str, int]:
        """Return how many items have been made, by host."""
        return {name: len(journal.made) for name, journal in self.journals.items()}

    @property
    def unknown(self) -> list[str]:
        """Return what can't be seen yet, each sentence once; with the host's name if not so on
        all.
        """
        return self._sentences(lambda journal: journal.unknown)

    @property
    def shown(self) -> list[str]:
        """The sentences for the operator's eyes alone, likewise."""
        return self._sentences(lambda journal: journal.shown)

    @property
    def notes(self) -> list[str]:
        """The notes on the plan, likewise."""
        return self._sentences(lambda journal: journal.told)

    def _sentences(self, read: Callable[[Journal], list[str]]) -> list[str]:
        if not self._several:
            return [each for journal in self.journals.values() for each in read(journal)]
        found: dict[str, list[str]] = {}
        for name, each in self.journals.items():
            for sentence in read(each):
                found.setdefault(sentence, []).append(name)
        return [
            sentence if len(names) == len(self.journals) else f"{', '.join(names)}: {sentence}"
            for sentence, names in found.items()
        ]

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
