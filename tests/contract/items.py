"""Compare changes of plans and runs without the wording of their details."""

from __future__ import annotations

from infisical_iac.core.change import Change, Kind

_KINDS: dict[str, Kind] = {"+": "+", "~": "~", "-": "-", "!": "!", "*": "*"}


class Expected:
    """An expected change of a kind and an object, whose detail contains facts in any wording.

    It equals every such change, so that details can be reworded without breaking a test. Without
    facts the detail must be empty.
    """

    def __init__(self, kind: Kind, what: str, *facts: str) -> None:
        self.kind, self.what, self.facts = kind, what, facts

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Change):
            return NotImplemented
        if (self.kind, self.what) != (other.kind, other.what):
            return False
        return all(each in other.detail for each in self.facts) and bool(
            self.facts or not other.detail
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Expected{(self.kind, self.what, *self.facts)}"


def parse(line: str) -> Change:
    """Return the change that a command printed as a line; its object must not hold a colon."""
    kind, _, rest = line.partition(" ")
    what, _, detail = rest.partition(": ")
    return Change(_KINDS[kind], what, detail)


def parse_all(output: str) -> list[Change]:
    """Return the changes that a command printed, without the count and the next step after them."""
    return [parse(each) for each in output.splitlines() if each.partition(" ")[0] in _KINDS]
