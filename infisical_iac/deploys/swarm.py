"""The hosts of a cluster brought into one swarm, and each node what it should be."""

from collections.abc import Iterator

from pyinfra.api.deploy import deploy

from infisical_iac.cluster import etcd, share
from infisical_iac.cluster import swarm as operation
from infisical_iac.cluster.swarm_state import HANDING_OVER, PROGRAM, UNIT, UNIT_FILE
from infisical_iac.core.files import File
from infisical_iac.core.rendering import script_file, template
from infisical_iac.host.preflight import Preflight


def programs() -> Iterator[File]:
    """Yield what opens a host's part in the swarm when Docker starts, and hands over before it
    stops.
    """
    yield File(PROGRAM, script_file("swarm-unlock"))
    yield File(HANDING_OVER, script_file("hand-over"))
    yield File(UNIT_FILE, template(UNIT, script=PROGRAM, handing_over=HANDING_OVER))


@deploy("Swarm")
def swarm(known: Preflight) -> None:
    """Make the swarm and bring the host into it; nothing of it on a host of its own."""
    if known.cluster is None:
        return
    operation.begun(cluster=known.cluster, name="Make the swarm")
    operation.joined(cluster=known.cluster, name="Bring the hosts into the swarm")
    if known.leads:
        etcd.members_replaced(
            cluster=known.cluster, name="Make room in etcd for a node that replaces another"
        )
    operation.arranged(cluster=known.cluster, name="Have the nodes as they should be")
    operation.kept_open(
        cluster=known.cluster,
        programs=[*programs()],
        name="Open the host's part in the swarm when it boots",
    )
    share.claimed(cluster=known.cluster, name="Have one host that leads")
