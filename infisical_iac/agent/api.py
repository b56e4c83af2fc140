"""Call Infisical's API on the loopback of this host.

The functions of the agent take an `ApiClient`, so that the operator's side can call them with its
own client too, whose errors are subclasses of `AnswerError` and `NoAnswer`.
"""

import http.client
import json as encoding
import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, Self, TypeVar
from urllib.parse import urlencode

from infisical_iac.agent.answers import (
    AnswerError,
    NoAnswer,
    describe_silence,
    explain_foreign,
    parse_body,
    read_error,
)
from infisical_iac.agent.runner import Failure

_CONNECT_SECONDS, _SECONDS, _SHORT_SECONDS = 10.0, 30.0, 5.0
# The server decrypts every secret of a folder, which may hold many thousands.
_PATIENCE = 600.0
_ATTEMPTS, _RETRYING_ENDS_AFTER = 4, 60.0
_SHORTEST_WAIT, _LONGEST_WAIT, _JITTER = 0.1, 3.0, 1.0
# How often a request is sent that the server refuses for now; all limits end within a minute.
_MOST_REFUSALS, _REFUSED_FOR_NOW = 8, 429


class ApiClient(Protocol):
    """A client of an Infisical server, with a token or without.

    A request raises AnswerError if the answer is not a success, and NoAnswer if there is none.
    """

    def get(self, path: str, *, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a GET; it is sent again where that can help."""
        ...

    def find(self, path: str, *, absent: Collection[int] = (404,)) -> dict[str, Any] | None:
        """Send a GET as `get` does; return None if the status is in `absent`."""
        ...

    def post(self, path: str, *, json: Any = None) -> dict[str, Any]:
        """Send a POST; it is sent again only if the server has not processed it."""
        ...

    def patch(self, path: str, *, json: Any = None) -> dict[str, Any]:
        """Send a PATCH; it is sent again only if the server has not processed it."""
        ...

    def delete(self, path: str, *, json: Any = None) -> dict[str, Any]:
        """Send a DELETE; it is sent again only if the server has not processed it."""
        ...

    def post_again(self, path: str, *, json: Any) -> dict[str, Any]:
        """Send a POST that may be repeated, such as a login; retry it as `get` does."""
        ...

    def with_token(self, token: str) -> Self:
        """Return a client of the same server with another token."""
        ...

    def with_patience(self) -> Self:
        """Return a client with the same token that waits up to ten minutes for an answer."""
        ...


@dataclass(frozen=True)
class LoopbackClient:
    """The client of the Infisical on a port of this host's loopback; see `ApiClient`.

    Several threads may use it at once. It uses no proxy.

    Attributes:
        token: the access token to send; empty for none.
        seconds: how long to wait for an answer.
    """

    port: int
    token: str = field(default="", repr=False)
    seconds: float = _SECONDS

    def with_token(self, token: str) -> "LoopbackClient":
        return replace(self, token=token)

    def with_patience(self) -> "LoopbackClient":
        return replace(self, seconds=_PATIENCE)

    def get(self, path: str, *, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        target = f"{path}?{urlencode(params)}" if params else path
        return self._retry("GET", target, repeatable=True)

    def find(self, path: str, *, absent: Collection[int] = (404,)) -> dict[str, Any] | None:
        try:
            return self.get(path)
        except AnswerError as error:
            if error.status in absent:
                return None
            raise

    def post(self, path: str, *, json: Any = None) -> dict[str, Any]:
        return self._retry("POST", path, json)

    def patch(self, path: str, *, json: Any = None) -> dict[str, Any]:
        return self._retry("PATCH", path, json)

    def delete(self, path: str, *, json: Any = None) -> dict[str, Any]:
        return self._retry("DELETE", path, json)

    def post_again(self, path: str, *, json: Any) -> dict[str, Any]:
        return self._retry("POST", path, json, repeatable=True)

    def answers(self) -> bool:
        """Return whether the server works, with Redis and database; it is asked once."""
        return is_working(replace(self, seconds=_SHORT_SECONDS)._send)

    def _retry(
        self, method: str, target: str, body: Any = None, *, repeatable: bool = False
    ) -> dict[str, Any]:
        """Send a request until it is answered, or can't be sent again.

        One that the server refuses for now was not processed. One that is `repeatable` is also sent
        again after an error of the server, or no answer.
        """
        end = time.monotonic() + _RETRYING_ENDS_AFTER
        failures = refusals = 0
        while True:
            wait = None
            try:
                return self._send(method, target, body)
            except (AnswerError, NoAnswer) as error:
                if isinstance(error, AnswerError) and error.status == _REFUSED_FOR_NOW:
                    refusals, wait = refusals + 1, error.retry_after
                    is_last = refusals == _MOST_REFUSALS
                else:
                    failures += 1
                    is_last = failures == _ATTEMPTS or time.monotonic() >= end
                    is_last = is_last or not (repeatable and _may_pass(error))
                if is_last:
                    raise
            if wait is None:
                wait = _backoff(failures + refusals)
            else:
                end += wait  # The server's own wait is no reason to give up.
            time.sleep(wait)

    def _send(self, method: str, target: str, body: Any = None) -> dict[str, Any]:
        path = target.partition("?")[0]
        headers = {"User-Agent": "infisical-iac", "Connection": "close"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        text = None if body is None else encoding.dumps(body)
        made = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_CONNECT_SECONDS)
        try:
            with closing(made):
                made.connect()
                made.sock.settimeout(self.seconds)
                made.request(method, target, text, headers)
                answer = made.getresponse()
                content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            server = f"http://127.0.0.1:{self.port}"
            sentence = describe_silence(server, method, path, error)
            raise NoAnswer(Failure("unreachable", sentence)) from None
        if not 200 <= answer.status < 300:
            retry_after = answer.headers["Retry-After"]
            line = (answer.status, answer.reason, retry_after)
            raise AnswerError.of(read_error(*line, content, method, path, sent=body))
        found = parse_body(content)
        if found is None:
            raise AnswerError.of(explain_foreign(answer.status, method, path))
        return found


def _may_pass(error: AnswerError | NoAnswer) -> bool:
    """Return whether the next try may succeed: after an error of the server, or no answer."""
    return error.status >= 500 if isinstance(error, AnswerError) else True


def _backoff(number: int) -> float:
    """Return the seconds to wait after a number of failures; programs don't wait in step."""
    wait = _SHORTEST_WAIT * 2.0 ** (number - 1) + random.uniform(0, _JITTER)
    return min(_LONGEST_WAIT, wait)


_NOBODY = {"clientId": "00000000-0000-0000-0000-000000000000", "clientSecret": "none"}


def is_working(send: Callable[[str, str, Any], object]) -> bool:
    """Return whether a server works, with Redis and database.

    The status route asks Redis, and a login as an unknown identity asks the database.

    Args:
        send: sends a request once, with its method, path and body, and a short timeout.
    """
    try:
        send("GET", "/api/status", None)
        send("POST", "/api/v1/auth/universal-auth/login", _NOBODY)
    except AnswerError as error:
        return error.status == 401
    except NoAnswer:
        return False
    return True


_PAGE = 100
_MOST_PAGES = 100


def all_of(
    client: ApiClient, path: str, key: str, params: Mapping[str, Any] | None = None
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
