"""The HTTP client: JSON in, JSON out, bounded in time, and errors as sentences."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self

import httpx
import stamina

from infisical_iac.core.errors import ApiError, Unreachable

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


# Its warning of each retry says nothing to people; what counts is how the last try ends.
logging.getLogger("stamina").setLevel(logging.ERROR)

_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
# What a folder with many thousand secrets takes, with each of them decrypted.
_PATIENCE = httpx.Timeout(600.0, connect=10.0)
_IMPATIENCE = httpx.Timeout(5.0)
_ATTEMPTS = 4
_RETRYING_ENDS_AFTER = 60.0


class Client:
    """An Infisical server, seen with one token or with none.

    Connections are kept open and shared by all clients that `with_token` derives; requests
    may be made from several threads at once. Whatever makes one raises ApiError for an answer that
    is no success, and Unreachable for none at all.

    Args:
        base_url: scheme, host and port, such as `http://127.0.0.1:8080`.
        transport: how to get there, such as an `SSHTransport`; None connects straight.
        token: the access token to send, if any.
    """

    def __init__(
        self, base_url: str, transport: httpx.BaseTransport | None = None, token: str | None = None
    ) -> None:
        # Proxies and credentials of the environment are not for a host's loopback address.
        self._http = httpx.Client(base_url=base_url, transport=transport, trust_env=False)
        self._token, self._timeout = token, _TIMEOUT

    def __repr__(self) -> str:
        return f"Client({str(self._http.base_url)!r}, authorized={self._token is not None})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, those of derived clients too."""
        self._http.close()

    def with_token(self, token: str) -> "Client":
        """The same server over the same connections, with another token."""
        return self._derive(token, self._timeout)

    def with_patience(self) -> "Client":
        """The same server with the same token, which may take ten minutes for an answer."""
        return self._derive(self._token, _PATIENCE)

    def _derive(self, token: str | None, timeout: httpx.Timeout) -> "Client":
        derived = object.__new__(Client)
        derived._http, derived._token, derived._timeout = self._http, token, timeout
        return derived

    def get(self, path: str, *, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Read; tried again, a bounded number of times, where a second try can help."""
        return self._retry("GET", path, _may_pass, params=params)

    def find(self, path: str, *, absent: Collection[int] = (404,)) -> dict[str, Any] | None:
        """Read as `get` does; None for an answer with a status that tells of nothing there."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status in absent:
                return None
            raise

    def post(self, path: str, *, json: Any = None) -> dict[str, Any]:
        """Create or act; sent again only if it was not processed."""
        return self._retry("POST", path, _was_not_processed, json=json)

    def patch(self, path: str, *, json: Any = None) -> dict[str, Any]:
        """Change; sent again only if it was not processed."""
        return self._retry("PATCH", path, _was_not_processed, json=json)

    def delete(self, path: str, *, json: Any = None) -> dict[str, Any]:
        """Delete; sent again only if it was not processed."""
        return self._retry("DELETE", path, _was_not_processed, json=json)

    def post_again(self, path: str, *, json: Any) -> dict[str, Any]:
        """A POST that changes nothing when repeated, such as a login; tried again as `get` is."""
        return self._retry("POST", path, _may_pass, json=json)

    def answers(self) -> bool:
        """Return whether the server works, Redis and database included; asked once, in haste.

        The status asks Redis; a login asks the database, which knows no such identity.
        """
        nobody = {"clientId": "00000000-0000-0000-0000-000000000000", "clientSecret": "none"}
        try:
            self._send("GET", "/api/status", timeout=_IMPATIENCE)
            self._send(
                "POST", "/api/v1/auth/universal-auth/login", json=nobody, timeout=_IMPATIENCE
            )
        except ApiError as error:
            return error.status == 401
        except Unreachable:
            return False
        return True

    def _retry(
        self, method: str, path: str, on: Callable[[Exception], bool | float], **request: Any
    ) -> dict[str, Any]:
        # The context form: the decorator's log line would hold the request.
        for attempt in stamina.retry_context(
            on=on, attempts=_ATTEMPTS, timeout=_RETRYING_ENDS_AFTER, wait_max=3.0
        ):
            with attempt:
                return self._send(method, path, **request)
        raise AssertionError("stamina ends with a result or an exception")

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        timeout: httpx.Timeout | None = None,
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            response = self._http.request(
                method,
                path,
                params=params,
                json=json,
                headers=headers,
                timeout=timeout or self._timeout,
            )
        except httpx.RequestError as error:
            server = str(self._http.base_url).rstrip("/")
            raise Unreachable(
                f"Infisical at {server} does not answer {method} {path} "
                f"({type(error).__name__}): check that its containers run and are healthy, then "
                "run again"
            ) from None
        if not response.is_success:
            raise read_error(response, method, path, sent=json)
        return _body(response, method, path)


def _was_not_processed(error: Exception) -> bool | float:
    """Return whether any request may be sent again, and if the server says when: after how long."""
    if not isinstance(error, ApiError) or error.status != 429:
        return False
    return True if error.retry_after is None else error.retry_after


def _may_pass(error: Exception) -> bool | float:
    """The same for a request that does no harm if it is processed twice."""
    failed = error.status >= 500 if isinstance(error, ApiError) else isinstance(error, Unreachable)
    return failed or _was_not_processed(error)


def _body(response: httpx.Response, method: str, path: str) -> dict[str, Any]:
    if not response.content:
        return {}
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        return body
    if body == "":
        return {}
    raise api_error(
        response.status_code, "NotInfisical", "the answer is no JSON object", method, path
    )
