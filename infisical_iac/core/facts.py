"""Read a host in one command, as a value: the base of all facts."""

from collections.abc import Iterable
from typing import TypeVar, get_args

from pyinfra.api.facts import FactBase

T = TypeVar("T")

_NEXT = "next:"


class Fact(FactBase[T]):
    """A fact whose value, where the host tells nothing, is the one made without arguments.

    The value's type is the argument of the base: `class Keys(Fact[KeysState])`.
    """

    @classmethod
    def default(cls) -> T:
        (value,) = get_args(cls.__orig_bases__[0])  # type: ignore[attr-defined]
        empty: T = value()
        return empty


def join_commands(*commands: str) -> str:
    """Return the command whose output `split_output` splits again.

    It fails where one of them does: the others' output could tell that there is nothing.
    """
    return f" && echo {_NEXT} && ".join(commands)


def split_output(output: Iterable[str]) -> list[list[str]]:
    """Return what each of the commands has printed that `join_commands` joined."""
    parts: list[list[str]] = [[]]
    for line in output:
        if line == _NEXT:
            parts.append([])
        else:
            parts[-1].append(line)
    return parts
