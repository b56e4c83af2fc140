"""Lists that the server gives out in pages, and requests made side by side."""

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
    """Every item of a list, each once, in the server's order.

    Args:
        path: the list's path; it is asked with `limit` and `offset`.
        key: where the items are in an answer, such as `identities`.
        params: further parameters of the query.

    Routes that know no pages answer with everything, again and again: the end is reached when
    a page brings nothing new.
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
    """Call all of them, at most eight at once, and return their results in the same order.

    The first that fails, in that order, raises its exception; those not begun are dropped.
    Threads do under pyinfra's command line too, where gevent makes greenlets of them.
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
    """Return what `read` returns for each of the keys, called side by side as `gather` does."""
    keys = list(keys)
    return dict(zip(keys, gather(partial(read, key) for key in keys), strict=True))
