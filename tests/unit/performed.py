"""Do what an operation has decided, without pyinfra."""

from collections.abc import Iterable
from inspect import getclosurevars
from typing import Any

from pyinfra.api.command import FunctionCommand

from infisical_iac.core.change import Change


def perform(decided: Iterable[Any]) -> list[str]:
    """Do the steps, and return the changes as people read them. Raises what a step raises."""
    changes = []
    for each in decided:
        if isinstance(each, Change):
            changes.append(str(each))
        elif isinstance(each, FunctionCommand):
            known = getclosurevars(each.function).nonlocals
            known["function"](*known["args"], **known["kwargs"])
    return changes
