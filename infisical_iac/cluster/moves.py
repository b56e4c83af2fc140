"""The end of a cluster, once one of its hosts has Infisical for itself."""

from pyinfra.context import host

from infisical_iac.cluster import swarm, topology
from infisical_iac.core.connection import current, with_others
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script


def dissolve(stamp: str) -> list[str]:
    """Remove the cluster's services, and let its hosts leave the swarm, the current one at last.

    The others forget keys and records then, which the current one has. What a run that died has
    left of it is done to its end. Raises CommandFailed.

    Args:
        stamp: what the volumes that are kept are named after; empty to keep none.

    Returns a sentence on each that is kept.
    """
    # Whichever is the current one in between.
    keeper = host.name
    hosts = sorted(with_others(host), key=lambda each: each.name == keeper)
    _step("services", doing="remove the cluster's services")
    for each in hosts:
        with current(each):
            _step("containers", doing=f"see the cluster's containers on {each.name} end")
    kept = []
    for each in hosts:
        with current(each):
            swarm.leave()
            if each.name == keeper:
                _step("names", doing=f"let Docker on {keeper} know its containers")
            told = _step("data", stamp, doing=f"put the cluster's data on {each.name} aside")
            kept += [f"Kept on {each.name}: {line}." for line in told.splitlines()]
            if each.name != keeper:
                _step("forget", doing=f"take the keys from {each.name}")
    topology.forget()
    return kept


def _step(*arguments: str, doing: str) -> str:
    return run(script("dissolve", *arguments), doing=doing)
