"""Observed states of a cluster's hosts, for tests."""

from dataclasses import replace
from typing import Any

from infisical_iac.agent.membership import SwarmMember, SwarmState
from infisical_iac.cluster.membership import cluster
from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.swarm import CERTIFICATE_HOURS

NAMES = ("one", "two", "three")
SWARM = "swarm-id"


def bare(number: int, **changes: Any) -> SwarmState:
    """Return the state of a bare host."""
    seen = SwarmState(address=f"10.0.0.{number}", ipvs=True, esp=True)
    return replace(seen, **changes)


def three_bare() -> dict[str, SwarmState]:
    """Return the states of three bare hosts."""
    return {name: bare(number) for number, name in enumerate(NAMES, 1)}


def member(number: int, name: str, /, **changes: Any) -> SwarmMember:
    """Return a node as the managers of a converged cluster see it."""
    kept = number if number <= 3 else 0
    there = SwarmMember(
        id=f"id{number}",
        hostname=f"h{number}",
        address=f"10.0.0.{number}",
        host=name,
        number=kept,
        joined="new" if kept else "",
        down=False,
        active=True,
        manager=bool(kept),
        leader=number == 1,
    )
    return replace(there, **changes)


def converged_states(*members: SwarmMember) -> dict[str, SwarmState]:
    """Return the states of the hosts of a converged cluster, by the names of their members."""
    return {
        each.host: bare(
            int(each.id.removeprefix("id")),
            stack=True,
            state="active",
            id=each.id,
            advertised=each.address,
            control=each.manager,
            swarm=SWARM if each.manager else "",
            mark=SWARM,
            autolock=each.manager,
            unlocks=each.manager,
            expiry=CERTIFICATE_HOURS * 3600 if each.manager else 0,
            pool="10.201.0.0/16" if each.manager else "",
            members=members if each.manager else (),
            serial=4,
            serial_as_leader=4 if each.id == "id1" else 0,
            digest="state",
            key="key",
        )
        for each in members
    }


def three() -> dict[str, SwarmState]:
    """Return the states of a converged cluster of three, led by the first host."""
    return converged_states(*(member(number, name) for number, name in enumerate(NAMES, 1)))


def cluster_of(
    observed: dict[str, SwarmState],
    *,
    inventory: tuple[str, ...] = NAMES,
    me: str = "",
    addresses: dict[str, str] | None = None,
) -> Cluster:
    """Return the cluster as seen from `me`, or from the first connected host."""
    return cluster(inventory, observed, addresses=addresses or {}, me=me or next(iter(observed)))
