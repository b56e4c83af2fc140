"""Find the secrets that somebody could read: who may, and what to rotate once a person has left.

Where a condition can't be judged here, such as one on tags, the secret is named: a rotation too
many does no harm. A permission that forbids takes nothing away for the same reason.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any

from infisical_iac.workspace.model import as_list
from infisical_iac.workspace.state import PersonState, Privilege

Names = Mapping[tuple[str, str], Collection[str]]
"""Names of secrets by environment and folder."""

_READING = {"read", "readValue", "*"}
_PLAIN_GLOB = re.compile(r"[A-Za-z0-9_/*-]+")
_GLOB_PARTS = {"/**": "(?:/.*)?", "**": ".*", "*": "[^/]*"}


def readable(person: PersonState, names: Names) -> list[str]:
    """The secrets that a person could read, such as `production /backend DATABASE_URL`.

    Args:
        names: what there is, as `secret_names.read` tells it; the result has the same order.
    """
    return [" ".join(each) for each in reads(person.roles, person.privileges or (), names)]


def reads(
    roles: Iterable[str], privileges: Iterable[Privilege], names: Names
) -> list[tuple[str, str, str]]:
    """Environment, folder and name of each secret that roles and privileges let be read."""
    everything = any(map(_reads_all, roles))
    granted = [rule for each in privileges for rule in each.permissions]
    return [
        (environment, folder, name)
        for (environment, folder), here in names.items()
        for name in here
        if everything or any(_permits(rule, environment, folder, name) for rule in granted)
    ]


def _reads_all(role: str) -> bool:
    # Every role but this one reads secrets, or is a custom one whose permissions aren't known.
    return role.removesuffix(" for a time") != "no-access"


def _permits(rule: Mapping[str, Any], environment: str, folder: str, name: str) -> bool:
    conditions = rule.get("conditions") or {}
    place = {"environment": environment, "secretPath": folder, "secretName": name}
    return (
        not rule.get("inverted")
        and not {"secrets", "*"}.isdisjoint(as_list(rule["subject"]))
        and not _READING.isdisjoint(as_list(rule["action"]))
        and all(_holds(conditions[key], place[key]) for key in conditions.keys() & place.keys())
    )


def _holds(condition: Any, value: str) -> bool:
    if isinstance(condition, str):
        return condition == value
    return all(_passes(operator, wanted, value) for operator, wanted in condition.items())


def _passes(operator: str, wanted: Any, value: str) -> bool:
    match operator:
        case "$eq":
            return bool(value == wanted)
        case "$ne":
            return bool(value != wanted)
        case "$in":
            return value in wanted
        case "$glob":
            return _matches(wanted, value)
    return True


def _matches(glob: str, value: str) -> bool:
    return not _PLAIN_GLOB.fullmatch(glob) or _pattern(glob).fullmatch(value) is not None


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    parts = re.split(r"(/\*\*|\*\*|\*)", glob)
    return re.compile("".join(_GLOB_PARTS.get(part, re.escape(part)) for part in parts))
