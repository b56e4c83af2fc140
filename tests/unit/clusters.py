"""A cluster of three data nodes, and settings for it."""

from typing import Any

from infisical_iac.agent.membership import SwarmState
from infisical_iac.cluster.model import Cluster, Node
from infisical_iac.cluster.site import ClusterSite
from infisical_iac.core.settings import Settings, load
from infisical_iac.host.model import MachineState
from tests.unit.settings_of import defaults


def settings(**changes: Any) -> Settings:
    """Return the default settings of a cluster, with changes."""
    return load(defaults(**{"topology": "swarm", **changes}))


def site(*, unreachable: tuple[int, ...] = (), **changes: Any) -> ClusterSite:
    """Return the cluster as node-1, its leader, sees it; `unreachable` are numbers of nodes."""
    nodes = tuple(
        Node(
            name=f"node-{number}",
            address=f"10.0.0.{number}",
            number=number,
            manager=True,
            joined="new",
            seen=None if number in unreachable else SwarmState(),
        )
        for number in (1, 2, 3)
    )
    cluster = Cluster(nodes=nodes, me=nodes[0], leader=nodes[0], ipvs=True)
    return ClusterSite(settings(**changes), MachineState(), cluster)
