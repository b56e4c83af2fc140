"""Choose the classes of a topology.

Where topologies differ, a slice uses a class for a single host. Another topology replaces it by a
subclass, which is registered in the HOOKS of its package. So a new topology takes a package and a
line here.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import ClassVar, TypeVar

from pyinfra.api.host import Host

from infisical_iac.core.errors import Refused

T = TypeVar("T")

SINGLE = "single"
# Names of modules, so that a run on a single host does not import them.
_HOOKS = {"swarm": "infisical_iac.cluster.hooks"}


def hook(base: type[T], topology: str) -> type[T]:
    """Return the topology's subclass of a class; the class itself if there is none."""
    if topology not in _HOOKS:
        return base
    hooks: Mapping[type, type[T]] = import_module(_HOOKS[topology]).HOOKS
    return hooks.get(base, base)


def topology_of(hosts: Iterable[Host]) -> str:
    """Return the topology of an inventory's hosts. Raises Refused if it is not the same for all."""
    found = [str(each.data.get("topology") or SINGLE) for each in hosts]
    refuse_mixed(found)
    return found[0] if found else SINGLE


def refuse_mixed(topologies: Iterable[str]) -> None:
    """Raise Refused if the topologies of an inventory's hosts differ."""
    if len(set(topologies)) > 1:
        raise Refused(
            "setting 'topology': some hosts of the inventory are 'single' and some 'swarm': "
            "set it for all of them, in group_data/ of the inventory",
            code="refused.mixed_topologies",
        )


class InventoryHosts:
    """The hosts of an inventory, for a command that works on them. This class is for a single host.

    Attributes:
        several: whether the topology allows more than one host.
    """

    several: ClassVar[bool] = False

    def leader(self, hosts: Sequence[Host], *, quorum: bool) -> Host:
        """Return the host to work on. Raises a UserError.

        Args:
            quorum: whether a cluster must have a quorum; without one it can only be inspected.
        """
        return hosts[0]

    def share(self) -> None:
        """Copy the changes of a command from the leader, which is current, to the other hosts."""
