"""Send requests with retries, within a deadline, and without redirects."""

from __future__ import annotations

import json
import random
import selectors
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import BadStatusLine, HTTPConnection, HTTPException, RemoteDisconnected
from ssl import SSLCertVerificationError
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message
    from http.client import HTTPResponse

    from .bootstrap import Bootstrap
    from .errors import Code, ConfigError
    from .route import Route

ATTEMPTS: Final = 4
_FIRST_PAUSE = 0.5
_TOO_LITTLE = 0.05  # too few seconds for a request


class Received(NamedTuple):
    """An answer with its body."""

    status: int
    headers: Message
    body: bytes


class PatientClient:
    """A client that repeats requests after network errors, 429 and 5xx: four attempts in all.

    It keeps one connection, and so makes one request at a time.
    """

    def __init__(self, place: Bootstrap, route: Route) -> None:
        self._place = place
        self._route = route
        self._connection: HTTPConnection | None = None
        self._timeout = self._deadline = 0.0
        self._refused: Code | None = None

    def allow(self, timeout: float) -> None:
        """Set the time limit of requests, in seconds from now."""
        self._timeout, self._deadline = timeout, time.monotonic() + timeout

    def forget_status(self) -> None:
        """Forget the status of the request before; `late` is about the next one."""
        self._refused = None

    def late(self) -> ConfigError:
        """Return the error for a request out of time, unless its status was final."""
        if self._refused:
            return self._place.error(self._refused)
        return self._place.error("deadline", timeout=f"{self._timeout:g}")

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        if self._connection:
            self._connection.close()

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        once: bool = False,
        by_token: bool = False,
    ) -> Received:
        """Return the answer to a request, with its body.

        Args:
            once: whether to send it only once, such as a code, whose wrong attempts are counted;
                an answer of any status is then returned.
            by_token: whether it is a login by tokens, which their issuer may fail.

        Raises ConfigError if there is no usable one.
        """
        for attempt in range(ATTEMPTS):
            answer = self._once(method, path, headers, body)
            is_final = answer is not None and answer.status < 500 and answer.status != 429
            if answer is not None and (is_final or once):
                if 300 <= answer.status < 400 and answer.status != 304:
                    raise self._place.error("not_infisical")  # its target must not get the secret
                return answer
            wait = pause(attempt, None if answer is None else answer.headers.get("Retry-After"))
            if once or attempt + 1 == ATTEMPTS or wait >= self.seconds_left():
                break
            time.sleep(wait)
        raise self._failure(answer, by_token=by_token)

    def _once(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Received | None:
        """Return the answer; None if there was none."""
        self._refused = None
        if self.seconds_left() < _TOO_LITTLE:
            raise self.late()
        try:
            response = self._request(method, path, headers, body)
        except SSLCertVerificationError as failure:  # which a retry can't mend
            self.close()
            why, variable = failure.verify_message.rstrip("."), self._route.authorities
            raise self._place.error("unreachable", why=why, variable=variable) from None
        except (OSError, HTTPException, ValueError) as failure:  # ValueError: for an invalid name
            self.close()
            if not _is_no_http(failure):
                return None
            response = None
        if response is None:  # not raised in the handler: the failure quotes the answer
            raise self._place.error("not_infisical")
        self._refused = _refusal(method, response.status)
        try:
            content = response.read()
        except (OSError, HTTPException):
            self.close()
            if self._refused is None:
                return None
            # It counts as Infisical's own: trying a wrong secret again would lock the identity.
            content = json.dumps({"statusCode": response.status, "error": "cut off"}).encode()
        return Received(response.status, response.headers, content)

    def _request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> HTTPResponse:
        if self._connection is None:
            self._connection = self._route.connection()
        connection, left = self._connection, self.seconds_left()
        if connection.sock and _is_readable(connection):
            connection.close()  # the server has closed it since the last request
        connection.timeout = left
        if connection.sock:
            connection.sock.settimeout(left)
        every = {**headers, **self._route.headers()}
        connection.request(method, self._route.target(path), body, every)
        return connection.getresponse()

    def _failure(self, answer: Received | None, *, by_token: bool) -> ConfigError:
        if answer is None:
            late = self.seconds_left() < _TOO_LITTLE
            return self.late() if late else self._place.error("unreachable")
        if answer.status == 429:
            return self._place.error("rate_limited")
        return self._place.error("server", status=answer.status, by_token=by_token)

    def seconds_left(self) -> float:
        """Return the seconds in which requests may still be sent."""
        return self._deadline - time.monotonic()


def _is_readable(connection: HTTPConnection) -> bool:
    """Return whether a connection has something to read although no answer is expected."""
    with selectors.DefaultSelector() as selector:
        selector.register(connection.sock, selectors.EVENT_READ)
        return bool(selector.select(0))


def _refusal(method: str, status: int) -> Code | None:
    """Return the meaning of an answer whose status is final, even if its body is cut off.

    Trying a wrong secret again would lock the identity.
    """
    if not 400 <= status < 500 or status == 429:
        return None
    return "refused" if method == "POST" else "forbidden"


def _is_no_http(failure: Exception) -> bool:
    """Return whether a server answered in another protocol, so that a retry is useless."""
    return isinstance(failure, BadStatusLine) and not isinstance(failure, RemoteDisconnected)


def pause(attempt: int, retry_after: str | None) -> float:
    """Return the seconds to wait after an attempt, counted from 0; a server may ask for its own.

    By default 0.5, 1, 2... plus or minus a fifth, so that a fleet does not come back at once.
    """
    asked = _seconds(retry_after or "")
    return _FIRST_PAUSE * 2**attempt * random.uniform(0.8, 1.2) if asked is None else asked


def _seconds(retry_after: str) -> float | None:
    if retry_after.isascii() and retry_after.isdecimal():
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # neither seconds nor a date
        return None
