"""Read how a node of a cluster, and what runs on it, are at this moment."""

import re

from pyinfra.api.facts import FactBase

from infisical_iac.cluster.node_state import Copy, Member, NodeState
from infisical_iac.core.audit_log import parse
from infisical_iac.core.rendering import script
from infisical_iac.monitoring.condition import Running
from infisical_iac.monitoring.condition_fact import Condition


class NodeCondition(FactBase[NodeState]):
    """The NodeState; the arguments are those of Condition."""

    def command(self, served_name: str, port: int, lock: str) -> str:
        return script("status-cluster", lock, served_name, str(port))

    def process(self, output: list[str]) -> NodeState:
        members: list[Member] = []
        tasks: dict[str, list[Running]] = {}
        copies: list[Copy] = []
        numbers: dict[str, int] = {}
        said = {"postgres": "", "etcd": "", "redis": "", "sentinel": "", "overlay": ""}
        for line in output:
            match line.split():
                case ["member", name, status, availability, manager, number]:
                    members.append(Member(name, status, availability, manager, int(number)))
                case ["task", service, image, status, health]:
                    tasks.setdefault(_role(service), []).append(Running(image, status, health))
                case ["replica", name, state, sync, behind]:
                    copies.append(Copy(name, state, sync, int(behind)))
                case ["tls" | "leaf" as what, number]:
                    numbers[what] = int(number)
                case ["postgres" | "etcd" | "redis" | "sentinel" | "overlay" as what, word]:
                    said[what] = word
        log = "\n".join(line.removeprefix("log ") for line in output if line.startswith("log "))
        return NodeState(
            condition=Condition().process(output),
            log=parse(f"{log}\n" if log else ""),
            members=tuple(members),
            tasks=tasks,
            copies=tuple(copies),
            tls=numbers.get("tls"),
            leaf_ends=numbers.get("leaf"),
            **said,
        )

    @staticmethod
    def default() -> NodeState:
        return NodeState()


def _role(service: str) -> str:
    """Return what a service does: `postgres` of `infisical_postgres-2`."""
    return re.sub(r"-\d+$", "", service.removeprefix("infisical_"))
