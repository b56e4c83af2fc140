"""Choose what answers for a topology: a single host's classes, or those of a package for several.

Where topologies differ, a slice asks a class of its own. That class answers for a single host;
another topology has a subclass of it, which stands in the HOOKS of its module. So a topology is
added by a package and a line here.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import ClassVar, TypeVar

from pyinfra.api.host import Host

from infisical_iac.core.errors import Refused

T = TypeVar("T")

SINGLE = "single"
# By name, so that a run on a single host loads nothing of it.
_HOOKS = {"swarm": "infisical_iac.cluster.hooks"}


def hook(asked: type[T], topology: str) -> type[T]:
    """Return the class that answers for a topology: the one that is asked, or a subclass of it."""
    if topology not in _HOOKS:
        return asked
    hooks: Mapping[type, type[T]] = import_module(_HOOKS[topology]).HOOKS
    return hooks.get(asked, asked)


def topology_of(hosts: Iterable[Host]) -> str:
    """Return the topology of the hosts of an inventory. Raises Refused if they differ in it."""
    found = [str(each.data.get("topology") or SINGLE) for each in hosts]
    refuse_mixed(found)
    return found[0] if found else SINGLE


def refuse_mixed(topologies: Iterable[str]) -> None:
    """Raise Refused if the hosts of an inventory don't all have one topology."""
    if len(set(topologies)) > 1:
        raise Refused(
            "setting 'topology': some hosts of the inventory are 'single' and some 'swarm': "
            "set it for all of them, in group_data/ of the inventory"
        )


class InventoryHosts:
    """The hosts of an inventory, to a command that works on them; of a single host, that one.

    Attributes:
        several: whether there may be more than one.
    """

    several: ClassVar[bool] = False

    def leader(self, hosts: Sequence[Host], *, quorum: bool) -> Host:
        """Return the host to work on, or to look at without a `quorum`. Raises a UserError."""
        return hosts[0]

    def share(self) -> None:
        """Give the others what a command has changed, at its end; the leader is current."""
