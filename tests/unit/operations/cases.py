"""Cases of an operation's decision on the observed state of the host."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from inspect import getclosurevars
from typing import Any, NamedTuple

from pyinfra.api.command import FunctionCommand

from infisical_iac.core.change import Change, Unknown, UpToDate
from infisical_iac.core.errors import UserError


@dataclass(frozen=True)
class Case:
    """One decision, and what it has to be.

    Attributes:
        decide: makes the decision.
        items: the differences, as people read them, in their order.
        steps: what is to be done, as `doing` says it, or the name of the function that does it.
        unknown: the sentence on what can't be seen; empty for none.
        up_to_date: the sentence on why there is nothing to do; empty where there is something.
        refused: the error that it ends with, None for none.
        fact: a part of that error's sentence, such as a path.
    """

    decide: Callable[[], Iterable[Any]]
    items: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    unknown: str = ""
    up_to_date: str = ""
    refused: type[UserError] | None = None
    fact: str = ""


class Cases(NamedTuple):
    """The four cases of an operation; one that can't exist is the sentence that says why."""

    up_to_date: Case | str
    differs: Case | str
    absent: Case | str
    unknown: Case | str


def noop(decide: Callable[[], Iterable[Any]], sentence: str) -> Case:
    """A decision to do nothing."""
    return Case(decide, up_to_date=sentence)


def due(
    decide: Callable[[], Iterable[Any]],
    *items: str,
    steps: tuple[str, ...],
    unknown: str = "",
) -> Case:
    """A decision to do something."""
    return Case(decide, items, steps, unknown)


def refusal(decide: Callable[[], Iterable[Any]], error: type[UserError], fact: str) -> Case:
    """A decision that is a refusal."""
    return Case(decide, refused=error, fact=fact)


def of(operation: Any) -> Callable[..., Iterable[Any]]:
    """Return the decision of an operation, which depends on its arguments only."""
    decision: Callable[..., Iterable[Any]] = operation._inner.__wrapped__
    return decision


def decide(case: Case) -> Case:
    """Make the decision of a case, and return what it is."""
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
