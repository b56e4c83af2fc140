"""The proof: what Infisical gives back, compared byte for byte with what was sent."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from infisical_iac.migrate.findings import REFERENCE, trimmed
from infisical_iac.migrate.fingerprint import encoded
from infisical_iac.migrate.secret import Name, Secret, Stored

Expanded = Literal["same", "differs", "unknown"]


@dataclass(frozen=True)
class Proof:
    """Hold what came back for one secret.

    Attributes:
        plain: whether the value as it is stored is the very one.
        expanded: whether it is the same for whoever reads it with references replaced.
        difference: how it differs, without anything of the value.
    """

    secret: Secret
    plain: Literal["same", "differs", "missing", "hidden"]
    expanded: Expanded = "unknown"
    difference: str = ""

    @property
    def holds(self) -> bool:
        """Return whether the service gets the value that it had; a literal one is read
        unexpanded.
        """
        return self.plain == "same" and (self.expanded != "differs" or self.secret.is_literal)


def prove(
    secrets: Iterable[Secret],
    plain: Mapping[Name, Stored],
    expanded: Mapping[Name, Stored] | None,
) -> list[Proof]:
    """Compare each secret with what was read.

    Args:
        plain: what is stored.
        expanded: the same with references replaced; None if it could not be read.
    """
    return [_prove(each, plain.get(each.name), expanded) for each in secrets]


def _prove(secret: Secret, there: Stored | None, expanded: Mapping[Name, Stored] | None) -> Proof:
    if there is None:
        return Proof(secret, "missing", difference="it is not there")
    if there.is_hidden:
        return Proof(secret, "hidden", difference="its value is not shown to the deployer")
    how = _expanded(secret, (expanded or {}).get(secret.name))
    if there.value != secret.value:
        return Proof(secret, "differs", how, _difference(secret.value, there.value))
    told = "a part of it is replaced for who reads it expanded" if how == "differs" else ""
    return Proof(secret, "same", how, told)


def _expanded(secret: Secret, there: Stored | None) -> Expanded:
    if there is None or there.is_hidden:
        return "unknown"
    return "same" if there.value == secret.value else "differs"


def _difference(sent: str, back: str) -> str:
    """Return how two values differ, without showing anything of them."""
    lengths = f"{len(encoded(back))} bytes instead of {len(encoded(sent))}"
    if back == trimmed(sent):
        return f"blanks at its ends were trimmed: {lengths}"
    if REFERENCE.search(sent) and _is_expanded(sent, back):
        return f"what looks like a reference was replaced: {lengths}"
    if sent.startswith(back):
        return f"its end is missing: {lengths}"
    at = next((n for n, (a, b) in enumerate(zip(sent, back, strict=False)) if a != b), len(sent))
    return f"it is another one from character {at + 1} on: {lengths}"


def _is_expanded(sent: str, back: str) -> bool:
    first, *_, last = REFERENCE.split(sent)
    return back.startswith(first) and back.endswith(last)
