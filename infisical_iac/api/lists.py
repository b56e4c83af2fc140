"""Read lists page by page, and send requests in parallel."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from infisical_iac.api.client import Client

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
    if not calls:
        return []
    with ThreadPoolExecutor(max_workers=min(len(calls), _MOST_AT_ONCE)) as pool:
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
