"""Read the observed state of a cluster: its nodes by themselves, its services by a manager."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infisical_iac.agent.membership import SwarmMember, SwarmState
from infisical_iac.cluster.swarm_state import swarm_question
from tests.host.connection import Connection

STACK = "infisical"
# Runs a command in this node's own container of a service.
INSIDE = (
    "docker exec --interactive $(docker ps --quiet --filter "
    "label=com.docker.swarm.service.name | xargs docker inspect --format "
    '\'{{{{ if .State.Running }}}}{{{{ index .Config.Labels "com.docker.swarm.service.name" }}}} '
    "{{{{ .Id }}}}{{{{ end }}}}' | "
    "sed -n 's/^infisical_{service}-[0-9] //p') {command}"
)


@dataclass(frozen=True)
class Node:
    """A reachable node, and the state of the Swarm as the node reports it."""

    name: str
    connection: Connection
    seen: SwarmState

    def run(self, command: str, stdin: str = "") -> str:
        """Return the output of a command; testinfra does not log it."""
        return self.connection.quietly(command, stdin).strip()

    def inside(self, service: str, command: str, stdin: str = "") -> str:
        """Return the output of a command in the node's container of a data service."""
        return self.run(INSIDE.format(service=service, command=command), stdin)

    @property
    def member(self) -> SwarmMember:
        """The node as it reports itself; only managers do."""
        return next(each for each in self.seen.members if each.id == self.seen.id)


def nodes(connections: Mapping[str, Connection]) -> list[Node]:
    """Return all reachable nodes, the data nodes first, by their numbers."""
    found = [Node(name, each, each.inspect(swarm_question())) for name, each in connections.items()]
    return sorted(found, key=lambda node: node.member.number if node.seen.control else 9)


def services(manager: Node) -> dict[str, dict[str, Any]]:
    """Return the Swarm's services of the stack, by name without the prefix of the stack."""
    label = f"label=com.docker.stack.namespace={STACK}"
    text = manager.run(
        f"docker service ls --quiet --filter {label} | xargs --no-run-if-empty "
        "docker service inspect"
    )
    return {
        each["Spec"]["Name"].removeprefix(f"{STACK}_"): each for each in json.loads(text or "[]")
    }


def tasks(manager: Node) -> dict[str, list[tuple[str, str]]]:
    """Return the node and the state of each task that should run, by service."""
    lines = manager.run(
        f"docker stack ps {STACK} --filter desired-state=running --no-trunc "
        "--format '{{ .Name }} {{ .Node }} {{ .CurrentState }}'"
    ).splitlines()
    found: dict[str, list[tuple[str, str]]] = {}
    for name, node, state, *_ in map(str.split, lines):
        service = name.removeprefix(f"{STACK}_").rpartition(".")[0]
        found.setdefault(service, []).append((node, state.lower()))
    return found
