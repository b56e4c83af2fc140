"""Expand references between secrets, `${NAME}` or `${environment.folder.NAME}`, without effects."""

from __future__ import annotations

import re
from collections.abc import Callable

DEPTH = 10
REFERENCE = re.compile(r"\$\{([A-Za-z0-9\-_.@]+)\}")

Place = tuple[str, str]
Lookup = Callable[[Place, str], str | None]


def expand(value: str, place: Place, lookup: Lookup, keep_unknown: bool = False) -> str:
    """Return a value at (environment, path) with its references replaced.

    `lookup` returns the raw value of a name at a place, or None. An unknown name becomes the
    empty string, or with `keep_unknown` stays as written.
    """
    return _expand(value, place, lookup, keep_unknown, DEPTH)


def target_of(reference: str, place: Place) -> tuple[Place, str]:
    """Return the place and the name that a reference refers to."""
    if "." not in reference:
        return place, reference
    environment, *folders, name = reference.split(".")
    return (environment, "/" + "/".join(folders)), name


def _expand(value: str, place: Place, lookup: Lookup, keep_unknown: bool, depth: int) -> str:
    def replacement(found: re.Match[str]) -> str:
        there, name = target_of(found[1], place)
        raw = lookup(there, name) if depth else None
        if raw is None:
            return found[0] if keep_unknown else ""
        return _expand(raw, there, lookup, keep_unknown, depth - 1)

    return REFERENCE.sub(replacement, value)
