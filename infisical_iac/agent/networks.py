"""Remove networks of the stack on the leader, so that a roll-out can re-create them."""

import json
import time
from collections.abc import Sequence

from infisical_iac.agent.docker import find_container
from infisical_iac.agent.health import run_shortly
from infisical_iac.agent.runner import Failure, Runner, action, observation

_STOP_SECONDS = 180
_NETWORK_SECONDS = 60
# Nodes know a removed network for a moment longer, and would use it instead of the new one.
_KNOWN_SECONDS = 5
_ENDED = ("Complete", "Shutdown", "Failed", "Rejected", "Orphaned", "Remove")
_ASK_ROLES = """. /run/secrets/env; for number in 1 2 3; do
    REDISCLI_AUTH=$REDIS_PASSWORD timeout 5 redis-cli $CLI -h "redis-$number" role; done"""


def _refuse(message: str, remedy: str = "") -> RuntimeError:
    return RuntimeError(Failure("command", message, remedy))


@action
def remove(runner: Runner, *, services: Sequence[str], networks: Sequence[str]) -> None:
    """Stop and remove the services that use networks, then the networks; volumes stay.

    Args:
        services: their full names.

    Raises RuntimeError with a Failure if a service does not stop, or a network is in use.
    """
    inspect = ["docker", "service", "inspect"]
    there = [each for each in services if runner.run([*inspect, each]).status == 0]
    for each in there:
        # A service on all nodes can't be scaled.
        if runner.run(["docker", "service", "scale", "--detach", f"{each}=0"]).status != 0:
            nowhere = ["--constraint-add", "node.role==nobody"]
            runner.must_run(["docker", "service", "update", "--detach", *nowhere, each])
    if there:
        _await_end(runner, there)
        runner.must_run(["docker", "service", "rm", *there])
    for each in networks:
        _remove_network(runner, each)
    time.sleep(_KNOWN_SECONDS)


def _await_end(runner: Runner, services: Sequence[str]) -> None:
    for _ in range(_STOP_SECONDS):
        left = list_left(runner, services)
        if not left:
            return
        time.sleep(1)
    raise _refuse(f"these still run 3 minutes after they were to be stopped: {', '.join(left)}")


def list_left(runner: Runner, services: Sequence[str]) -> list[str]:
    """Return the tasks of services whose containers are not gone yet, on nodes that are up.

    It is a phrase if the Swarm does not answer, so that the caller goes on waiting.
    """
    nodes = run_shortly(runner, ["docker", "node", "ls", "--format", "{{json .}}"])
    call = ["docker", "service", "ps", "--format", "{{json .}}", *services]
    tasks = run_shortly(runner, call)
    if nodes.status != 0 or tasks.status != 0:
        return ["unknown nodes (the Swarm does not answer)"]
    listed = [json.loads(line) for line in nodes.lines if line]
    down = [each["Hostname"] for each in listed if each["Status"] == "Down"]
    found = [json.loads(line) for line in tasks.lines if line]
    return [
        f"{each['Node']} {each['CurrentState']}"
        for each in found
        if each["Node"]
        and each["Node"] not in down
        and each["CurrentState"].partition(" ")[0] not in _ENDED
    ]


def _remove_network(runner: Runner, name: str) -> None:
    for _ in range(_NETWORK_SECONDS):
        done = runner.run(["docker", "network", "rm", name])
        if done.status == 0 or runner.run(["docker", "network", "inspect", name]).status != 0:
            return
        time.sleep(1)
    raise _refuse(f"Docker does not remove the network {name}: {done.errors.strip()}")


@observation
def await_master(runner: Runner, *, seconds: float) -> None:
    """Wait until one of the Redis servers is the master. Raises RuntimeError with a Failure."""
    end = time.monotonic() + seconds
    while True:
        container = find_container(runner, "redis")
        ask = ["docker", "exec", container.id, "sh", "-c", _ASK_ROLES] if container else []
        if ask and "master" in run_shortly(runner, ask).text.splitlines():
            return
        if time.monotonic() >= end:
            raise _refuse(
                f"no Redis has become the master within {seconds:g} s",
                "see `infisical-iac docs runbooks`",
            )
        time.sleep(1)
