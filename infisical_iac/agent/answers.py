"""Read the answers of Infisical's API: JSON, and errors with their codes and remedies."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self

from infisical_iac.agent.runner import Failure

_LONGEST_MESSAGE = 300
_LONGEST_WAIT = 30.0
_SECRET_KEYS = {"clientSecret", "password", "secretValue", "accessToken", "token", "jwt"}

# At these routes the server asks a token's issuer, and answers as if it failed itself if it can't.
_BY_TOKENS = "/api/v1/auth/oidc-auth/"
_ISSUER_KEY = "oidcDiscoveryUrl"
_MAKE_ADMIN = "give the deployer the role admin in organization and project"
_WAIT = "wait a minute, then run again: there were too many requests"
_CHECK_BEHIND_PROXY = "check whether Infisical runs behind the proxy that answered, then run again"
# A mark of an answer (its error name or a part of its message), the code and the remedy. The first
# row that fits counts.
_REMEDIES = (
    (
        "temporarily locked",
        "api.identity_locked",
        "wait five minutes, or clear the identity's lock-out in Infisical, then run again",
    ),
    (
        "TokenError",
        "api.token",
        "log in again: the token has expired or was made with another AUTH_SECRET",
    ),
    ("exceeded max age", "api.token", "log in again: this token is too old"),
    ("has been revoked", "api.token", "log in again: this token was revoked"),
    (
        "plan restriction",
        "api.license",
        "it needs a license of Infisical; remove the setting that asks for it",
    ),
    (
        "plan RBAC restriction",
        "api.license",
        "it needs a license of Infisical; use the setting `isolation` instead",
    ),
    (
        "Invalid credentials",
        "api.credentials",
        "check the credentials first: three failed logins lock the identity for five minutes",
    ),
    ("super admin", "api.administrator_only", "use the first administrator's own login for it"),
    (
        "ProjectMembershipNotFound",
        "api.no_member",
        "make the deployer a member of the project with the role admin",
    ),
    (
        "A project with the slug",
        "api.slug_taken",
        "make the deployer an admin of that project, or choose another slug",
    ),
    ("PermissionBoundaryError", "api.permission", _MAKE_ADMIN),
    ("PermissionDenied", "api.permission", _MAKE_ADMIN),
    (
        "pending-deletion",
        "api.pending_deletion",
        "restore that environment in Infisical or delete it for good",
    ),
    ("RateLimitExceeded", "api.rate_limit", _WAIT),
    ("Too Many Requests", "api.rate_limit", _WAIT),
    ("Bad Gateway", "api.gateway", _CHECK_BEHIND_PROXY),
    ("Gateway Time", "api.gateway", _CHECK_BEHIND_PROXY),
    (
        "Service Unavailable",
        "api.unavailable",
        "check whether Infisical runs and is healthy, then run again",
    ),
    ("NotInfisical", "api.not_infisical", "check that Infisical, and nothing else, listens there"),
    (
        "Something went wrong",
        "api.internal",
        "read the log of Infisical, whose database may be down",
    ),
)


@dataclass(frozen=True)
class ErrorAnswer:
    """An answer that is not a success.

    Attributes:
        status: the HTTP status.
        error: Infisical's name for the kind of error, such as `TokenError`.
        message: Infisical's message, in one line, without the secrets that were sent.
        method, path: the method and the path of the request.
        retry_after: the seconds to wait, as the server asks, at most 30; None if it does not.
        code: the code of the error for programs; empty if the error is not known.
        remedy: what to do; empty if that is not known.
    """

    status: int
    error: str
    message: str
    method: str
    path: str
    retry_after: float | None = None
    code: str = ""
    remedy: str = ""

    @property
    def sentence(self) -> str:
        """The sentence for people, with the remedy."""
        answered = f"{self.status} {self.error}: {self.message.rstrip('.')}"
        sentence = f"{self.method} {self.path} was answered {answered}"
        return f"{sentence}; {self.remedy}" if self.remedy else sentence


class AnswerError(RuntimeError):
    """Infisical answered with an error.

    In the agent its argument is a Failure; on the operator's side it is a `core.errors.ApiError`.

    Attributes:
        status, error, message, method, path, retry_after: as in `ErrorAnswer`.
    """

    status: int
    error: str
    message: str
    method: str
    path: str
    retry_after: float | None

    @classmethod
    def of(cls, answer: ErrorAnswer) -> Self:
        """Return the agent's error for an answer."""
        made = cls(Failure(answer.code or "api", answer.sentence))
        made.status, made.error, made.message = answer.status, answer.error, answer.message
        made.method, made.path, made.retry_after = answer.method, answer.path, answer.retry_after
        return made


class NoAnswer(RuntimeError):
    """Infisical did not answer.

    In the agent its argument is a Failure; on the operator's side it is a
    `core.errors.Unreachable`.
    """


def describe_silence(server: str, method: str, path: str, error: Exception) -> str:
    """Return the sentence on a server that does not answer a request.

    Args:
        server: its address.
        error: the reason, of which only the name of the class is printed.
    """
    issuer = ", that the issuer of tokens answers it" if path.startswith(_BY_TOKENS) else ""
    return (
        f"Infisical at {server} does not answer {method} {path} "
        f"({type(error).__name__}): check that its containers run and are healthy{issuer}, "
        "then run again"
    )


def parse_body(content: bytes) -> dict[str, Any] | None:
    """Return the JSON object of an answer, empty for an empty answer; None for anything else."""
    if not content:
        return {}
    try:
        body = json.loads(content)
    except ValueError:
        return None
    if isinstance(body, dict):
        return body
    return {} if body == "" else None


def explain_error(
    status: int,
    error: str,
    message: str,
    method: str,
    path: str,
    retry_after: float | None = None,
) -> ErrorAnswer:
    """Return an error with its code and remedy if these are known."""
    marks = f"{error} {message}"
    known = ((code, advice) for mark, code, advice in _REMEDIES if mark in marks)
    code, remedy = next(known, ("", ""))
    return ErrorAnswer(status, error, message, method, path, retry_after, code, remedy)


def explain_foreign(status: int, method: str, path: str) -> ErrorAnswer:
    """Return the error for a success that is not a JSON object."""
    return explain_error(status, "NotInfisical", "the answer is not a JSON object", method, path)


def read_error(
    status: int,
    reason: str,
    retry_after: str | None,
    content: bytes,
    method: str,
    path: str,
    *,
    sent: Any,
) -> ErrorAnswer:
    """Return the error in an answer.

    Args:
        reason: the words of the status line.
        retry_after: the header of this name; None without it.
        sent: the body of the request.
    """
    body = parse_body(content)
    if body is None or "message" not in body:
        # Such as the error page of a proxy: not worth quoting.
        body = {"error": reason, "message": "the answer does not say why"}
    message = _one_line(body["message"])
    for secret in _secrets(sent):
        message = message.replace(secret, "***")
    error, message = str(body.get("error", "")), message[:_LONGEST_MESSAGE]
    wait = parse_seconds(retry_after or "", _LONGEST_WAIT)
    failed = explain_error(status, error, message, method, path, wait)
    if failed.code == "api.internal" and path.startswith(_BY_TOKENS):
        return _issuer_error(failed, sent)
    return failed


def _issuer_error(failed: ErrorAnswer, sent: Any) -> ErrorAnswer:
    """Return the error of a request that the issuer of tokens may have failed."""
    named = sent.get(_ISSUER_KEY) if isinstance(sent, dict) else None
    mark, code, remedy = (
        "Something went wrong",
        "api.issuer",
        f"check that Infisical can resolve and reach {named or 'the issuer of the token'}, and "
        "that a token has a subject and an audience; else read the log of Infisical, whose "
        "database may be down",
    )
    return replace(failed, message=mark, retry_after=None, code=code, remedy=remedy)


def _one_line(message: Any) -> str:
    if isinstance(message, list):  # a 422: one entry a complaint
        return "; ".join(_describe_issue(issue) for issue in message)
    return " ".join(str(message).split())


def _describe_issue(issue: Any) -> str:
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


def parse_seconds(header: str, longest: float) -> float | None:
    """Return the seconds that a header gives, or that remain until its HTTP date; else None."""
    if header.isascii() and header.isdecimal():
        seconds = float(header)
    else:
        try:
            seconds = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):  # no date, or one without a time zone
            return None
    return min(max(seconds, 0.0), longest)
