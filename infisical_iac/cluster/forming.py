"""How hosts of an inventory, as they are looked at, make a cluster. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from infisical_iac.cluster import consensus, membership
from infisical_iac.cluster.nodes import Cluster, ClusterRefused, Node, free_pool
from infisical_iac.cluster.settings import DATA_NODES
from infisical_iac.facts.swarm_state import Member, SwarmState

_RUNBOOK = "docs/cluster-runbooks.md"


def cluster(
    inventory: Sequence[str],
    looks: Mapping[str, SwarmState],
    *,
    addresses: Mapping[str, str],
    me: str,
) -> Cluster:
    """What the hosts of an inventory are together.

    Args:
        inventory: the names of its hosts, in their order.
        looks: what each host that is connected is like.
        addresses: `cluster_address` by name, for hosts where it is set.
        me: the name of the host that this is told to.

    Raises ClusterRefused.
    """
    names = [name for name in inventory if name in looks]
    lead = _lead(names, looks)
    members = looks[lead].members
    _refuse(inventory, names, looks, lead)
    gone = tuple(each for each in members if membership.is_gone(each, inventory, looks))
    staying = [each for each in members if each not in gone]
    begun = any(look.stack for look in looks.values() if _counts(look, looks[lead]))
    nodes = membership.numbered(
        [*membership.matched(names, looks, addresses, staying)], joins=begun and bool(members)
    )
    lost = tuple(membership.lost(gone, nodes))
    gone = tuple(each for each in gone if each not in lost)
    nodes = membership.ordered([*nodes, *map(membership.absent, lost)])
    anew = begun and bool(members) and consensus.lost(nodes)
    nodes = consensus.beginning(nodes, anew=anew)
    by_name = {node.name: node for node in nodes}
    for each in nodes:
        if each is not by_name[each.name]:
            raise ClusterRefused(
                f"{each.name} was made anew, and the swarm still waits for the host that had its "
                "name: run again in a minute, when it has given that one up"
            )
    return Cluster(
        nodes=nodes,
        me=by_name[me],
        lead=by_name[lead],
        ipvs=not any("ipvs" in node.lacks for node in nodes),
        esp=not any("esp" in node.lacks for node in nodes),
        pool=looks[lead].pool or free_pool(node.address for node in nodes),
        begun=begun,
        anew=anew,
        generation=max(each.generation for each in members) + anew if members else 0,
        gone=gone,
        notes=tuple(_notes(inventory, nodes, lost)),
    )


def _lead(names: Sequence[str], looks: Mapping[str, SwarmState]) -> str:
    """The working manager with the newest state; of equals the one that led, then the first."""

    def rank(name: str) -> tuple[bool, bool, int, bool, bool]:
        look = looks[name]
        # What a host that was alone has would otherwise be lost to one that has nothing.
        keeps = bool(look.key)
        return (
            look.control,
            look.state in ("active", "locked"),
            look.serial,
            look.led == look.serial > 0,
            keeps,
        )

    return max(names, key=rank)


def _refuse(
    inventory: Sequence[str], names: Sequence[str], looks: Mapping[str, SwarmState], lead: str
) -> None:
    if len(inventory) < DATA_NODES:
        clustered = any(looks[name].stack for name in names)
        or_single = "" if clustered else ", or set topology to 'single'"
        raise ClusterRefused(
            f"setting 'topology': a swarm takes {DATA_NODES} hosts or more, and the inventory has "
            f"{len(inventory)}: add hosts to it{or_single}"
        )
    _refuse_clocks(names, looks)
    if newer := _newer(names, looks, lead):
        raise ClusterRefused(
            f"{lead} has an older state than {' and '.join(newer)}, which the swarm's managers "
            "wait for: run again in a minute, or start Docker anew there (`systemctl restart "
            "docker`)"
        )
    marks = {looks[name].mark for name in names} - {"", "new"}
    if not marks and len(names) < DATA_NODES:
        lost = ", ".join(name for name in inventory if name not in names)
        raise ClusterRefused(
            f"a first deploy to a cluster needs {DATA_NODES} hosts that can be reached, and "
            f"{lost} can't: see to it, and run again"
        )
    if marks and not any(look.control for look in looks.values()):
        raise ClusterRefused(
            "no host that can be reached is a manager with a majority behind it: bring the others "
            "back, start Docker there (`systemctl restart docker`), or follow "
            f"{_RUNBOOK}, 'Two of three lost'"
        )
    others = [
        name
        for name in names
        if looks[name].data and name != lead and looks[name].mark in ("", "new")
    ]
    if others and not (marks and looks[lead].stack):
        raise ClusterRefused(
            f"{' and '.join(others)} would come into a new swarm of {lead} with PostgreSQL's data, "
            "and nothing says whose are the newest: keep those of the host that leads, and remove "
            f"the volume infisical_patroni elsewhere ({_RUNBOOK}, 'Whose data')"
        )
    for name in names:
        look = looks[name]
        if look.state not in ("", "inactive") and not look.mark:
            raise ClusterRefused(
                f"Docker on {name} is in a Swarm that is not this project's, as Dokploy has it: "
                "use a host of Infisical's own, or let this one leave its Swarm first"
            )
        if len(marks) > 1 and look.mark not in ("new", looks[lead].mark, ""):
            raise ClusterRefused(
                f"{name} is in another cluster than {lead}: take it out of the inventory, or let "
                "it leave that one first (`docker swarm leave --force`, and remove "
                "/etc/infisical/swarm)"
            )
        # A host that once was one of them has an older state, not another one, or half of both.
        own = not look.serial and look.mark in ("", "new")
        if look.key and look.key != looks[lead].key and own:
            raise ClusterRefused(
                f"{name} has an encryption key of its own, which another database needs than that "
                f"of {lead}: use a host with no Infisical on it"
            )


def settling(looks: Mapping[str, SwarmState]) -> bool:
    """Whether managers are about to find together, so that in a moment more will be known.

    That is so where most of those that there must be can be reached, and the one that would lead
    has no majority behind it, or an older state than one that is not with them yet.
    """
    known = [name for name, look in looks.items() if look.mark not in ("", "new")]
    if len(known) * 2 <= DATA_NODES or not any(_looking(looks[name]) for name in known):
        return False
    lead = _lead(known, looks)
    return not looks[lead].control or bool(_newer(known, looks, lead))


def _newer(names: Sequence[str], looks: Mapping[str, SwarmState], lead: str) -> list[str]:
    """Managers of the lead's swarm with a newer state, which look for the others."""
    managers = {each.id for each in looks[lead].members if each.manager}
    return [
        name
        for name in names
        if _looking(looks[name])
        and looks[name].id in managers
        and looks[name].serial > looks[lead].serial
    ]


def _looking(look: SwarmState) -> bool:
    """Whether an engine is in a swarm, and may find its managers by itself."""
    return look.state in ("active", "pending") and look.serial > 0 and not look.control


def _refuse_clocks(names: Sequence[str], looks: Mapping[str, SwarmState]) -> None:
    wrong = [name for name in names if looks[name].early]
    if wrong:
        raise ClusterRefused(
            f"the clock of {' and '.join(wrong)} is behind: the certificate by which the swarm "
            "knows the host is not valid yet there: set the clock (`timedatectl` tells it), start "
            "Docker anew (`systemctl restart docker`), and run again"
        )


def _counts(look: SwarmState, lead: SwarmState) -> bool:
    """Whether the stack that a host knows of is this cluster's: not that of one before it."""
    return not lead.control or look.mark == lead.mark


def _notes(
    inventory: Sequence[str], nodes: Sequence[Node], lost: Sequence[Member]
) -> Iterable[str]:
    up = {node.name for node in nodes if node.up}
    away = [name for name in inventory if name not in up]
    if away:
        yield f"{', '.join(away)} can't be reached: the run goes on with {', '.join(sorted(up))}"
    for each in lost:
        yield (
            f"{each.host or each.hostname} is lost, and no host that can be reached takes its "
            "place: the cluster has two data nodes until one does"
        )
    for node in nodes:
        if not node.up and node.name not in inventory and node.member not in lost:
            yield (
                f"{node.name} is in the swarm, and in no inventory: add it there, or, to take it "
                f"out, shut it down and run again"
            )
