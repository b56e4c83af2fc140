"""All hosts of the inventory at once: looked at together, and each spoken to from any other."""

from collections.abc import Mapping
from threading import Lock
from time import monotonic, sleep
from weakref import WeakKeyDictionary

import gevent  # type: ignore[import-untyped]
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.context import ctx_state, host

from infisical_iac.cluster.membership import cluster
from infisical_iac.cluster.model import Cluster, settling
from infisical_iac.cluster.swarm_state import Swarm, SwarmState
from infisical_iac.cluster.validation import refuse_malformed
from infisical_iac.core.connection import current, without_delay

# For hosts that boot together, and a swarm that elects a leader.
_SETTLING_SECONDS = 60
_reading = Lock()
_looks: WeakKeyDictionary[State, dict[str, SwarmState]] = WeakKeyDictionary()


def known() -> Cluster:
    """The cluster, told to the current host; all its hosts are looked at once a run, together.

    Raises Refused.
    """
    state = host.state
    with _reading:
        if state not in _looks:
            _looks[state] = _settled(state)
    hosts: list[Host] = [*state.inventory]
    addresses = {each.name: str(each.data.get("cluster_address") or "") for each in hosts}
    refuse_malformed(addresses)
    return cluster([each.name for each in hosts], _looks[state], addresses=addresses, me=host.name)


def _settled(state: State) -> dict[str, SwarmState]:
    """The looks, once managers that have just started have found together, or had time for it."""
    end = monotonic() + _SETTLING_SECONDS
    while settling(looks := _read(state)) and monotonic() < end:
        sleep(2)
    return looks


def forget() -> None:
    """Let the next `known` look at the hosts anew."""
    _looks.pop(host.state, None)


def _read(state: State) -> dict[str, SwarmState]:
    active: list[Host] = state.inventory.get_active_hosts()
    spawned = {each.name: gevent.spawn(_look, state, each) for each in active}
    return {name: greenlet.get() for name, greenlet in spawned.items()}


def _look(state: State, of: Host) -> SwarmState:
    with ctx_state.use(state), current(of):
        without_delay(of)
        return of.get_fact(Swarm)


def looks() -> Mapping[str, SwarmState]:
    """Return what each connected host is like, read once more."""
    return _read(host.state)
