"""Compare items of plans and runs without the wording of their details."""

from __future__ import annotations

from infisical_iac.core.change import Change, Kind

_KINDS: dict[str, Kind] = {"+": "+", "~": "~", "-": "-", "!": "!", "*": "*"}


class Expected:
    """An item of a kind and an object, whose detail holds facts in any wording.

    It equals each such item, so that a detail may be worded better without breaking a test. Without
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
    """Return the item that a command printed as a line; its object must not hold a colon."""
    kind, _, rest = line.partition(" ")
    what, _, detail = rest.partition(": ")
    return Change(_KINDS[kind], what, detail)
