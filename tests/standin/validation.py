"""Validate request bodies by schemas, with issues in the form of 422 answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import validation_failure

Path = list[str | int]
Issues = list[dict[str, Any]]
Check = Callable[[Any, Path, Issues], Any]

_REQUIRED: Any = object()
_ABSENT: Any = object()
_TYPE_NAMES = {str: "string", bool: "boolean", int: "number", float: "number", list: "array"}


@dataclass(frozen=True)
class Field:
    """The check of one value, and its default."""

    check: Check
    default: Any = _REQUIRED
    expected: str = "string"

    def optional(self, default: Any = _ABSENT) -> Field:
        return Field(self.check, default, self.expected)


def validate(body: Any, fields: Mapping[str, Field]) -> dict[str, Any]:
    """Return the body with defaults and without unknown keys; raise a 422 answer."""
    issues: Issues = []
    value = record(fields).check(body, [], issues)
    if issues:
        raise validation_failure(issues)
    checked: dict[str, Any] = value
    return checked


def record(fields: Mapping[str, Field]) -> Field:
    def check(value: Any, path: Path, issues: Issues) -> Any:
        if not isinstance(value, dict):
            return _mismatch("object", value, path, issues)
        result = {}
        for name, field in fields.items():
            given = value.get(name, _ABSENT)
            if given is not _ABSENT:
                result[name] = field.check(given, [*path, name], issues)
            elif field.default is _REQUIRED:
                issues.append(_report_missing([*path, name], field.expected))
            elif field.default is not _ABSENT:
                result[name] = field.default
        return result

    return Field(check)


def array(item: Field, minimum: int = 0) -> Field:
    def check(value: Any, path: Path, issues: Issues) -> Any:
        if not isinstance(value, list):
            return _mismatch("array", value, path, issues)
        if len(value) < minimum:
            message = f"Array must contain at least {minimum} element(s)"
            issues.append(_limit("too_small", "array", minimum, message, path))
        return [item.check(each, [*path, index], issues) for index, each in enumerate(value)]

    return Field(check)


def text(
    minimum: int = 0,
    maximum: int = 0,
    trim: bool = True,
    too_short: str = "String must contain at least {minimum} character(s)",
    rule: tuple[Callable[[str], bool], str] | None = None,
) -> Field:
    """Return the check of a string; `rule` is a predicate and the message of its issue."""

    def check(value: Any, path: Path, issues: Issues) -> Any:
        if not isinstance(value, str):
            return _mismatch("string", value, path, issues)
        value = value.strip() if trim else value
        if len(value) < minimum:
            message = too_short.format(minimum=minimum)
            issues.append(_limit("too_small", "string", minimum, message, path))
        elif maximum and len(value) > maximum:
            message = f"String must contain at most {maximum} character(s)"
            issues.append(_limit("too_big", "string", maximum, message, path))
        elif rule and not rule[0](value):
            issues.append({"code": "custom", "message": rule[1], "path": path})
        return value

    return Field(check)


def exact(length: int, message: str) -> Field:
    """Return the check of a string of one length."""

    def check(value: Any, path: Path, issues: Issues) -> Any:
        if not isinstance(value, str):
            return _mismatch("string", value, path, issues)
        if len(value.strip()) != length:
            is_short = len(value.strip()) < length
            bound = {"minimum": length} if is_short else {"maximum": length}
            issue = {"code": "too_small" if is_short else "too_big", **bound, "type": "string"}
            more = {"inclusive": True, "exact": True, "message": message, "path": path}
            issues.append({**issue, **more})
        return value.strip()

    return Field(check)


def slug(minimum: int = 1, maximum: int = 64) -> Field:
    return text(
        minimum,
        maximum,
        too_short="Slug field must be at least {minimum} lowercase characters",
        rule=(
            lambda value: bool(re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", value)),
            "Slug field can only contain lowercase letters, numbers, and hyphens",
        ),
    )


def email() -> Field:
    def check(value: Any, path: Path, issues: Issues) -> Any:
        if not isinstance(value, str):
            return _mismatch("string", value, path, issues)
        if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s.]{2,}", value.strip()):
            issue = {"validation": "email", "code": "invalid_string", "message": "Invalid email"}
            issues.append({**issue, "path": path})
        return value.strip().lower()

    return Field(check)


def number(minimum: int | None = None, maximum: int | None = None) -> Field:
    def check(value: Any, path: Path, issues: Issues) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return _mismatch("number", value, path, issues)
        if minimum is not None and value < minimum:
            message = f"Number must be greater than or equal to {minimum}"
            issues.append(_limit("too_small", "number", minimum, message, path))
        if maximum is not None and value > maximum:
            message = f"Number must be less than or equal to {maximum}"
            issues.append(_limit("too_big", "number", maximum, message, path))
        return value

    return Field(check, expected="number")


def boolean() -> Field:
    def check(value: Any, path: Path, issues: Issues) -> Any:
        return value if isinstance(value, bool) else _mismatch("boolean", value, path, issues)

    return Field(check)


def choice(*options: str) -> Field:
    def check(value: Any, path: Path, issues: Issues) -> Any:
        if value in options:
            return value
        listed = " | ".join(f"'{option}'" for option in options)
        message = f"Invalid enum value. Expected {listed}, received '{value}'"
        issue = {"received": value, "code": "invalid_enum_value", "options": list(options)}
        issues.append({**issue, "path": path, "message": message})
        return value

    return Field(check)


def anything() -> Field:
    return Field(lambda value, path, issues: value)


def _report_missing(path: Path, expected: str) -> dict[str, Any]:
    issue = {"code": "invalid_type", "expected": expected, "received": "undefined"}
    return {**issue, "path": path, "message": "Required"}


def _mismatch(expected: str, value: Any, path: Path, issues: Issues) -> Any:
    received = "null" if value is None else _TYPE_NAMES.get(type(value), "object")
    message = f"Expected {expected}, received {received}"
    issue = {"code": "invalid_type", "expected": expected, "received": received}
    issues.append({**issue, "path": path, "message": message})
    return value


def _limit(code: str, kind: str, bound: int, message: str, path: Path) -> dict[str, Any]:
    key = "minimum" if code == "too_small" else "maximum"
    issue = {"code": code, key: bound, "type": kind, "inclusive": True, "exact": False}
    return {**issue, "message": message, "path": path}
