"""A change inside Infisical: its line in a plan, and the requests that make it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from infisical_iac.core.change import Change
from infisical_iac.core.wording import join_names


class Made(str):
    """A placeholder for the id of something that an earlier change makes, such as `identity x`.

    Its first word is the key of the made object in the answer.
    """


@dataclass(frozen=True)
class Call:
    """One request; parts of its path and values of its body may be a `Made`.

    Attributes:
        makes: the placeholder for the id in the answer.
        by_admin: whether it takes the administrator's own token, which no machine has.
        mails: whether Infisical sends a mail about it. If that fails, a real server answers 500
            although the request is done.
        shows: returns the part of the answer that the operator must see, as it can't be read again.
    """

    method: Literal["POST", "PATCH", "DELETE"]
    path: tuple[str, ...]
    body: Mapping[str, Any] | None = None
    makes: Made | None = None
    by_admin: bool = False
    mails: bool = False
    shows: Callable[[Mapping[str, Any]], str] | None = None


@dataclass(frozen=True)
class ApiChange(Change):
    """One difference inside Infisical and its repair.

    Attributes:
        calls: the requests, in order.
        shown: a sentence for the operator, such as one with an invitation's link; empty until the
            change is made. It is printed once and stored nowhere.
    """

    calls: tuple[Call, ...] = field(default=(), repr=False)
    shown: str = field(default="", repr=False, compare=False)


def blocked_change(what: str, reason: str) -> ApiChange:
    """Return the change that reports what only a person can correct; it makes no request."""
    return ApiChange("!", what, f"blocked: {reason}")


_LABELS = {"hasDeleteProtection": "delete protection", "role": "role in the organization"}


def diff_fields(desired: Mapping[str, Any], actual: Mapping[str, Any]) -> dict[str, Any]:
    """Return the desired fields that differ; a field that a release leaves out does not."""
    return {
        key: value
        for key, value in desired.items()
        if key in actual and (actual[key] if value is not False else bool(actual[key])) != value
    }


def words(differing: Mapping[str, Any], actual: Mapping[str, Any]) -> str:
    """Return the differences for people, such as `accessTokenTTL 7200 → 1800`."""
    return ", ".join(
        f"{_LABELS.get(key, key)} {_describe(actual[key])} → {_describe(value)}"
        for key, value in differing.items()
    )


def _describe(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "on" if value else "off"
    if isinstance(value, Mapping):
        return join_names(f"{key} {each}" for key, each in value.items()) or "none"
    if isinstance(value, list | tuple):
        return join_names(value) or "none"
    return str(value) or "none"
