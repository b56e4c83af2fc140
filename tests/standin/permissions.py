"""Decide permissions by rules, without effects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .errors import ApiError

if TYPE_CHECKING:
    from .store import Document

Attributes = Mapping[str, Any]
READ_SECRETS = ["describeSecret", "readValue"]
WRITE = ["create", "edit", "delete"]
RESOURCES = [
    "secret-folders",
    "secret-imports",
    "environments",
    "tags",
    "member",
    "identity",
    "role",
    "settings",
    "webhooks",
    "workspace",
]


@dataclass(frozen=True)
class Rule:
    """One permission of a role or an additional privilege."""

    subjects: tuple[str, ...]
    actions: tuple[str, ...]
    conditions: Mapping[str, Any] = field(default_factory=dict)
    inverted: bool = False

    @classmethod
    def of(cls, permission: Document) -> Rule:
        return cls(
            tuple(_as_list(permission["subject"])),
            tuple(_as_list(permission["action"])),
            permission.get("conditions") or {},
            bool(permission.get("inverted")),
        )

    def concerns(self, action: str, subject: str) -> bool:
        return _is_named(action, self.actions) and _is_named(subject, self.subjects)

    def holds_for(self, attributes: Attributes) -> bool:
        return all(
            _satisfies(attributes.get(name), condition)
            for name, condition in self.conditions.items()
        )

    def detail(self) -> Document:
        conditions = {"conditions": dict(self.conditions)} if self.conditions else {}
        return {
            "action": list(self.actions),
            "inverted": self.inverted,
            "subject": list(self.subjects),
            **conditions,
        }


class Permissions:
    """All rules of one actor in one project. The last rule that applies decides."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = list(rules)

    def can(self, action: str, subject: str, attributes: Attributes | None = None) -> bool:
        """Return whether the action is allowed; without attributes, on anything of the subject."""
        for rule in reversed(self._rules):
            if not rule.concerns(action, subject):
                continue
            if attributes is None and rule.inverted and rule.conditions:
                continue
            if attributes is None or rule.holds_for(attributes):
                return not rule.inverted
        return False

    def require(self, action: str, subject: str, attributes: Attributes | None = None) -> None:
        """Raise a 403 answer with the checked rules unless the action is allowed."""
        if not self.can(action, subject, attributes):
            relevant = [rule for rule in self._rules if rule.concerns(action, subject)]
            raise permission_denied(action, subject, [r.detail() for r in reversed(relevant)])


def permission_denied(action: str, subject: str, details: list[Document] | None = None) -> ApiError:
    message = f"You are not allowed to {action} on {subject}"
    return ApiError(403, message, "PermissionDenied", details or [])


def role_rules(role: str) -> list[Rule]:
    """Return the rules of a built-in project role; an unknown role has none."""
    everything = Rule(("*",), ("*",))
    read_all = [Rule(("secrets",), tuple(READ_SECRETS)), Rule(tuple(RESOURCES), ("read",))]
    edited = ("secrets", "secret-folders", "secret-imports", "environments", "tags")
    return {
        "admin": [everything],
        "member": [*read_all, Rule(edited, tuple(WRITE))],
        "viewer": read_all,
    }.get(role, [])


def _is_named(name: str, names: tuple[str, ...]) -> bool:
    return name in names or "*" in names


def _as_list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _satisfies(value: Any, condition: Any) -> bool:
    if isinstance(condition, str):
        return bool(value == condition)
    return all(_holds(operator, value, expected) for operator, expected in condition.items())


def _holds(operator: str, value: Any, expected: Any) -> bool:
    match operator:
        case "$eq":
            return bool(value == expected)
        case "$ne":
            return bool(value != expected)
        case "$in":
            return bool(set(_as_list(value or [])) & set(expected))
        case "$all":
            return set(expected) <= set(_as_list(value or []))
        case "$glob":
            return isinstance(value, str) and bool(glob_pattern(expected).match(value))
    return False


@lru_cache(maxsize=512)
def glob_pattern(glob: str) -> re.Pattern[str]:
    """Compile a path glob: `*` and `?` stay inside a segment, `/**` is any depth or none."""
    pieces = re.split(r"(/\*\*|\*\*|\*|\?|\{[^{}]*\})", glob)
    return re.compile("".join(_glob_piece(piece) for piece in pieces) + r"\Z", re.DOTALL)


def _glob_piece(piece: str) -> str:
    fixed = {"/**": "(?:/.*)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if piece in fixed:
        return fixed[piece]
    if piece.startswith("{") and piece.endswith("}"):
        return "(?:" + "|".join(map(re.escape, piece[1:-1].split(","))) + ")"
    return re.escape(piece)
