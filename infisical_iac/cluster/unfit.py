"""Refuse hosts that can't be one cluster, as they are looked at. Pure."""

from collections.abc import Mapping, Sequence

from infisical_iac.cluster import leading
from infisical_iac.cluster.model import ClusterRefused
from infisical_iac.cluster.settings import DATA_NODES
from infisical_iac.facts.swarm_state import SwarmState

_RUNBOOK = "docs/cluster-runbooks.md"


def refuse(
    inventory: Sequence[str], names: Sequence[str], looks: Mapping[str, SwarmState], lead: str
) -> None:
    """Raise ClusterRefused if hosts can't be one cluster, or can't be at the moment.

    Args:
        inventory: the names of its hosts.
        names: which of them are connected.
        looks: what those are like.
        lead: which of them would lead.
    """
    _refuse_few(inventory, names, looks)
    _refuse_clocks(names, looks)
    _refuse_older(names, looks, lead)
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
    if not (marks and looks[lead].stack):
        _refuse_data(names, looks, lead)
    for name in names:
        _refuse_foreign(name, looks[name], lead, looks[lead], marks)


def _refuse_few(
    inventory: Sequence[str], names: Sequence[str], looks: Mapping[str, SwarmState]
) -> None:
    if len(inventory) < DATA_NODES:
        clustered = any(looks[name].stack for name in names)
        or_single = "" if clustered else ", or set topology to 'single'"
        raise ClusterRefused(
            f"setting 'topology': a swarm takes {DATA_NODES} hosts or more, and the inventory has "
            f"{len(inventory)}: add hosts to it{or_single}"
        )


def _refuse_clocks(names: Sequence[str], looks: Mapping[str, SwarmState]) -> None:
    wrong = [name for name in names if looks[name].early]
    if wrong:
        raise ClusterRefused(
            f"the clock of {' and '.join(wrong)} is behind: the certificate by which the swarm "
            "knows the host is not valid yet there: set the clock (`timedatectl` tells it), start "
            "Docker anew (`systemctl restart docker`), and run again"
        )


def _refuse_older(names: Sequence[str], looks: Mapping[str, SwarmState], lead: str) -> None:
    if newer := leading.newer(names, looks, lead):
        raise ClusterRefused(
            f"{lead} has an older state than {' and '.join(newer)}, which the swarm's managers "
            "wait for: run again in a minute, or start Docker anew there (`systemctl restart "
            "docker`)"
        )


def _refuse_data(names: Sequence[str], looks: Mapping[str, SwarmState], lead: str) -> None:
    others = [
        name
        for name in names
        if looks[name].data and name != lead and looks[name].mark in ("", "new")
    ]
    if others:
        raise ClusterRefused(
            f"{' and '.join(others)} would come into a new swarm of {lead} with PostgreSQL's data, "
            "and nothing says whose are the newest: keep those of the host that leads, and remove "
            f"the volume infisical_patroni elsewhere ({_RUNBOOK}, 'Whose data')"
        )


def _refuse_foreign(
    name: str, look: SwarmState, lead: str, leads: SwarmState, marks: set[str]
) -> None:
    if look.state not in ("", "inactive") and not look.mark:
        raise ClusterRefused(
            f"Docker on {name} is in a Swarm that is not this project's, as Dokploy has it: "
            "use a host of Infisical's own, or let this one leave its Swarm first"
        )
    if len(marks) > 1 and look.mark not in ("new", leads.mark, ""):
        raise ClusterRefused(
            f"{name} is in another cluster than {lead}: take it out of the inventory, or let "
            "it leave that one first (`docker swarm leave --force`, and remove "
            "/etc/infisical/swarm)"
        )
    # A host that once was one of them has an older state, not another one, or half of both.
    own = not look.serial and look.mark in ("", "new")
    if look.key and look.key != leads.key and own:
        raise ClusterRefused(
            f"{name} has an encryption key of its own, which another database needs than that "
            f"of {lead}: use a host with no Infisical on it"
        )
