"""Observe and repair the containers of the swarm's tasks on this node, which no manager sees."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from infisical_iac.agent.docker import DockerContainer, list_containers
from infisical_iac.agent.health import run_shortly
from infisical_iac.agent.runner import Runner, action, observation

STACK = "infisical_"
OF_STACK = "label=com.docker.stack.namespace=infisical"
# Two intervals and two checks that time out: stack_file.py sets the interval, and
# templates/cluster/stack/infisical.yaml.j2 the timeout.
READY_SECONDS = 60
_SHOULD_RUN = ("running", "paused", "restarting")
# Docker could not remove these.
_LEFT = ("dead", "removing")
_THROUGH_HAPROXY = (
    *("curl", "--noproxy", "*", "--silent", "--fail", "--output", "/dev/null"),
    *("--max-time", "10", "http://haproxy:8080/api/status"),
)


@dataclass(frozen=True)
class Task:
    """A container of a task on one node.

    Attributes:
        service: its service, without the stack's prefix.
        status: as Docker names it; `unready` for a replica of Infisical that has lost its database
            or Redis while another replica has both.
        networks: the names of its networks.
    """

    service: str
    id: str
    status: str
    networks: frozenset[str]


@observation
def inspect(runner: Runner) -> tuple[Task, ...]:
    """Return the containers that should run, or that Docker can't remove."""
    try:
        found = list_containers(runner, OF_STACK)
    except RuntimeError:
        return ()
    return tuple(
        Task(
            each.swarm_service.removeprefix(STACK),
            each.id,
            "unready" if _has_lost(runner, each) else each.status,
            frozenset(each.networks),
        )
        for each in found
        if each.status in (*_SHOULD_RUN, *_LEFT)
    )


def _has_lost(runner: Runner, container: DockerContainer) -> bool:
    """Return whether a restart may repair a replica: through HAProxy another one answers."""
    is_replica = container.swarm_service == f"{STACK}infisical" and container.is_running
    if not is_replica or not is_unready(runner, container.pid):
        return False
    return run_shortly(runner, ["docker", "exec", container.id, *_THROUGH_HAPROXY]).status == 0


def is_unready(runner: Runner, pid: int) -> bool:
    """Return whether a replica of Infisical was ready, and has not been for a minute.

    Its health check touches a file each time that it is ready; the swarm itself only knows whether
    the replica answers. Replicas of older versions have no such file.
    """
    try:
        touched = runner.path(f"/proc/{pid}/root/dev/shm/ready").stat().st_mtime
    except OSError:
        return False
    return time.time() - touched > READY_SECONDS


@observation
def list_attached(runner: Runner) -> dict[str, frozenset[str]]:
    """Return the names of the networks of each service, as a manager knows them.

    None on a worker. A network that is gone has its id instead of a name.
    """
    listed = run_shortly(
        runner, ["docker", "network", "ls", "--no-trunc", "--format", "{{json .}}"]
    )
    names = {each["ID"]: each["Name"] for each in map(json.loads, listed.lines)}
    ids = run_shortly(runner, ["docker", "service", "ls", "--quiet", "--filter", OF_STACK]).lines
    if not ids:
        return {}
    # Docker fails if a service is removed meanwhile, but prints the others.
    inspect = ["docker", "service", "inspect", "--format", "{{json .Spec}}", *ids]
    found = [json.loads(line) for line in run_shortly(runner, inspect).text.splitlines() if line]
    return {
        each["Name"].removeprefix(STACK): frozenset(
            names.get(network["Target"], network["Target"])
            for network in each["TaskTemplate"].get("Networks") or ()
        )
        for each in found
    }


@action
def free(runner: Runner, *, containers: Sequence[str]) -> None:
    """Resume the containers that are paused, and remove the others, which Swarm re-creates."""
    for each in containers:
        status = runner.run(["docker", "inspect", "--format", "{{.State.Status}}", each]).text
        if status.strip() == "paused":
            runner.must_run(["docker", "unpause", each])
        elif runner.run(["docker", "stop", each]).status != 0:
            runner.must_run(["docker", "rm", "--force", each])
