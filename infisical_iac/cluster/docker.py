"""Restart the Docker engine of a cluster's hosts in turn, and bring one back to the swarm."""

from threading import Lock

from pyinfra.context import host

from infisical_iac.cluster.model import Cluster
from infisical_iac.core import connection, units
from infisical_iac.core.errors import CommandFailed, Refused
from infisical_iac.core.files import File
from infisical_iac.core.item import Item, UpToDate
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import run, write
from infisical_iac.core.rendering import script

_TOGETHER_SECONDS = 180
# For a node whose engine has started to be one of the swarm's, by itself and after a restart.
_PATIENCE_SECONDS = 30
_BACK_SECONDS = 120
_one_at_a_time = Lock()
# Hosts of this run that did not come back, after which no other one's turn comes.
_apart: list[str] = []


@telling_operation
def without_live_restore(config: File) -> Commands:
    """Have an engine that runs with `live-restore` read daemon.json without it.

    What runs on a host that was alone goes on running.
    """
    yield Item("~", "docker.service", "reads daemon.json anew, without live-restore")
    yield step(_reload, config)


@telling_operation
def back_in_swarm(cluster: Cluster) -> Commands:
    """Restart an engine that the swarm takes for down while it runs: nothing comes to it any more.

    One that has just started gets half a minute to come back by itself. Raises CommandFailed where
    the swarm does not have the node after a restart either, Refused where another data node is
    missing too.
    """
    if not cluster.me.given_up:
        yield UpToDate("the swarm does not miss the engine")
        return
    yield Item("~", "docker.service", "runs, and the swarm takes it for down → brought back")
    yield step(_bring_back, cluster)


def _bring_back(cluster: Cluster) -> None:
    member = cluster.me.member
    assert member is not None
    with _one_at_a_time:
        try:
            _wait_until_seen(cluster, member.id, _PATIENCE_SECONDS)
            return
        except CommandFailed as error:
            # What runs there may be what the others need for their majority.
            others = [each for each in cluster.nodes if each.number and each != cluster.me]
            missing = [each.name for each in others if not each.up or each.given_up] or _apart
            if missing:
                raise Refused(
                    f"Docker on {host.name} waits for a restart, and for {missing[0]}: {error}"
                ) from None
        units.systemctl("restart", "docker.service")
        try:
            _wait_until_seen(cluster, member.id, _BACK_SECONDS)
        except CommandFailed:
            _apart.append(host.name)
            raise


def _wait_until_seen(cluster: Cluster, id: str, seconds: int) -> None:
    with connection.on(cluster.lead.name):
        run(script("engine", "seen", id, str(seconds)), doing="see the node in the swarm")


def in_turn(verb: str, unit: str) -> None:
    """Have systemd start or restart the engine of a cluster's host, one host at a time.

    The next one waits until all nodes and services are there again, etcd has as many members as it
    had, and PostgreSQL as many copies. Raises Refused.
    """
    with _one_at_a_time:
        if verb != "restart":
            units.systemctl(verb, unit)
            return
        if _apart:
            raise Refused(f"Docker on {host.name} waits for a restart, and for {_apart[0]}")
        try:
            well = run(script("engine", "ready"), doing="do without this host's Docker for a while")
        except CommandFailed as error:
            raise Refused(f"Docker on {host.name} waits for a restart: {error}") from None
        units.systemctl(verb, unit)
        settle = script("engine", "settle", str(_TOGETHER_SECONDS), *well.split())
        try:
            run(settle, doing="wait for the cluster")
        except CommandFailed as error:
            _apart.append(host.name)
            raise Refused(
                f"{host.name} is not in order {_TOGETHER_SECONDS} s after a restart of its "
                "Docker, and no other host's is restarted: see `docker node ls` and `docker "
                f"service ls` on it ({error})"
            ) from None


def _reload(config: File) -> None:
    write(config.path, config.content, mode=config.mode)
    run(script("engine", "reload", config.path), doing="let Docker read its configuration")
