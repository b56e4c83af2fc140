"""Decide what becomes of a key: the default of a plan, and what a plan may not decide."""

from collections.abc import Collection
from typing import TypeVar

from infisical_iac.migrate.batches import LONGEST_ITEM, size
from infisical_iac.migrate.findings import REFERENCE, shown, trimmed
from infisical_iac.migrate.fingerprint import encoded
from infisical_iac.migrate.model import FileFinding
from infisical_iac.migrate.plan_file import Decision, FileDecision, PlannedFinding

_LONGEST_NAME = 500
_NOT_MOVED = frozenset({"bootstrap-key", "overridden"})
_Any = TypeVar("_Any", Decision, FileDecision)
Findings = Collection[FileFinding] | Collection[PlannedFinding]


def default(findings: Collection[FileFinding], *, allow_literal: bool) -> Decision:
    """Return what a plan says of a key about which these are the findings, unless a person decides.

    Args:
        allow_literal: whether a value with a reference that Infisical would replace is stored.
    """
    kinds = {each.kind for each in findings}
    blocking = {each.kind for each in findings if each.blocking}
    if not kinds.isdisjoint(_NOT_MOVED):
        return "skip"
    if allow_literal and blocking == {"literal-reference"}:
        return "store-literal"
    if blocking:
        return "undecided"
    return "store-resolved" if "resolved" in kinds else "store"


def of_file(findings: Collection[FileFinding]) -> FileDecision:
    """Return what a plan says of a file about the whole of which these are the findings."""
    return "undecided" if any(each.blocking for each in findings) else "store"


def kept(fresh: _Any, earlier: _Any, found: Findings, found_then: Findings) -> _Any:
    """Return what a new plan says of what has not changed since an earlier plan.

    What a person decided then stays, also against a default to skip, unless something was found
    since of which they knew nothing; what was a default, to skip among them, may have become
    another.

    Args:
        found: what is found now.
        found_then: what was in the earlier plan.
    """
    if earlier == "skip":
        was_default = not _NOT_MOVED.isdisjoint(each.kind for each in found_then)
        return fresh if was_default else earlier
    known = {each.kind for each in found} <= {each.kind for each in found_then}
    was_decided = earlier != "undecided" and known
    return earlier if fresh in ("undecided", "skip") and was_decided else fresh


def refusal(decision: Decision, key: str, value: str) -> str:
    """Return why a decision can't be carried out, with the remedy; "" if it can."""
    if decision == "skip":
        return ""
    if decision == "undecided":
        return "is undecided; write its decision into the plan"
    why = impossible(key, value)
    if why:
        return f"{why}; decide `skip`, or change the file and plan again"
    if REFERENCE.search(value) and decision != "store-literal":
        return "has ${…}, which Infisical would replace; decide `store-literal` or `skip`"
    return ""


def impossible(key: str, value: str) -> str:
    """Return why Infisical can't hold a value as it is under this name; "" if it can."""
    if not shown(key, value) or ":" in key or "/" in key:
        return "has a name that Infisical does not take, or that may be a piece of a value"
    if len(encoded(key)) > _LONGEST_NAME:
        return f"has a name of more than {_LONGEST_NAME} bytes, which Infisical does not take"
    if trimmed(value) != value:
        return "begins or ends with blanks, which Infisical would trim"
    if any("\ud800" <= each <= "\udfff" for each in value):
        return "holds bytes that are no UTF-8, which Infisical does not take"
    if size({"secretKey": key, "secretValue": value}) > LONGEST_ITEM:
        return "is too long for a request"
    return ""
