"""The base of all facts: each reads a host in one command, and returns a typed value."""

from collections.abc import Iterable
from typing import TypeVar, get_args

from pyinfra.api.facts import FactBase

T = TypeVar("T")

_NEXT = "next:"


class Fact(FactBase[T]):
    """A fact with a typed value, which is the argument of the base: `class Keys(Fact[KeysState])`.

    If the host reports nothing, the value is the type's own default: `KeysState()`.
    """

    @classmethod
    def default(cls) -> T:
        (value,) = get_args(cls.__orig_bases__[0])  # type: ignore[attr-defined]
        empty: T = value()
        return empty


def join_commands(*commands: str) -> str:
    """Return one command that runs several; `split_output` separates their output.

    It fails if one of them fails: a missing output could be mistaken for an empty state.
    """
    return f" && echo {_NEXT} && ".join(commands)


def split_output(output: Iterable[str]) -> list[list[str]]:
    """Return the output of each command that `join_commands` joined."""
    parts: list[list[str]] = [[]]
    for line in output:
        if line == _NEXT:
            parts.append([])
        else:
            parts[-1].append(line)
    return parts
