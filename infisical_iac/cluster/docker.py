"""Restart the Docker engines of a cluster one by one, and bring a lost engine back."""

from threading import Lock

from pyinfra.context import host

from infisical_iac.cluster.model import Cluster
from infisical_iac.core import connection, units
from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.errors import CommandFailed, Refused
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.remote import run, write
from infisical_iac.core.rendering import script

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
            # The other nodes may need what runs there for their majority.
            others = [each for each in cluster.nodes if each.number and each != cluster.me]
            missing = [
                each.name for each in others if not each.up or each.is_cut_off
            ] or _lost_hosts
            if missing:
                raise Refused(
                    f"Docker on {host.name} can't be restarted while {missing[0]} is missing: "
                    f"{error}",
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
        run(
            script("engine", "seen", id, str(seconds)),
            doing="wait until the swarm reaches the node",
        )


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
                f"Docker on {host.name} waits for a restart until {_lost_hosts[0]} is back",
                code="refused.node_missing",
            )
        try:
            counts = run(
                script("engine", "ready"), doing="check that the cluster can do without this Docker"
            )
        except CommandFailed as error:
            raise Refused(
                f"Docker on {host.name} waits for a restart: {error}",
                code="refused.engine_needed",
            ) from None
        units.systemctl(verb, unit)
        wait = script("engine", "await_health", str(_TOGETHER_SECONDS), *counts.split())
        try:
            run(wait, doing="wait for the cluster")
        except CommandFailed as error:
            _lost_hosts.append(host.name)
            raise Refused(
                f"{host.name} is not healthy {_TOGETHER_SECONDS} s after a restart of its "
                "Docker, and no other host's is restarted: see `docker node ls` and `docker "
                f"service ls` on it ({error})",
                code="refused.not_converged",
            ) from None


def _reload(config: File) -> None:
    write(config.path, config.content, mode=config.mode)
    run(script("engine", "reload", config.path), doing="let Docker read its configuration")
