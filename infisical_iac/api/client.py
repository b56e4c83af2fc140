"""The HTTP client of Infisical's API: JSON, lists, timeouts, repeated requests, errors."""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Self, TypeVar

import httpx
import stamina

from infisical_iac.api.rate_limits import RateLimiter, parse_seconds
from infisical_iac.core.errors import ApiError, Unreachable

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


def api_error(
    status: int,
    error: str,
    message: str,
    method: str,
    path: str,
    retry_after: float | None = None,
) -> ApiError:
    """Return the error for an answer, with its code and remedy if these are known."""
    marks = f"{error} {message}"
    known = ((code, advice) for mark, code, advice in _REMEDIES if mark in marks)
    code, remedy = next(known, ("", ""))
    return ApiError(status, error, message, method, path, retry_after, remedy=remedy, code=code)


def read_error(response: httpx.Response, method: str, path: str, *, sent: Any) -> ApiError:
    """Return the error in a response; `sent` is the body of the request."""
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
    error, message = str(body.get("error", "")), message[:_LONGEST_MESSAGE]
    wait = parse_seconds(response.headers.get("Retry-After", ""), _LONGEST_WAIT)
    failed = api_error(response.status_code, error, message, method, path, wait)
    if failed.code == "api.internal" and path.startswith(_BY_TOKENS):
        return _issuer_error(failed, sent)
    return failed


def _issuer_error(failed: ApiError, sent: Any) -> ApiError:
    """Return the error of a request that the issuer of tokens may have failed."""
    named = sent.get(_ISSUER_KEY) if isinstance(sent, dict) else None
    mark, code, remedy = (
        "Something went wrong",
        "api.issuer",
        f"check that Infisical can resolve and reach {named or 'the issuer of the token'}, and "
        "that a token has a subject and an audience; else read the log of Infisical, whose "
        "database may be down",
    )
    place = (failed.method, failed.path)
    return ApiError(failed.status, failed.error, mark, *place, remedy=remedy, code=code)


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


# Warnings about single retries are of no use: the error of the last try is reported.
logging.getLogger("stamina").setLevel(logging.ERROR)

_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
# The server decrypts every secret of a folder, which may hold many thousands.
_PATIENCE = httpx.Timeout(600.0, connect=10.0)
_IMPATIENCE = httpx.Timeout(5.0)
_ATTEMPTS = 4
_RETRYING_ENDS_AFTER = 60.0
# An attempt sends a request at most this often if the server refuses it and names a time to wait.
_MOST_TURNS = 2


class Client:
    """A client of an Infisical server, with a token or without.

    Connections and rate limits are shared by all clients that `with_token` derives. Several threads
    may use a client at once. A request waits as the limits require. It raises ApiError if the
    answer is not a success, and Unreachable if there is no answer.

    Args:
        base_url: scheme, host and port, such as `http://127.0.0.1:8080`.
        transport: the way to the server, such as an `SSHTransport`; None connects directly.
        token: the access token to send, if any.
        limiter: the rate limits; None for those that the server names when it refuses a request.
    """

    def __init__(
        self,
        base_url: str,
        transport: httpx.BaseTransport | None = None,
        token: str | None = None,
        *,
        limiter: RateLimiter | None = None,
    ) -> None:
        # A proxy or .netrc of the environment must not be used for a host's loopback address.
        self._http = httpx.Client(base_url=base_url, transport=transport, trust_env=False)
        self._token, self._timeout = token, _TIMEOUT
        self.limiter = limiter or RateLimiter()

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
        """Return a client of the same server over the same connections, with another token."""
        return self._derive(token, self._timeout)

    def with_patience(self) -> "Client":
        """Return a client with the same token that waits up to ten minutes for an answer."""
        return self._derive(self._token, _PATIENCE)

    def _derive(self, token: str | None, timeout: httpx.Timeout) -> "Client":
        derived = object.__new__(Client)
        derived._http, derived._token, derived._timeout = self._http, token, timeout
        derived.limiter = self.limiter
        return derived

    def get(self, path: str, *, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a GET; a failed request is sent again up to three times where that can help."""
        return self._retry("GET", path, _may_pass, params=params)

    def find(self, path: str, *, absent: Collection[int] = (404,)) -> dict[str, Any] | None:
        """Send a GET as `get` does; return None if the status is in `absent`."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status in absent:
                return None
            raise

    def post(self, path: str, *, json: Any = None) -> dict[str, Any]:
        """Send a POST; the request is sent again only if the server has not processed it."""
        return self._retry("POST", path, _was_not_processed, json=json)

    def patch(self, path: str, *, json: Any = None) -> dict[str, Any]:
        """Send a PATCH; the request is sent again only if the server has not processed it."""
        return self._retry("PATCH", path, _was_not_processed, json=json)

    def put(self, path: str, *, json: Any = None) -> dict[str, Any]:
        """Send a PUT; the request is sent again only if the server has not processed it."""
        return self._retry("PUT", path, _was_not_processed, json=json)

    def delete(self, path: str, *, json: Any = None) -> dict[str, Any]:
        """Send a DELETE; the request is sent again only if the server has not processed it."""
        return self._retry("DELETE", path, _was_not_processed, json=json)

    def post_again(self, path: str, *, json: Any) -> dict[str, Any]:
        """Send a POST that may be repeated, such as a login; retry it as `get` does."""
        return self._retry("POST", path, _may_pass, json=json)

    def location(self, path: str) -> str | None:
        """Send a GET once; return where its answer redirects to, None for another answer.

        Raises Unreachable.
        """
        try:
            with self.limiter.turn("GET", path):
                response = self._http.get(path, timeout=self._timeout, follow_redirects=False)
        except httpx.RequestError as error:
            raise self._unreachable("GET", path, error) from None
        return response.headers.get("Location") if response.is_redirect else None

    def answers(self) -> bool:
        """Return whether the server works, with Redis and database.

        The server is asked once, with a short timeout. The status route asks Redis, and a login as
        an unknown identity asks the database.
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
        # The wait for a turn is part of an attempt, and no reason to give up.
        end = None if self.limiter.has_limit(method, path) else _RETRYING_ENDS_AFTER
        # The context form: the decorator's log line would hold the request.
        for attempt in stamina.retry_context(on=on, attempts=_ATTEMPTS, timeout=end, wait_max=3.0):
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
        for left in reversed(range(_MOST_TURNS)):
            with self.limiter.turn(method, path) as turn:
                response = self._request(method, path, params, json, timeout or self._timeout)
                is_held = turn.read(response.status_code, response.headers)
            if not (is_held and left):
                break
        if not response.is_success:
            raise read_error(response, method, path, sent=json)
        return _body(response, method, path)

    def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        json: Any,
        timeout: httpx.Timeout,
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            return self._http.request(
                method, path, params=params, json=json, headers=headers, timeout=timeout
            )
        except httpx.RequestError as error:
            raise self._unreachable(method, path, error) from None

    def _unreachable(self, method: str, path: str, error: Exception) -> Unreachable:
        server = str(self._http.base_url).rstrip("/")
        issuer = ", that the issuer of tokens answers it" if path.startswith(_BY_TOKENS) else ""
        return Unreachable(
            f"Infisical at {server} does not answer {method} {path} "
            f"({type(error).__name__}): check that its containers run and are healthy{issuer}, "
            "then run again"
        )


def _was_not_processed(error: Exception) -> bool | float:
    """Return whether to send a request again, or the seconds to wait first, as the server says.

    Only the status 429 shows that the server has not processed a request.
    """
    if not isinstance(error, ApiError) or error.status != 429:
        return False
    return True if error.retry_after is None else error.retry_after


def _may_pass(error: Exception) -> bool | float:
    """Return the same for a request that may be processed twice: also after a 5xx or no answer."""
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
        response.status_code, "NotInfisical", "the answer is not a JSON object", method, path
    )


_PAGE = 100
_MOST_PAGES = 100


def all_of(
    client: Client, path: str, key: str, params: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return every item of a list, each once, in the server's order.

    Args:
        path: the list's path; it is asked with `limit` and `offset`.
        key: where the items are in an answer, such as `identities`.
        params: further parameters of the query.

    Routes without pages answer with everything each time: reading ends when a page brings nothing
    new.
    """
    items: dict[str, dict[str, Any]] = {}
    for _ in range(_MOST_PAGES):
        query = {**(params or {}), "limit": _PAGE, "offset": len(items)}
        answer = client.get(path, params=query)
        new = {item["id"]: item for item in answer[key] if item["id"] not in items}
        items.update(new)
        total = answer.get("totalCount", answer.get("total"))
        complete = len(answer[key]) < _PAGE if total is None else len(items) >= total
        if complete or not new:
            break
    return list(items.values())


_MOST_AT_ONCE = 8

Key = TypeVar("Key")
Result = TypeVar("Result")


def gather(calls: Iterable[Callable[[], Result]]) -> list[Result]:
    """Call all functions, at most eight at once, and return their results in the same order.

    The exception of the first call that fails, in that order, is raised; calls that have not begun
    are dropped. Threads work under pyinfra's command line too: gevent turns them into greenlets.
    """
    calls = list(calls)
    at_once = min(len(calls), _MOST_AT_ONCE)
    if at_once <= 1:
        return [call() for call in calls]
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        futures = [pool.submit(call) for call in calls]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()


def gather_by(keys: Iterable[Key], read: Callable[[Key], Result]) -> dict[Key, Result]:
    """Return what `read` returns for each of the keys, called in parallel as by `gather`."""
    keys = list(keys)
    return dict(zip(keys, gather(partial(read, key) for key in keys), strict=True))
