"""Observe the services of the stack `infisical` as a manager of the swarm sees them."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from infisical_iac.agent.files import lines_without_keys
from infisical_iac.agent.health import run_shortly
from infisical_iac.agent.membership import inspect_nodes
from infisical_iac.agent.runner import Runner, observation
from infisical_iac.agent.tasks import OF_STACK, STACK

NAMESPACE = "com.docker.stack.namespace=infisical"
_TLS = "infisical.tls"
# A task that has one of these states is about to run.
_STARTING = ("New", "Allocated", "Assigned", "Accepted", "Preparing", "Ready", "Starting")
_UNFINISHED_UPDATES = ("updating", "rollback_started", "paused", "rollback_paused")
_FAULTY = ("Failed", "Rejected", "Pending", "Preparing", "Starting")
_LONG_AGO = re.compile(r"(minute|hour|day|week|month)s? ago$")
_LINES, _WIDTH = 12, 300


@dataclass(frozen=True)
class SwarmService:
    """A service of the stack.

    Attributes:
        running: the number of running tasks; `desired` the number that should run.
        update: the state of its last update, as Swarm names it.
        waiting: the number of tasks that no node can run.
        hash: the hash of its specification.
        tls: its TLS level, a Level of stack_plan.py.
    """

    running: int
    desired: int
    update: str = "none"
    waiting: int = 0
    hash: str = ""
    tls: int = 0

    def is_unhealthy(self, *, is_node_missing: bool) -> bool:
        """Return whether it lacks tasks or is being updated.

        Tasks that only a missing node can run do not count, nor do updates that wait for them.
        """
        all_wait = self.running == 0 and self.waiting == self.desired
        if self.update == "updating" and is_node_missing and all_wait:
            return False
        if self.update in _UNFINISHED_UPDATES:
            return True
        waits = is_node_missing and self.running + self.waiting == self.desired
        return self.running < self.desired and not waits


@dataclass(frozen=True)
class ServiceTask:
    """A task of a service, as a manager lists it.

    Attributes:
        slot: its service and its number or node in that, such as `infisical_etcd-1.1`.
        node: the node that it was assigned to; empty if no node can run it.
        state: its state in words, such as `Running 2 hours ago`.
    """

    id: str
    slot: str
    node: str
    state: str

    @property
    def service(self) -> str:
        """The full name of its service."""
        return self.slot.rpartition(".")[0]

    @property
    def word(self) -> str:
        """The first word of its state."""
        return self.state.partition(" ")[0]

    @property
    def is_starting(self) -> bool:
        """True if a node has it, and it is about to run."""
        return bool(self.node) and self.word in _STARTING

    @property
    def is_waiting(self) -> bool:
        """True if no node can run it."""
        return not self.node and self.word == "Pending"

    @property
    def is_accepted(self) -> bool:
        """True if a node has accepted it, and has not reported on it since."""
        return bool(self.node) and self.word in ("Assigned", "Accepted")

    @property
    def is_lost(self) -> bool:
        """True if its node lost the report on it, as on a full disk."""
        return self.is_accepted and bool(_LONG_AGO.search(self.state))


def list_tasks(runner: Runner, state: str = "running") -> list[ServiceTask]:
    """Return the tasks of the stack whose desired state is this; none if Swarm does not answer."""
    call = ["docker", "stack", "ps", "infisical", "--no-trunc"]
    call += ["--filter", f"desired-state={state}", "--format", "{{json .}}"]
    return [*_tasks(runner.run(call).text)]


def _tasks(text: str) -> Iterator[ServiceTask]:
    for line in text.splitlines():
        if line.startswith("{"):
            found = json.loads(line)
            yield ServiceTask(found["ID"], found["Name"], found["Node"], found["CurrentState"])


def list_ended(runner: Runner, services: Collection[str] = ()) -> dict[str, str]:
    """Return the slot of each task that ended by itself, of some services or of all, by its id."""
    return {
        each.id: each.slot
        for each in list_tasks(runner, "shutdown")
        if each.word in ("Failed", "Rejected") and (not services or each.service in services)
    }


def list_services(runner: Runner) -> dict[str, SwarmService]:
    """Return the services by their full names; none if Swarm does not answer.

    Running tasks are counted from the list of tasks: the list of services still counts those of a
    node that is down.
    """
    tasks = list_tasks(runner)
    call = ["docker", "service", "ls", "--filter", OF_STACK, "--format", "{{json .}}"]
    listed = [json.loads(line) for line in runner.run(call).lines if line]
    known = dict(_specifications(runner, [each["ID"] for each in listed]))
    return {each["Name"]: _service(each, known.get(each["Name"], {}), tasks) for each in listed}


def _service(
    listed: Mapping[str, Any], known: Mapping[str, Any], tasks: Sequence[ServiceTask]
) -> SwarmService:
    own = [each for each in tasks if each.service == listed["Name"]]
    # Such as "2/3 (max 1 per node)".
    desired = re.match(r"\d+/(\d+)", listed["Replicas"])
    return SwarmService(
        running=sum(bool(each.node) and each.word == "Running" for each in own),
        desired=int(desired[1]) if desired else 0,
        waiting=sum(each.is_waiting for each in own),
        **known,
    )


def _specifications(
    runner: Runner, services: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of each service with what its specification and its last update say."""
    if not services:
        return
    # The hash is of Docker's own text, which the records of earlier roll-outs have.
    wanted = "{{json .Spec}}\n{{json .UpdateStatus}}"
    # Docker fails if a service is removed meanwhile, but prints the others.
    inspect = ["docker", "service", "inspect", "--format", wanted, *services]
    lines = runner.run(inspect).text.splitlines()
    for text, update in zip(lines[::2], lines[1::2], strict=False):
        specification = json.loads(text)
        level = (specification.get("Labels") or {}).get(_TLS, "")
        yield (
            specification["Name"],
            {
                "update": (json.loads(update) or {}).get("State", "none"),
                "hash": sha256(text.encode()).hexdigest(),
                "tls": int(level) if level.isdecimal() else 0,
            },
        )


def list_hashes(runner: Runner) -> dict[str, str]:
    """Return the hash of each service's specification, by its name without the prefix."""
    call = ["docker", "service", "ls", "--quiet", "--filter", OF_STACK]
    found = _specifications(runner, runner.must_run(call).split())
    return {name.removeprefix(STACK): known["hash"] for name, known in found}


def list_nodes(runner: Runner) -> tuple[bool, ...]:
    """Return for each node of the swarm whether it is ready and active."""
    return tuple(
        (each.get("Status") or {}).get("State") == "ready"
        and (each.get("Spec") or {}).get("Availability") == "active"
        for each in inspect_nodes(runner)
    )


@observation
def explain(runner: Runner, *, service: str) -> str:
    """Return the errors of a service's last tasks, and the last log lines of the newest one.

    Lines with a secret of this host are left out.
    """
    call = ["docker", "service", "ps", "--no-trunc", "--format", "{{json .}}", service]
    found = [json.loads(line) for line in runner.run(call).text.splitlines() if line]
    faulty = [(each, each["CurrentState"].partition(" ")[0]) for each in found]
    faulty = [(each, word) for each, word in faulty if word in _FAULTY]
    lines = [f"{each['Node']} {each['CurrentState']} {each['Error']}" for each, _ in faulty[:3]]
    if newest := next((each for each, word in faulty if word in ("Failed", "Starting")), None):
        logs = ["docker", "service", "logs", "--raw", "--tail", str(_LINES), newest["ID"]]
        done = run_shortly(runner, logs)
        lines += [*done.text.splitlines(), *done.errors.splitlines()]
    shown = lines_without_keys(runner, lines)
    return "".join(f"  {line[:_WIDTH]}\n" for line in shown)
