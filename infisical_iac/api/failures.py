"""Word the failures of requests, with a remedy and without any secret."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from infisical_iac.core.errors import ApiError

_LONGEST_MESSAGE = 300
_LONGEST_WAIT = 30.0
_SECRET_KEYS = {"clientSecret", "password", "secretValue", "accessToken", "token"}

# Marks of an answer (its error name or a part of its message) and what to do about it; the
# first that fits counts.
_REMEDIES = (
    ("temporarily locked", "wait five minutes, or clear the lock-out of the identity, first"),
    ("TokenError", "log in again: the token has expired or was made with another AUTH_SECRET"),
    ("exceeded max age", "log in again: this token is too old"),
    ("has been revoked", "log in again: this token was revoked"),
    ("plan restriction", "it needs a license of Infisical; remove the setting that asks for it"),
    ("plan RBAC restriction", "it needs a license of Infisical; use `isolation` instead"),
    (
        "Invalid credentials",
        "check them before another try: three wrong ones lock for five minutes",
    ),
    ("super admin", "use the first administrator's own login for it"),
    ("ProjectMembershipNotFound", "make the deployer a member of the project with the role admin"),
    (
        "A project with the slug",
        "make the deployer an admin of that project, or choose another slug",
    ),
    ("PermissionBoundaryError", "give the deployer the role admin in organization and project"),
    ("PermissionDenied", "give the deployer the role admin in organization and project"),
    ("pending-deletion", "restore that environment in Infisical or delete it for good"),
    ("RateLimitExceeded", "wait a minute, then run again: no more requests are let through now"),
    ("Too Many Requests", "wait a minute, then run again: no more requests are let through now"),
    ("Bad Gateway", "see whether Infisical runs behind the proxy that answered, then run again"),
    ("Gateway Time", "see whether Infisical runs behind the proxy that answered, then run again"),
    ("Service Unavailable", "see whether Infisical runs and is healthy, then run again"),
    ("NotInfisical", "check that Infisical, and nothing else, listens there"),
    ("Something went wrong", "read the log of Infisical; a database that is down answers so"),
)


def api_error(
    status: int,
    error: str,
    message: str,
    method: str,
    path: str,
    retry_after: float | None = None,
) -> ApiError:
    """Return the error for an answer, with what to do about it where that is known."""
    marks = f"{error} {message}"
    remedy = next((advice for mark, advice in _REMEDIES if mark in marks), "")
    return ApiError(status, error, message, method, path, retry_after, remedy=remedy)


def read_error(response: httpx.Response, method: str, path: str, *, sent: Any) -> ApiError:
    """Return the error that a response tells of; `sent` is the body of the request."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or "message" not in body:
        # Such as the error page of a proxy: not worth quoting.
        body = {"error": response.reason_phrase, "message": "the answer does not say why"}
    message = _one_line(body["message"])
    for secret in _secrets(sent):
        message = message.replace(secret, "***")
    error = str(body.get("error", ""))
    wait = _seconds(response.headers.get("Retry-After", ""))
    return api_error(response.status_code, error, message[:_LONGEST_MESSAGE], method, path, wait)


def _seconds(retry_after: str) -> float | None:
    """Return what the header says, as seconds or as an HTTP date; None for what is neither."""
    if retry_after.isascii() and retry_after.isdecimal():
        seconds = float(retry_after)
    else:
        try:
            seconds = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):  # no date, or one without a time zone
            return None
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def _one_line(message: Any) -> str:
    if isinstance(message, list):  # a 422: one entry a complaint
        return "; ".join(_complaint(issue) for issue in message)
    return " ".join(str(message).split())


def _complaint(issue: Any) -> str:
    if not isinstance(issue, dict):
        return str(issue)
    place = ".".join(str(part) for part in issue.get("path", ()))
    text = " ".join(str(issue.get("message", "")).split())
    return f"{place}: {text}" if place else text


def _secrets(sent: Any) -> Iterator[str]:
    if isinstance(sent, list):
        for item in sent:
            yield from _secrets(item)
    elif isinstance(sent, dict):
        for key, value in sent.items():
            if key in _SECRET_KEYS and isinstance(value, str) and value:
                yield value
            else:
                yield from _secrets(value)
