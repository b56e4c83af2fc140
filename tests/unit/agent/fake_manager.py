"""A fake manager of a swarm, whose Docker has services, tasks, secrets and configs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infisical_iac.agent.runner import Output
from tests.unit.agent.fake_runner import FakeRunner

# Tasks as `docker service ps` lists them, with their node, state and error.
HISTORY = (
    ("t1", "node1", "Running 1 hour ago", ""),
    ("t2", "node1", "Rejected 2 seconds ago", "No such image: x"),
    ("t3", "node2", "Failed 9 seconds ago", "task: non-zero exit (1)"),
    ("t4", "node2", "Failed 1 day ago", ""),
)


def _lines(found: Sequence[Mapping[str, Any]]) -> str:
    return "".join(f"{json.dumps(each)}\n" for each in found)


@dataclass(frozen=True)
class FakeManager(FakeRunner):
    """A manager; `changes` has the requested changes of services, secrets and configs.

    Attributes:
        replicas: the column of replicas of each service, by its full name.
        updates: the state of the last update of each service.
        tasks: the slot, node and state of each task that should run.
        ended: the id, slot and state of each task that should not run.
        looping: the slots in which a task more ends whenever the ended ones are listed.
        nodes: state and availability of each node.
    """

    replicas: dict[str, str] = field(default_factory=dict)
    updates: dict[str, str] = field(default_factory=dict)
    tasks: list[tuple[str, str, str]] = field(default_factory=list)
    ended: list[tuple[str, str, str]] = field(default_factory=list)
    looping: list[str] = field(default_factory=list)
    nodes: list[tuple[str, str]] = field(default_factory=lambda: [("ready", "active")] * 2)
    secrets: list[str] = field(default_factory=list)
    configs: list[str] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)

    def run_tasks(self, waiting: str = "", **running: int) -> None:
        """Set the number of running tasks per service, and a service with a task without a node."""
        self.tasks[:] = [
            (f"infisical_{name}.{number}", f"node{number}", "Running 2 hours ago")
            for name, many in running.items()
            for number in range(1, many + 1)
        ]
        if waiting:
            self.tasks.append((f"{waiting}.9", "", "Pending 2 hours ago"))

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 0,
        environment: Mapping[str, str] = {},
    ) -> Output:
        self.ran.append((" ".join(words), stdin))
        found = self._answer(words, stdin)
        return found if isinstance(found, Output) else Output(0, found)

    def _answer(self, words: Sequence[str], stdin: str) -> str | Output:
        match [*words]:
            case ["docker", "stack", "ps", *_, state, "--format", _]:
                return self._list_tasks(state)
            case ["docker", "service", "ls", *options]:
                if "--quiet" in options:
                    return "".join(f"{each}\n" for each in self.replicas)
                return _lines(
                    [{"ID": each, "Name": each, "Replicas": n} for each, n in self.replicas.items()]
                )
            case ["docker", "service", "inspect", "--format", _, *names]:
                return "".join(map(self._specification, names))
            case ["docker", "service", "ps", *_]:
                keys = ("ID", "Node", "CurrentState", "Error")
                return _lines([dict(zip(keys, each, strict=True)) for each in HISTORY])
            case ["docker", "node", "ls", *_]:
                return "".join(f"n{number}\n" for number, _ in enumerate(self.nodes))
            case ["docker", "node", "inspect", *_]:
                return _lines(
                    [{"Status": {"State": s}, "Spec": {"Availability": a}} for s, a in self.nodes]
                )
            case ["docker", "service", "scale", "--detach", asked]:
                return self._scale(asked)
            case ["docker", "secret" | "config" as kind, "ls", *_]:
                return _lines([{"Name": each} for each in getattr(self, f"{kind}s")])
            case ["docker", "secret", "inspect", name]:
                return Output(0 if name in self.secrets else 1)
            case ["docker", "secret", "create", *_, name, "-"]:
                self.secrets.append(name)
                self.made[name] = stdin
                return ""
            case ["docker", "secret" | "config", "rm", _]:
                self.changes.append(" ".join(words[1:]))
                return ""
        self.ran.pop()  # noted by the base
        return super().run(words, stdin=stdin)

    def _list_tasks(self, state: str) -> str:
        keys = ("ID", "Name", "Node", "CurrentState")
        if state == "desired-state=running":
            found = [("t", *each) for each in self.tasks]
        else:
            found = [(id, slot, "node1", word) for id, slot, word in self.ended]
            for slot in self.looping:
                self.ended.append((f"t{len(self.ended)}", slot, "Failed 1 second ago"))
        return _lines([dict(zip(keys, each, strict=True)) for each in found])

    def _specification(self, name: str) -> str:
        update = {"State": self.updates[name]} if name in self.updates else None
        return f'{{"Name":"{name}","Labels":{{"infisical.tls":"3"}}}}\n{json.dumps(update)}\n'

    def _scale(self, asked: str) -> str:
        self.changes.append(f"service scale {asked}")
        name = asked.partition("=")[0]
        # A task that waits is removed with the desired number.
        self.tasks[:] = [
            (slot, node, state)
            for slot, node, state in self.tasks
            if state.startswith("Running") or not slot.startswith(f"{name}.")
        ]
        return ""
