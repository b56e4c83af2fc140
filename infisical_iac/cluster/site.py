"""Describe a cluster's hosts for a run, and its actual and desired stack.

Also restart the Docker engines of a cluster one by one, and bring back an engine that the swarm has
lost.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from threading import Lock
from typing import ClassVar, Self

from pyinfra.context import host

from infisical_iac.agent.maintenance import await_health, await_node, check_spare, reload_engine
from infisical_iac.agent.swarm_stack import ClusterStackState
from infisical_iac.cluster import membership, shared_state, swarm, validation
from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.stack_file import (
    SECRETS,
    StackInputs,
    configs,
    render_stack_file,
    secrets_of,
)
from infisical_iac.cluster.stack_plan import DesiredStack, Level
from infisical_iac.cluster.stack_state import stack_question
from infisical_iac.core import connection, journal, units
from infisical_iac.core.agent import ask, inspect, perform, question
from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.errors import CommandFailed, Refused
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.remote import write
from infisical_iac.core.settings import Settings
from infisical_iac.host import site as host_site
from infisical_iac.host.machine import read_machine
from infisical_iac.host.model import MachineState
from infisical_iac.host.site import Known
from infisical_iac.stack.state import upgrade_question
from infisical_iac.workspace.preflight import report


@dataclass(frozen=True)
class ClusterSite(host_site.Site):
    """A host of a cluster, for one run.

    It holds the inputs of stack.yaml, except for those that only the leader knows.

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
            report(validation.describe_unpinned_images(settings))
        return found

    @classmethod
    def of_command(cls, settings: Settings) -> Self:
        return cls(settings, read_machine(), membership.observe())

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
    def address(self) -> str:
        return self.cluster.me.address

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
        engine_reload(config=config, name="Turn off live-restore in the engine")
        return True

    def rejoin_engine(self) -> None:
        engine_rejoin(cluster=self.cluster, name="Bring the engine back into the swarm")

    @property
    def engine_act(self) -> Callable[[str, str], None] | None:
        return act_in_turn

    def join(self) -> None:
        swarm.swarm(cluster=self.cluster)

    def share(self) -> None:
        shared_state.share(cluster=self.cluster)


def cluster_site_of(known: Known) -> ClusterSite:
    """Return the site of a run on a cluster."""
    assert isinstance(known.site, ClusterSite)
    return known.site


def observe_stack(settings: Settings) -> ClusterStackState:
    """Return the stack as the leader sees it; for operations."""
    secrets = secrets_of(settings)
    return inspect(stack_question(images=settings.images, secrets=secrets))


def read_stack_again(site: ClusterSite) -> ClusterStackState:
    """Read the stack again, after a change within an operation."""
    secrets = secrets_of(site.settings)
    return ask(stack_question(images=site.settings.images, secrets=secrets))


def keep_running_version(site: ClusterSite) -> ClusterSite:
    """Return the site with the version that runs, for a roll-out that must not change it.

    Only an upgrade dumps the data first and proves the new version.
    """
    was = ask(upgrade_question(site.settings.stack.infisical_reference)).was
    return replace(site, settings=site.settings.keeping(was)) if was else site


def inputs(site: ClusterSite, found: ClusterStackState) -> StackInputs:
    """Return the inputs for stack.yaml, with those that only the leader knows.

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


_TOGETHER_SECONDS = 180
# Seconds for a started engine to rejoin the swarm: by itself, and after a restart.
_PATIENCE_SECONDS = 30
_BACK_SECONDS = 120
_one_at_a_time = Lock()
# Hosts of this run whose engine did not come back; no other engine is restarted after that.
_lost_hosts: list[str] = []


@planned_operation
def engine_reload(config: File) -> Commands:
    """Reload a Docker engine that runs with `live-restore`, with a daemon.json without it.

    A reload does not stop the containers of a host that was a single host until now.
    """
    yield Change("~", "docker.service", "reloads daemon.json, without live-restore")
    yield step(_reload, config)


@planned_operation
def engine_rejoin(cluster: Cluster) -> Commands:
    """Restart a running engine that the swarm considers down and sends no tasks to.

    An engine that has just started gets half a minute to come back by itself. Raises CommandFailed
    if the swarm still misses the node after the restart, and Refused if another data node is
    missing too.
    """
    if not cluster.me.is_cut_off:
        yield UpToDate("the swarm reaches the engine")
        return
    yield Change("~", "docker.service", "runs, but the swarm considers it down → rejoins")
    yield step(_bring_back, cluster)


def _bring_back(cluster: Cluster) -> None:
    member = cluster.me.member
    assert member is not None
    with _one_at_a_time:
        try:
            _wait_until_seen(cluster, member.id, _PATIENCE_SECONDS)
            return
        except CommandFailed as error:
            # The other nodes may need the services on this one for their majority.
            others = [each for each in cluster.nodes if each.number and each != cluster.me]
            missing = [
                each.name for each in others if not each.up or each.is_cut_off
            ] or _lost_hosts
            if missing:
                raise Refused(
                    f"Docker on {host.name} can't be restarted while {missing[0]} is missing "
                    f"({error}): bring {missing[0]} back, and run again",
                    code="refused.node_missing",
                ) from None
        units.systemctl("restart", "docker.service")
        try:
            _wait_until_seen(cluster, member.id, _BACK_SECONDS)
        except CommandFailed:
            _lost_hosts.append(host.name)
            raise


def _wait_until_seen(cluster: Cluster, id: str, seconds: int) -> None:
    with connection.on(cluster.leader.name):
        ask(question(await_node, node=id, seconds=seconds))


def act_in_turn(verb: str, unit: str) -> None:
    """Start or restart the engine of a cluster's host through systemd, one host at a time.

    The next host waits until all nodes and services are back and etcd has as many members and
    PostgreSQL as many copies as before. Raises Refused.
    """
    with _one_at_a_time:
        if verb != "restart":
            units.systemctl(verb, unit)
            return
        if _lost_hosts:
            raise Refused(
                f"Docker on {host.name} can't be restarted before {_lost_hosts[0]} is back: bring "
                "that host back, and run again",
                code="refused.node_missing",
            )
        try:
            counts = ask(question(check_spare))
        except CommandFailed as error:
            raise Refused(
                f"Docker on {host.name} can't be restarted now: {error}",
                code="refused.engine_needed",
            ) from None
        units.systemctl(verb, unit)
        wait = question(
            await_health,
            seconds=_TOGETHER_SECONDS,
            etcd=counts.etcd,
            postgres=counts.postgres,
        )
        try:
            ask(wait)
        except CommandFailed as error:
            _lost_hosts.append(host.name)
            raise Refused(
                f"{host.name} is not healthy {_TOGETHER_SECONDS} s after its Docker was restarted "
                f"({error}), so Docker is restarted on no other host: see `docker node ls` and "
                f"`docker service ls` on {host.name}",
                code="refused.not_converged",
            ) from None


def _reload(config: File) -> None:
    write(config.path, config.content, mode=config.mode)
    perform(question(reload_engine, config=config.path), doing="let Docker read its configuration")
