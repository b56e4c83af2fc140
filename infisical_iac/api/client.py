"""The HTTP client of Infisical's API: timeouts, rate limits, repeated requests, errors."""

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, Self

import httpx
import stamina

from infisical_iac.agent.answers import (
    describe_silence,
    explain_foreign,
    parse_body,
    read_error,
)
from infisical_iac.agent.api import is_working
from infisical_iac.api.rate_limits import RateLimiter
from infisical_iac.core.errors import ApiError, Unreachable

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

        The server is asked once, with a short timeout.
        """
        return is_working(
            lambda method, path, json: self._send(method, path, json=json, timeout=_IMPATIENCE)
        )

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
            retry_after = response.headers.get("Retry-After")
            line = (response.status_code, response.reason_phrase, retry_after)
            raise ApiError.of(read_error(*line, response.content, method, path, sent=json))
        body = parse_body(response.content)
        if body is None:
            raise ApiError.of(explain_foreign(response.status_code, method, path))
        return body

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
        return Unreachable(describe_silence(server, method, path, error))


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
