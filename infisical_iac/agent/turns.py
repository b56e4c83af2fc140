"""Check that a cluster is complete, and wait until it is, around a restart of this host's engine.

A task that runs may not have rejoined etcd or PostgreSQL yet, so their members are counted by their
own answers. Only a data node can ask them; elsewhere both counts are 0.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from infisical_iac.agent.docker import find_container
from infisical_iac.agent.runner import Failure, Output, Runner, action, observation
from infisical_iac.agent.swarm import MAINTENANCE

PARTS = ("nodes", "services", "data")
_UNIT = "docker.service"
_RELOAD_SECONDS = 30
_CLUSTER = """curl --noproxy "*" --silent --max-time 5 "${REST:-http}://127.0.0.1:8008/cluster\""""


@dataclass(frozen=True)
class DataCounts:
    """The numbers of healthy members of etcd, and of PostgreSQLs.

    A PostgreSQL counts as a running primary, or as a standby that streams from it.
    """

    etcd: int = 0
    postgres: int = 0

    def __str__(self) -> str:
        return f"etcd {self.etcd}, PostgreSQL {self.postgres}"


def count_data(runner: Runner) -> DataCounts:
    """Return the counts that this host's members report."""
    said = _ask(runner, "etcd", ["etcdctl", "endpoint", "health", "--cluster"])
    try:
        cluster = json.loads(_ask(runner, "postgres", ["sh", "-c", _CLUSTER]).text)
        copies = sum(map(_is_healthy, cluster["members"]))
    except (ValueError, KeyError, TypeError):
        copies = 0
    return DataCounts(f"{said.text}{said.errors}".count(" is healthy"), copies)


def _is_healthy(member: dict[str, Any]) -> bool:
    state = member.get("state")
    return state == "streaming" or (member.get("role"), state) == ("leader", "running")


def _ask(runner: Runner, service: str, words: Sequence[str]) -> Output:
    try:
        container = find_container(runner, service)
    except RuntimeError:
        return Output(1)
    if container is None:
        return Output(1)
    return runner.run(["docker", "exec", container.id, *words], seconds=60)


def find_missing(runner: Runner, *parts: str) -> str:
    """Return what the cluster lacks, of `PARTS`; empty if it is complete.

    It is complete for a host outside a swarm, and for a worker, which can't see the others.
    """
    shown = runner.run(["docker", "info", "--format", "{{json .Swarm}}"], seconds=60)
    try:
        swarm = json.loads(shown.text)
    except ValueError:
        return shown.errors.strip() or "Docker does not answer"
    state = swarm.get("LocalNodeState")
    if state == "inactive" or (state == "active" and not swarm.get("ControlAvailable")):
        return ""
    if state != "active":
        return f"the host is {state} in the swarm"
    finders: dict[str, Callable[[Runner], Iterator[str]]] = {
        "nodes": _missing_nodes,
        "services": _missing_tasks,
        "data": _missing_data,
    }
    return next((why for part in parts for why in finders[part](runner)), "")


def _missing_nodes(runner: Runner) -> Iterator[str]:
    for node in _listed(runner, "node"):
        state = f"{node['Status']} {node['Availability']} {node['ManagerStatus']}".strip()
        if not re.fullmatch("Ready Active( Leader| Reachable)?", state):
            yield f"{node['Hostname']} is {state}"


def _missing_tasks(runner: Runner) -> Iterator[str]:
    for service in _listed(runner, "service"):
        running, _, desired = service["Replicas"].split()[0].partition("/")
        if running != desired:
            yield f"{service['Name']} {service['Replicas']}"


def _missing_data(runner: Runner) -> Iterator[str]:
    names = [each["Name"] for each in _listed(runner, "service")]
    expected = DataCounts(
        sum(each.startswith("infisical_etcd-") for each in names),
        sum(each.startswith("infisical_postgres-") for each in names),
    )
    yield from _fewer_than(expected, count_data(runner))


def _fewer_than(expected: DataCounts, found: DataCounts) -> Iterator[str]:
    if found.etcd < expected.etcd or found.postgres < expected.postgres:
        yield f"healthy members: {found}, instead of {expected}"


def _listed(runner: Runner, kind: str) -> list[dict[str, str]]:
    """Return the nodes or services; raises RuntimeError with a Failure.

    Without a leader nothing is listed, which does not mean that nothing is missing.
    """
    text = runner.must_run(["docker", kind, "ls", "--format", "{{json .}}"], seconds=60)
    return [json.loads(line) for line in text.splitlines()]


def whole(runner: Runner, *parts: str) -> str:
    """Return as `find_missing`, with the reason if the Swarm does not answer."""
    try:
        return find_missing(runner, *parts)
    except RuntimeError as error:
        return str(error.args[0].message)


def _refuse(message: str, remedy: str = "") -> RuntimeError:
    return RuntimeError(Failure("command", message, remedy))


@observation
def check_spare(runner: Runner) -> DataCounts:
    """Return the counts of healthy members if the cluster can do without this host for a while.

    Raises RuntimeError with a Failure if it can't.
    """
    if missing := whole(runner, "nodes"):
        raise _refuse(
            f"another node is unreachable ({missing}), and without both there would be no majority",
            "bring that one back first",
        )
    found = count_data(runner)
    if find_container(runner, "etcd") and found.etcd < 3:
        raise _refuse(
            f"only {found.etcd} members of etcd are healthy, and without this host's there would "
            "be no majority",
            "see docs/operate/cluster/runbooks.md",
        )
    return found


@observation
def await_health(runner: Runner, *, seconds: float, etcd: int, postgres: int) -> None:
    """Wait until all nodes are there, each service has all tasks, and so many members are healthy.

    Raises RuntimeError with a Failure if they are not within the seconds.
    """
    end = time.monotonic() + seconds
    while missing := _missing_of(runner, DataCounts(etcd, postgres)):
        if time.monotonic() >= end:
            raise _refuse(missing)
        time.sleep(1)


def _missing_of(runner: Runner, expected: DataCounts) -> str:
    found = whole(runner, "nodes", "services")
    return found or next(_fewer_than(expected, count_data(runner)), "")


@observation
def await_node(runner: Runner, *, node: str, seconds: float) -> None:
    """Wait until the swarm reports a node as ready; for a manager.

    Raises RuntimeError with a Failure if it does not within the seconds.
    """
    end = time.monotonic() + seconds
    shown = ["docker", "node", "inspect", "--format", "{{.Status.State}}", node]
    while runner.run(shown, seconds=60).text.strip() != "ready":
        if time.monotonic() >= end:
            raise _refuse("the swarm still reports it as down", "see `journalctl -u docker` there")
        time.sleep(1)


@action
def reload_engine(runner: Runner, *, config: str) -> None:
    """Have the engine read its configuration file without a restart, so that live-restore ends.

    Raises RuntimeError with a Failure if live-restore stays on.
    """
    runner.must_run(["systemctl", "reload", _UNIT])
    shown = ["docker", "info", "--format", "{{.LiveRestoreEnabled}}"]
    for _ in range(_RELOAD_SECONDS):
        if runner.run(shown, seconds=60).text.strip() != "true":
            break
        time.sleep(1)
    else:
        raise _refuse(f"Docker still has live-restore on after it reloaded {config}")
    # A file newer than the engine's start means that a restart is due.
    asked = ["systemctl", "show", "--timestamp=unix", "--property=ExecMainStartTimestamp"]
    started = runner.must_run([*asked, "--value", _UNIT]).strip().removeprefix("@")
    os.utime(runner.path(config), (float(started), float(started)))


# How long the other nodes' monitors expect a host to be away, at most.
_ABSENCE_SECONDS = 1200


def announce_absence(runner: Runner) -> None:
    """Have the monitors of the other nodes expect this one to be away for a while."""
    _label(runner, "--label-add", f"{MAINTENANCE}={int(time.time()) + _ABSENCE_SECONDS}")


def announce_return(runner: Runner) -> None:
    """Have the monitors of the other nodes expect this one again."""
    _label(runner, "--label-rm", MAINTENANCE)


def _label(runner: Runner, option: str, label: str) -> None:
    """Change a label of this node, which only a manager can."""
    shown = runner.run(["docker", "info", "--format", "{{json .Swarm}}"], seconds=60)
    try:
        swarm = json.loads(shown.text)
    except ValueError:
        return
    if swarm.get("ControlAvailable") and swarm.get("NodeID"):
        runner.run(["docker", "node", "update", option, label, swarm["NodeID"]], seconds=60)
