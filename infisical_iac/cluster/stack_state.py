"""Read the state of the stack `infisical` from a manager of the Swarm."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from infisical_iac.agent import node_health
from infisical_iac.agent.files import PathState, states
from infisical_iac.agent.node_health import NodeFacts
from infisical_iac.cluster.model import NodeState
from infisical_iac.core import audit
from infisical_iac.core.agent import Question, fact_question, question, together
from infisical_iac.core.audit_entries import parse
from infisical_iac.core.files import text_question
from infisical_iac.core.remote import Fact
from infisical_iac.core.rendering import script
from infisical_iac.monitoring.health import HealthState
from infisical_iac.stack.model import parse_given_up
from infisical_iac.stack.state import STACK_FILE

RECORD = "/etc/infisical/stack.json"
# The prefix that Docker puts before the name of each service.
STACK = "infisical_"


@dataclass(frozen=True)
class PatroniState:
    """The answers of Patroni's REST API to `/config` and `/cluster`.

    Attributes:
        configuration: the dynamic configuration, which all members share; None if no Patroni runs
            here or etcd has no quorum.
        waiting: the names of the members that need a restart of PostgreSQL for a changed
            parameter, the primary last.
    """

    configuration: Mapping[str, Any] | None = None
    waiting: tuple[str, ...] = ()


def parse_patroni(lines: Sequence[str]) -> PatroniState:
    """Parse the lines `patroni <JSON>`; other lines are ignored."""
    answers = [json.loads(line.partition(" ")[2]) for line in lines if line.startswith("patroni {")]
    members = [each for answer in answers for each in answer.get("members", ())]
    waiting = [each for each in members if each.get("pending_restart")]
    waiting.sort(key=lambda each: each["role"] == "leader")
    return PatroniState(
        configuration=next((answer for answer in answers if "members" not in answer), None),
        waiting=tuple(each["name"] for each in waiting),
    )


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


@dataclass(frozen=True)
class Network:
    """A network of the stack; an `internal` one has no route to the outside."""

    internal: bool
    options: Mapping[str, str]
    subnets: tuple[str, ...]


@dataclass(frozen=True)
class Recorded:
    """A service as the last successful roll-out left it.

    Attributes:
        hash: the hash of its specification in Docker.
        rendered: the hash of its part of stack.yaml.
        desired: the number of tasks.
    """

    hash: str
    rendered: str
    desired: int


@dataclass(frozen=True)
class ClusterStackState:
    """The actual stack.

    Attributes:
        engine: whether Docker answers.
        manager: whether the Swarm answers, which takes a majority of its managers.
        files: the state of the requested paths.
        secrets: the secret's name for each purpose, derived from the keys on the host; none if a
            key is missing.
        nodes: for each node of the Swarm, whether it is ready and active.
        start: the entrypoint and command of each present image.
        services: by name, without the stack's prefix.
        made: the names of the secrets and configs of the stack.
        record: each service as the last successful roll-out left it; empty without one.
        patroni: the state of this node's Patroni.
        networks: by full name.
    """

    engine: bool = False
    manager: bool = False
    files: Mapping[str, PathState] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    start: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    nodes: tuple[bool, ...] = ()
    services: Mapping[str, SwarmService] = field(default_factory=dict)
    made: Mapping[str, frozenset[str]] = field(default_factory=dict)
    record: Mapping[str, Recorded] = field(default_factory=dict)
    patroni: PatroniState = field(default_factory=PatroniState)
    networks: Mapping[str, Network] = field(default_factory=dict)


def stack_question(
    *, images: Sequence[str], secrets: Mapping[str, Sequence[str]]
) -> Question[ClusterStackState]:
    """Return the question for the ClusterStackState; the arguments are as of ClusterStack."""
    # All other files follow from the rest of the state.
    return together(
        lambda state, files: replace(state, files=files),
        fact_question(ClusterStack, images=[*images], secrets=secrets),
        question(states, paths=[STACK_FILE, RECORD]),
    )


class ClusterStack(Fact[ClusterStackState]):
    """Read the ClusterStackState, without its files.

    Args:
        images: the images whose entrypoint and command are read.
        secrets: the names of keys, by the purpose of the secret that holds them.
    """

    def command(self, images: list[str], secrets: Mapping[str, Sequence[str]]) -> str:
        return script("cluster-stack", "state", keys_of(secrets), *images)

    def process(self, output: list[str]) -> ClusterStackState:
        rows: dict[str, list[list[str]]] = defaultdict(list)
        for kind, *rest in (line.split(" ") for line in output):
            rows[kind].append(rest)
        hashes = {row[0]: row[1] for row in rows["hash"]}
        levels = {row[0]: int(row[1]) for row in rows["tls"]}
        services = {
            name.removeprefix(STACK): SwarmService(
                int(running),
                int(desired),
                update,
                int(waiting),
                hashes.get(name, ""),
                levels.get(name, 0),
            )
            for name, running, desired, update, waiting, *_ in rows["service"]
        }
        return ClusterStackState(
            engine="engine" in rows,
            manager="manager" in rows,
            secrets={row[0]: row[1] for row in rows["desired"]},
            start={image: _start(" ".join(rest)) for image, *rest in rows["start"]},
            nodes=tuple(row[1:] == ["ready", "active"] for row in rows["node"]),
            services=services,
            made={kind: frozenset(row[0] for row in rows[kind]) for kind in ("secret", "config")},
            record=next((_record(" ".join(row)) for row in rows["record"]), {}),
            patroni=parse_patroni(output),
            networks={name: _network(" ".join(rest)) for name, *rest in rows["network"]},
        )


def keys_of(secrets: Mapping[str, Sequence[str]]) -> str:
    """Return the secrets with the names of their keys, as one argument for the script."""
    return " ".join(f"{purpose}:{','.join(names)}" for purpose, names in secrets.items())


def hashes(output: str) -> dict[str, str]:
    """Parse the hash of each service's specification from the script's `hashes`."""
    rows = [line.split() for line in output.splitlines() if line.startswith("hash ")]
    return {row[1].removeprefix(STACK): row[2] for row in rows}


def record_text(record: Mapping[str, Recorded]) -> str:
    """Return the text of stack.json."""
    services = {name: vars(each) for name, each in sorted(record.items())}
    return json.dumps({"services": services}, indent=2) + "\n"


def _record(text: str) -> dict[str, Recorded]:
    try:
        services = json.loads(text)["services"]
        return {name: Recorded(**values) for name, values in services.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}  # truncated or edited: treated as missing, and the next roll-out writes it again


def _network(text: str) -> Network:
    found = json.loads(text)
    subnets = tuple(each["Subnet"] for each in found["ipam"] or ())
    return Network(found["internal"], found["options"] or {}, subnets)


def _start(text: str) -> tuple[str, ...]:
    """Parse entrypoint and command, two JSON values; Docker prints null for one that is unset."""
    decoder = json.JSONDecoder()
    entrypoint, end = decoder.raw_decode(text)
    command, _ = decoder.raw_decode(text[end:].lstrip())
    return (*(entrypoint or ()), *(command or ()))


def node_question(health: Question[HealthState]) -> Question[NodeState]:
    """Return the question for the NodeState, given the one for the health of its host."""
    return together(
        lambda found, state, texts: make_node_state(found, state, texts.get(audit.FILE, "")),
        question(node_health.facts),
        health,
        text_question(audit.FILE),
    )


def make_node_state(found: NodeFacts, health: HealthState, log: str = "") -> NodeState:
    """Return the state of a node, given the text of its audit log."""
    databases = parse_given_up(f"given-up {name} {comment}" for name, comment in found.given_up)
    # Given up: volumes of a former single host, and databases of the cluster's PostgreSQL.
    given_up = (*health.given_up, *databases)
    return NodeState(
        health=replace(health, given_up=given_up),
        log=parse(log),
        members=found.members,
        tasks=found.tasks,
        copies=found.copies,
        postgres=found.postgres,
        etcd=found.etcd,
        redis=found.redis,
        sentinel=found.sentinel,
        overlay=found.overlay,
        tls=found.tls,
        leaf_ends=found.leaf_ends,
    )
