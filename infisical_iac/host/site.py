"""Where Infisical is deployed: a host of its own, or what another topology has for it."""

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
    """A host that has Infisical for itself; where several have it together, a subclass says how.

    What a run asks of it, it asks on the current host.
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
        """Return the site, for a deploy that has looked at the machine. Raises a UserError.

        Args:
            check: raises a UserError where it is not what a move between topologies is for; None
                for any other run.
        """
        return cls(settings)

    @classmethod
    def of_command(cls, settings: Settings) -> Self:
        """Return the site, for a command that is no deploy. Raises a UserError."""
        return cls(settings)

    @property
    def leads(self) -> bool:
        """Return whether what is done once is done on this host."""
        return True

    @property
    def in_swarm(self) -> bool:
        """Return whether the host's Docker is in a Swarm of this project's."""
        return False

    @property
    def names(self) -> tuple[str, ...]:
        """The hosts that are connected, where each is to be told by itself; none without others."""
        return ()

    @property
    def peers(self) -> tuple[str, ...]:
        """The addresses of all hosts that let each other in, in a steady order."""
        return ()

    @property
    def turn(self) -> int | None:
        """Return which one the host is, from 0, where hosts take turns; None without others."""
        return None

    @property
    def number(self) -> int | None:
        """The number of the data that the host keeps, 0 of none; None without others."""
        return None

    def has_begun(self, machine: MachineState) -> bool:
        """Return whether something is deployed already, so that a run sets right what it can."""
        return machine.deployed

    def refuse_unfit(self) -> None:
        """Raise Refused where the hosts' kernels can't do what the settings ask for."""

    def reload_engine(self, config: File, alone: File) -> bool:
        """Have an engine that runs by `alone` read its new configuration without a restart.

        Called before the engine is configured. Returns whether that is done.
        """
        return False

    def rejoin_engine(self) -> None:
        """Bring the engine back to the other hosts; called before it is kept running."""

    @property
    def engine_act(self) -> Callable[[str, str], None] | None:
        """Starts or restarts the engine's unit, by verb and name; None where systemd just does."""
        return None

    def join(self) -> None:
        """Bring the host together with the others; the last step of the foundation."""

    def share(self) -> None:
        """Give the others what this host has made; called once all else is done."""


@dataclass(frozen=True)
class Known:
    """Hold what the steps of a host work with, once it has been looked at."""

    settings: Settings
    machine: MachineState
    site: Site

    @property
    def leads(self) -> bool:
        """Return whether what is done once is done on this host."""
        return self.site.leads


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
    """Return what answers for a site: one of a slice's class, or of its topology's subclass."""
    return hook(asked, site.topology)(site)
