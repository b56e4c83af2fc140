"""Call the same for several hosts at once."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import gevent  # type: ignore[import-untyped]
from pyinfra.api.host import Host
from pyinfra.context import ctx_config

from infisical_iac.core.connection import current

T = TypeVar("T")


def on_each(hosts: Sequence[Host], call: Callable[[Host], T]) -> list[T | Exception]:
    """Call something for each host, current then; what it returns or raises, in their order.

    Waits for all. On a single host it is called here, so that an interruption reaches it.
    """

    def one(host: Host) -> T | Exception:
        try:
            with ctx_config.use(host.state.config.copy()), current(host):
                return call(host)
        except Exception as error:  # whatever it is, the other hosts go on to their end
            return error

    if len(hosts) == 1:
        with current(hosts[0]):
            return [call(hosts[0])]
    greenlets = [host.state.pool.spawn(one, host) for host in hosts]
    try:
        gevent.joinall(greenlets)
    finally:
        gevent.killall(greenlets)
    return [greenlet.value for greenlet in greenlets]


def each_of(hosts: Sequence[Host], call: Callable[[Host], T]) -> list[T]:
    """The same, where all must return: the first thing that was raised is raised then."""
    found = []
    for each in on_each(hosts, call):
        if isinstance(each, Exception):
            raise each
        found.append(each)
    return found
