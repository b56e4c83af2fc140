"""Decide which names get through to a service, and which values an environment can hold."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from .families import is_withheld

if TYPE_CHECKING:
    from collections.abc import Iterable

_OWN = "INFISICAL_"


class Policy(NamedTuple):
    """The rules by which names get through.

    Attributes:
        allowed: names that get through although they are of a withheld family; the loader's own
            names never do.
        strict: whether only names that are allowed or requested get through.
    """

    allowed: tuple[str, ...] = ()
    strict: bool = False

    def find_withheld(self, names: Iterable[str]) -> list[str]:
        """Return the names that could take over the process, sorted."""
        return sorted(name for name in names if self._is_withheld(name))

    def find_left_out(self, names: Iterable[str], requested: Iterable[str]) -> list[str]:
        """Return the names, sorted, that strict mode leaves out."""
        passing = {*self.allowed, *requested}
        omitted = (name for name in names if self.strict and name not in passing)
        return sorted(name for name in omitted if not self._is_withheld(name))

    def _is_withheld(self, name: str) -> bool:
        may_pass = name in self.allowed and not name.upper().startswith(_OWN)
        return is_withheld(name) and not may_pass


def fits(name: str, value: str) -> bool:
    """Return whether a variable of a process can have this name and value."""
    if not name or "=" in name or "\0" in name + value:
        return False
    try:
        os.fsencode(name + value)
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can hold and UTF-8 can't
        return False
    return True
