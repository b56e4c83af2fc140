"""The members of etcd: replaced where one is lost, and all of them where most are."""

from dataclasses import replace

from pyinfra.context import host

from infisical_iac.cluster import consensus
from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.swarm_state import Swarm, SwarmState
from infisical_iac.core import connection
from infisical_iac.core.errors import Refused
from infisical_iac.core.item import Item, UpToDate
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script


@telling_operation
def members_replaced(cluster: Cluster) -> Commands:
    """Make room in etcd for a data node that takes the place of a lost one, before it starts.

    What that node has of an earlier etcd goes: a host that was taken out and comes back, or lost
    its number, has the data of a member that is one no more, with which none starts. So does that
    of a node whose etcd lost its data. An etcd without a quorum takes no member, see `end_lost`.
    """
    replaced = consensus.replaced(cluster.nodes)
    if not replaced:
        yield UpToDate("no data node takes the place of another")
    for number, name in replaced.items():
        yield Item("~", f"etcd-{number}", f"the lost member → a new one on {name}")
        yield step(_replace_member, cluster, number, name)


def end_lost(cluster: Cluster) -> None:
    """Take away what is left of an etcd that has lost its quorum, to be rolled out anew at once.

    Where no PostgreSQL is the primary, those go too that may lack writes, and their data stay: any
    of them could become it in an etcd that knows nothing. The hosts are looked at again before, and
    an etcd that is well by now is left as it is. Raises Refused if something else has changed.
    """
    data = [node for node in cluster.nodes if node.number]
    now = [replace(node, seen=_seen(node.name)) for node in data]
    if any(node.etcd == "well" for node in now):
        return
    if not consensus.lost(now) or consensus.furthest(now) != cluster.first:
        raise Refused(
            "what the hosts tell of etcd and PostgreSQL has changed since the run began, and "
            "nothing was taken away: run again"
        )
    others = [node for node in data if cluster.first and node.number != cluster.first]
    ended = [f"etcd-{node.number}" for node in data] + [f"postgres-{n.number}" for n in others]
    for node in data:
        with connection.on(node.name):
            run(script("etcd", "abandon"), doing=f"note that the etcd of {node.name} begins anew")
    run(script("etcd", "stop", *ended), doing="end what is left of etcd")
    for node in others:
        with connection.on(node.name):
            run(script("etcd", "ended"), doing=f"end the PostgreSQL of {node.name}")
    for node in data:
        with connection.on(node.name):
            run(script("etcd", "forget"), doing=f"remove the etcd of {node.name}")


def _seen(name: str) -> SwarmState:
    with connection.on(name):
        return host.get_fact(Swarm)


def _replace_member(cluster: Cluster, number: int, name: str) -> None:
    well = [node.name for node in cluster.connected if node.etcd == "well" and node.name != name]
    keeper = cluster.lead.name if cluster.lead.name in well or not well else well[0]
    with connection.on(keeper):
        run(script("etcd", "stop", f"etcd-{number}"), doing=f"end etcd-{number}")
    with connection.on(name):
        run(script("etcd", "forget"), doing=f"remove the earlier etcd of {name}")
    with connection.on(keeper):
        run(script("etcd", "member", str(number)), doing=f"give {name} its place in etcd")
