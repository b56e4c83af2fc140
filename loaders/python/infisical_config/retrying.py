"""Send the SDK's requests with retries, within a deadline, and without redirects."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import BadStatusLine, RemoteDisconnected
from io import BytesIO
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter

if TYPE_CHECKING:
    from requests import PreparedRequest, Response
    from urllib3 import ProxyManager

    from .bootstrap import Bootstrap
    from .errors import Code, ConfigError
    from .route import Route

_ATTEMPTS = 4
_FIRST_PAUSE = 0.5
_TOO_LITTLE = 0.05  # too few seconds for a request


class Unchanged(Exception):
    """The list has not changed since the last read."""


class PatientAdapter(HTTPAdapter):
    """Repeats a request on network errors, 429 and 5xx, at most four times altogether.

    It raises errors that the SDK passes on: the SDK's own retries, which know neither a deadline
    nor a status, never see a failure that they would repeat.

    Attributes:
        known: the ETag of the known list; None requests the whole list.
        seen: the ETag of the last list received.
    """

    def __init__(self, place: Bootstrap, route: Route) -> None:
        self._route = route
        super().__init__()
        self._place = place
        self._timeout = self._deadline = 0.0
        self._refused: Code | None = None
        self.known: str | None = None
        self.seen: str | None = None

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Connect with the route's own TLS settings, with and without a proxy."""
        super().init_poolmanager(*args, **options, ssl_context=self._route.tls)

    def proxy_manager_for(self, proxy: str, **options: Any) -> ProxyManager:
        """See `init_poolmanager`."""
        made: ProxyManager = super().proxy_manager_for(
            proxy, **options, ssl_context=self._route.tls
        )
        return made

    def allow(self, timeout: float) -> None:
        """Send requests for that many seconds from now."""
        self._timeout, self._deadline = timeout, time.monotonic() + timeout

    def forget_status(self) -> None:
        """Forget the status of the request before; `late` is about the next one."""
        self._refused = None

    def late(self) -> ConfigError:
        """Return the error for a request out of time, unless its status was final."""
        if self._refused:
            return self._place.error(self._refused)
        return self._place.error("deadline", timeout=f"{self._timeout:g}")

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        """Return the answer to a request, with its body.

        Raises ConfigError if there is no usable one, and Unchanged for a 304.
        """
        if self.known and request.method == "GET":
            request.headers["If-None-Match"] = self.known
        for attempt in range(_ATTEMPTS):
            answer = self._once(request, *args, **options)
            if answer is not None and answer.status_code < 500 and answer.status_code != 429:
                return self._accept(answer)
            wait = pause(attempt, None if answer is None else answer.headers.get("Retry-After"))
            if attempt + 1 == _ATTEMPTS or wait >= self._seconds_left():
                break
            time.sleep(wait)
        raise self._failure(answer)

    def _once(self, request: PreparedRequest, *args: Any, **options: Any) -> Response | None:
        """Return the answer; None if there was none."""
        self._refused = None
        if self._seconds_left() < _TOO_LITTLE:
            raise self.late()
        try:
            answer = super().send(request, *args, **{**options, "timeout": self._seconds_left()})
        except OSError as error:  # as all of requests' errors are; so are missing certificates
            if _is_no_http(error):
                raise self._place.error("not_infisical") from None
            return None
        self._refused = _refusal(answer)
        try:
            answer.content  # noqa: B018 - read here, where a failure counts as the request's
        except OSError:
            if self._refused is None:
                return None
            answer.raw = BytesIO(b"{}")
        return answer

    def _accept(self, answer: Response) -> Response:
        if answer.status_code == 304:
            raise Unchanged
        if 300 <= answer.status_code < 400:  # the redirect's target must not get the secret
            raise self._place.error("not_infisical")
        if answer.request.method == "GET":
            self.seen = answer.headers.get("ETag")
        return answer

    def _failure(self, answer: Response | None) -> ConfigError:
        if answer is None:
            late = self._seconds_left() < _TOO_LITTLE
            return self.late() if late else self._place.error("unreachable")
        if answer.status_code == 429:
            return self._place.error("rate_limited")
        return self._place.error("server", status=answer.status_code)

    def _seconds_left(self) -> float:
        return self._deadline - time.monotonic()


def _refusal(answer: Response) -> Code | None:
    """Return the meaning of an answer whose status is final, even if its body is cut off.

    Trying a wrong secret again would lock the identity.
    """
    if not 400 <= answer.status_code < 500 or answer.status_code == 429:
        return None
    return "refused" if answer.request.method == "POST" else "forbidden"


def _is_no_http(error: BaseException) -> bool:
    """Return whether a server answered in another protocol, so that a retry is useless."""
    reasons = [each for each in error.args if isinstance(each, BaseException)]
    is_other = isinstance(error, BadStatusLine) and not isinstance(error, RemoteDisconnected)
    return is_other or any(map(_is_no_http, reasons))


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
