"""Describe where Infisical is deployed: on a single host, or in another topology."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self, TypeVar

from pyinfra.context import host

from infisical_iac.core.files import File
from infisical_iac.core.settings import Settings
from infisical_iac.core.topology import SINGLE, hook, topology_of
from infisical_iac.host.model import MachineState


@dataclass(frozen=True)
class Site:
    """A single host with Infisical. Another topology is a subclass.

    All methods work on the current host.
    """

    settings: Settings

    topology: ClassVar[str] = SINGLE

    @classmethod
    def observe(
        cls,
        settings: Settings,
        machine: MachineState,
        check: Callable[["Site"], None] | None,
    ) -> Self:
        """Return the site for a deploy, which has read the machine's state. Raises a UserError.

        Args:
            check: raises a UserError if a migration between topologies can't use this site; None
                for any other run.
        """
        return cls(settings)

    @classmethod
    def of_command(cls, settings: Settings) -> Self:
        """Return the site, for a command other than a deploy. Raises a UserError."""
        return cls(settings)

    @property
    def leads(self) -> bool:
        """Return whether this host does the steps that a cluster does only once."""
        return True

    @property
    def in_swarm(self) -> bool:
        """Return whether the host's Docker is in this project's Swarm."""
        return False

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the connected hosts of a cluster; empty on a single host."""
        return ()

    @property
    def address(self) -> str:
        """Return where the other hosts of the cluster reach this one; empty on a single host."""
        return ""

    @property
    def peers(self) -> tuple[str, ...]:
        """Return the addresses of all hosts of the cluster, in a fixed order."""
        return ()

    @property
    def turn(self) -> int | None:
        """Return the host's turn, from 0, where hosts take turns; None on a single host."""
        return None

    @property
    def number(self) -> int | None:
        """Return the number of the host's copy of the data, 0 for none; None on a single host."""
        return None

    def has_begun(self, machine: MachineState) -> bool:
        """Return whether a deployment exists, which a run then repairs as far as possible."""
        return machine.deployed

    def refuse_unfit(self) -> None:
        """Raise Refused if the hosts' kernels lack what the settings need."""

    def reload_engine(self, config: File, single: File) -> bool:
        """Have an engine that still runs as on a single host read `config` without a restart.

        Called before the engine is configured. Returns whether it has done so.

        Args:
            single: the configuration of an engine on a single host.
        """
        return False

    def rejoin_engine(self) -> None:
        """Bring the engine back into the cluster; called before the engine's unit is started."""

    @property
    def engine_act(self) -> Callable[[str, str], None] | None:
        """Return a function that starts or restarts the engine's unit, by verb and name.

        None where systemd does it without further steps.
        """
        return None

    def join(self) -> None:
        """Join the host to the cluster; the last step of the foundation."""

    def share(self) -> None:
        """Give the other hosts what this host has created; the last step of a deploy."""


@dataclass(frozen=True)
class Known:
    """The settings and observed state that the steps of a host work with."""

    settings: Settings
    machine: MachineState
    site: Site

    @property
    def leads(self) -> bool:
        """Return whether this host does the steps that a cluster does only once."""
        return self.site.leads

    @property
    def is_restrained(self) -> bool:
        """Return whether the firewall alone keeps Infisical from private addresses.

        True if no setting allows private addresses, but the deployed Infisical calls some. Once the
        stack has been changed, Infisical refuses them itself.
        """
        return self.machine.calls_private and not self.settings.instance.internal_networks


def observe_site(
    settings: Settings, machine: MachineState, check: Callable[[Site], None] | None = None
) -> Site:
    """Return the site of the inventory's topology, as `Site.observe` does."""
    found = hook(Site, topology_of(host.state.inventory))
    return found.observe(settings, machine, check)


def site_of(settings: Settings) -> Site:
    """Return the site of the settings' topology, for a command. Raises a UserError."""
    return hook(Site, settings.cluster.topology).of_command(settings)


class _OfSite(Protocol):
    def __init__(self, site: Site) -> None: ...


A = TypeVar("A", bound=_OfSite)


def at(site: Site, asked: type[A]) -> A:
    """Return an instance for a site: of the class, or of its subclass for the site's topology."""
    return hook(asked, site.topology)(site)
