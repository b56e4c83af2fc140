"""The same on several hosts at once, and whether what an inventory names is there at all."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import gevent  # type: ignore[import-untyped]
from pyinfra.api.host import Host
from pyinfra.context import ctx_config

from infisical_iac.core.connection import current
from infisical_iac.host.machine import MachineState

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


def absence(machines: Mapping[str, MachineState], *, topology: str, away: bool = False) -> str:
    """Return why there is nothing to look at as the inventory has it, in one sentence; empty if
    there is.

    While data move between a single host and a cluster, there is something in either view.

    Args:
        machines: the hosts that were reached, by their names in the inventory; at least one.
        topology: that of the settings, `single` or `swarm`.
        away: whether others of the inventory were not reached, who may know more.
    """
    if away:
        return ""
    deployed = [name for name, each in machines.items() if each.deployed]
    if not deployed:
        return f"nothing is deployed on {', '.join(machines)} yet: `infisical-iac apply` does it"
    if any(each.scaling for each in machines.values()):
        return ""
    clustered = any(each.clustered for each in machines.values())
    if topology == "single" and clustered:
        return f"{deployed[0]} is one host of a cluster: name the inventory of the whole cluster"
    if topology == "swarm" and not clustered:
        return (
            f"{deployed[0]} has Infisical for itself, and there is no cluster: name an inventory "
            "of that host alone, or bring it into a cluster by `infisical-iac scale-out`"
        )
    return ""
