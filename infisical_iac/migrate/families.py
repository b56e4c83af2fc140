"""Families of names that secrets must not set, from `loaders/vectors.json`."""

import json
from functools import cache
from typing import Any

from infisical_iac.core.bundle import LOADER_CASES

_KINDS = ("names", "prefixes", "suffixes", "except")


@cache
def _families() -> list[dict[str, Any]]:
    """Return the families, with words as tuples; `except` has the ends of credentials too."""
    withheld = json.loads(LOADER_CASES.read_text("utf-8"))["withheld"]
    return [
        each
        | {kind: tuple(each[kind].split()) for kind in _KINDS}
        | {"credentials": tuple(withheld["credentials"].split())}
        for each in withheld["families"]
    ]


def is_withheld(name: str) -> bool:
    """Return whether a name changes how programs run, or where they connect to.

    The loaders withhold it. On Windows they ignore the case of letters; the platform of the service
    is unknown here.
    """
    for each in _families():
        shown = name.upper() if each["anyCase"] else name
        if shown in each["names"]:
            return True
        if shown.startswith(each["prefixes"]) or shown.endswith(each["suffixes"]):
            is_own = shown in each["except"] or shown.endswith(each["credentials"])
            if each["closed"] or not is_own:
                return True
    return False
