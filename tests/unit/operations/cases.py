"""Describe the decisions that an operation must make on observed states of the host."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from inspect import getclosurevars
from typing import Any, NamedTuple

from pyinfra.api.command import FunctionCommand

from infisical_iac.core.change import Change, Unknown, UpToDate
from infisical_iac.core.errors import UserError


@dataclass(frozen=True)
class Case:
    """A decision and its expected result.

    Attributes:
        decide: makes the decision.
        items: the expected changes as texts, in their order.
        steps: for each expected step its `doing`, or else the name of its function.
        unknown: the sentence on the state that can't be inspected; empty if all is known.
        up_to_date: the sentence on why there is nothing to do; empty if there are steps.
        refused: the class of the error that refuses the state; None if it is not refused.
        fact: a part of the error's sentence, such as a path.
    """

    decide: Callable[[], Iterable[Any]]
    items: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    unknown: str = ""
    up_to_date: str = ""
    refused: type[UserError] | None = None
    fact: str = ""


class Cases(NamedTuple):
    """The four cases of an operation; a sentence gives the reason why its case can't exist."""

    up_to_date: Case | str
    differs: Case | str
    absent: Case | str
    unknown: Case | str


def noop(decide: Callable[[], Iterable[Any]], sentence: str) -> Case:
    """Return a decision to do nothing."""
    return Case(decide, up_to_date=sentence)


def due(
    decide: Callable[[], Iterable[Any]],
    *items: str,
    steps: tuple[str, ...],
    unknown: str = "",
) -> Case:
    """Return a decision with changes or steps."""
    return Case(decide, items, steps, unknown)


def refusal(decide: Callable[[], Iterable[Any]], error: type[UserError], fact: str) -> Case:
    """Return a decision that refuses the state."""
    return Case(decide, refused=error, fact=fact)


def of(operation: Any) -> Callable[..., Iterable[Any]]:
    """Return the decision of an operation, which depends on its arguments only."""
    decision: Callable[..., Iterable[Any]] = operation._inner.__wrapped__
    return decision


def decide(case: Case) -> Case:
    """Make the decision of a case, and return its result as a case."""
    found: list[Any] = []
    try:
        for each in case.decide():
            found.append(each)
    except UserError as error:
        if case.refused is None or case.fact not in str(error):
            raise
        return Case(case.decide, refused=type(error), fact=case.fact)
    return Case(
        case.decide,
        tuple(str(each) for each in found if isinstance(each, Change)),
        tuple(_steps(found)),
        "; ".join(each for each in found if isinstance(each, Unknown)),
        "; ".join(each for each in found if isinstance(each, UpToDate)),
    )


def _steps(found: Iterable[Any]) -> Iterator[str]:
    for each in found:
        if isinstance(each, FunctionCommand):
            known = getclosurevars(each.function).nonlocals
            yield known["kwargs"].get("doing") or known["function"].__name__
