"""Find the secrets that a member could read, such as to rotate them after a person has left.

A secret whose condition can't be evaluated here, such as one on tags, is included: a needless
rotation does no harm. For the same reason a permission that forbids is ignored.
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
    """Return the secrets that a person could read, such as `production /backend DATABASE_URL`.

    Args:
        names: all secrets, as `environment_contents.read_names` returns them; the result has their
            order.
    """
    return [" ".join(each) for each in reads(person.roles, person.privileges or (), names)]


def reads(
    roles: Iterable[str], privileges: Iterable[Privilege], names: Names
) -> list[tuple[str, str, str]]:
    """Yield environment, folder and name of each secret that roles and privileges let read."""
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
    return all(_passes(operator, operand, value) for operator, operand in condition.items())


def _passes(operator: str, operand: Any, value: str) -> bool:
    match operator:
        case "$eq":
            return bool(value == operand)
        case "$ne":
            return bool(value != operand)
        case "$in":
            return value in operand
        case "$glob":
            return _matches(operand, value)
    return True


def _matches(glob: str, value: str) -> bool:
    return not _PLAIN_GLOB.fullmatch(glob) or _pattern(glob).fullmatch(value) is not None


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    parts = re.split(r"(/\*\*|\*\*|\*)", glob)
    return re.compile("".join(_GLOB_PARTS.get(part, re.escape(part)) for part in parts))
