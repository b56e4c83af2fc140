"""Read the state of the stack `infisical` from a manager of the Swarm."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from infisical_iac.agent import node_health, swarm_stack
from infisical_iac.agent.files import states
from infisical_iac.agent.node_health import NodeFacts
from infisical_iac.agent.swarm_stack import ClusterStackState, Recorded
from infisical_iac.cluster.model import NodeState
from infisical_iac.core import audit
from infisical_iac.core.agent import Question, question, together
from infisical_iac.core.audit_entries import parse
from infisical_iac.core.files import text_question
from infisical_iac.monitoring.health import HealthState
from infisical_iac.stack.model import parse_given_up
from infisical_iac.stack.state import STACK_FILE

RECORD = "/etc/infisical/stack.json"


def stack_question(
    *, images: Sequence[str], secrets: Mapping[str, Sequence[str]]
) -> Question[ClusterStackState]:
    """Return the question for the ClusterStackState, with the arguments of `inspect`."""
    # All other files follow from the rest of the state.
    return together(
        lambda state, files: replace(state, files=files),
        question(swarm_stack.inspect, images=[*images], secrets={**secrets}),
        question(states, paths=[STACK_FILE, RECORD]),
    )


def record_text(record: Mapping[str, Recorded]) -> str:
    """Return the text of stack.json."""
    services = {name: vars(each) for name, each in sorted(record.items())}
    return json.dumps({"services": services}, indent=2) + "\n"


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
