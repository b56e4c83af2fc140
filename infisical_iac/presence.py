"""Check that what an inventory names is there at all, before anything more is said of it. Pure."""

from collections.abc import Mapping

from infisical_iac.host.machine import MachineState


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
