"""Perform the steps of an operation without pyinfra."""

from collections.abc import Iterable
from inspect import getclosurevars
from typing import Any

from pyinfra.api.command import FunctionCommand

from infisical_iac.core.change import Change


def perform(decided: Iterable[Any]) -> list[str]:
    """Perform the steps, and return the changes as lines. Raises the error of a step that fails."""
    changes = []
    for each in decided:
        if isinstance(each, Change):
            changes.append(str(each))
        elif isinstance(each, FunctionCommand):
            known = getclosurevars(each.function).nonlocals
            known["function"](*known["args"], **known["kwargs"])
    return changes
