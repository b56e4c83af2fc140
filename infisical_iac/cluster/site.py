"""Describe a cluster's hosts for a run, and its actual and desired stack."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from pyinfra.context import host

from infisical_iac.cluster import docker, membership, shared_state, swarm, validation
from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.stack_file import SECRETS, StackInputs, configs, render_stack_file
from infisical_iac.cluster.stack_plan import DesiredStack, Level
from infisical_iac.cluster.stack_state import ClusterStack, ClusterStackState
from infisical_iac.core import journal
from infisical_iac.core.files import File
from infisical_iac.core.operation import shared_fact
from infisical_iac.core.settings import Settings
from infisical_iac.host import site as host_site
from infisical_iac.host.machine import Machine
from infisical_iac.host.model import MachineState
from infisical_iac.host.site import Known
from infisical_iac.stack.state import Upgrades


@dataclass(frozen=True)
class ClusterSite(host_site.Site):
    """One host of a cluster, as a run knows it.

    It holds what stack.yaml is rendered from, except for what only the leader knows.

    Attributes:
        tls: the TLS level that the services are brought to.
    """

    machine: MachineState
    cluster: Cluster
    tls: Level = Level.REQUIRED

    topology: ClassVar[str] = "swarm"

    @classmethod
    def observe(
        cls,
        settings: Settings,
        machine: MachineState,
        check: Callable[[host_site.Site], None] | None,
    ) -> Self:
        validation.refuse(settings)
        found = cls(settings, machine, membership.observe())
        validation.refuse_overlapping(found.cluster)
        validation.refuse_undecided(found.cluster)
        if check:
            check(found)
        else:
            validation.refuse_single(found.cluster)
        if found.leads:
            notes = [*found.cluster.notes, *validation.notes(settings, found.cluster)]
            journal.current().operator_notes.extend(notes)
        return found

    @classmethod
    def of_command(cls, settings: Settings) -> Self:
        return cls(settings, host.get_fact(Machine), membership.observe())

    @property
    def leads(self) -> bool:
        return self.cluster.leads

    @property
    def in_swarm(self) -> bool:
        return True

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.cluster.connected_nodes)

    @property
    def peers(self) -> tuple[str, ...]:
        return self.cluster.peers

    @property
    def turn(self) -> int | None:
        return self.cluster.turn

    @property
    def number(self) -> int | None:
        return self.cluster.me.number

    def has_begun(self, machine: MachineState) -> bool:
        return self.cluster.has_databases

    def refuse_unfit(self) -> None:
        validation.refuse_unencrypted(self.cluster, self.settings.cluster)

    def reload_engine(self, config: File, single: File) -> bool:
        """Reload the engine of a former single host, as a restart would stop its containers."""
        seen = self.cluster.me.seen
        if not seen or not seen.live_restore or not single.matches(seen.files.get(single.path)):
            return False
        docker.engine_reload(config=config, name="Turn off live-restore in the engine")
        return True

    def rejoin_engine(self) -> None:
        docker.engine_rejoin(cluster=self.cluster, name="Bring the engine back into the swarm")

    @property
    def engine_act(self) -> Callable[[str, str], None] | None:
        return docker.act_in_turn

    def join(self) -> None:
        swarm.swarm(cluster=self.cluster)

    def share(self) -> None:
        shared_state.share(cluster=self.cluster)


def cluster_site_of(known: Known) -> ClusterSite:
    """Return the site of a run on a cluster."""
    assert isinstance(known.site, ClusterSite)
    return known.site


def observe_stack(images: Sequence[str]) -> ClusterStackState:
    """Return the stack as the leader sees it; for operations."""
    return shared_fact(ClusterStack, images=list(images), secrets=SECRETS)


def read_stack_again(site: ClusterSite) -> ClusterStackState:
    """Read the stack again, after a change within an operation."""
    return host.get_fact(ClusterStack, images=list(site.settings.images), secrets=SECRETS)


def keep_running_version(site: ClusterSite) -> ClusterSite:
    """Return the site with the version that runs, for a roll-out that must not change it.

    Only an upgrade dumps the data first and proves the new version.
    """
    was = host.get_fact(Upgrades, desired=site.settings.stack.infisical_reference).was
    return replace(site, settings=site.settings.keeping(was)) if was else site


def inputs(site: ClusterSite, found: ClusterStackState) -> StackInputs:
    """Return the inputs for stack.yaml, with what the leader knows.

    Before the first roll-out, unknown values are placeholders.
    """
    start: Mapping[str, tuple[str, ...]] = defaultdict(tuple, found.start)
    secrets = {name: found.secrets.get(name, f"{name}_{'0' * 12}") for name in SECRETS}
    return StackInputs(site.cluster, secrets, start, site.tls)


def desired_stack(site: ClusterSite, found: ClusterStackState) -> DesiredStack:
    """Return the desired stack: its file, with the configs and secrets that the file names."""
    given = inputs(site, found)
    return DesiredStack(
        text=render_stack_file(site.settings, site.machine, given),
        configs=configs(site.settings, given),
        secrets=frozenset(given.secrets.values()),
    )
