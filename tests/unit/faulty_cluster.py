"""A fake cluster of three hosts for the fault tests: reports of its managers and services."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from tests.cluster.hosts import Cluster
from tests.cluster.nodes import Node
from tests.e2e.running import Run

_HEALTHY = "\n".join(f"http://etcd-{number}:2379 is healthy: took = 2ms" for number in (1, 2, 3))
_SENTINEL = "name\nx\nflags\n" + "\nflags\n".join(["slave", "slave", "sentinel", "sentinel"])


@dataclass
class FaultyCluster:
    """A cluster with the methods of `tests.cluster.hosts.Cluster`, answered by these attributes.

    `plans` are the reports of `plan`, one after the other. `applied` are the operations that change
    something in a run of the deploy. The run makes the nodes active, unless `stubborn` is set.
    """

    plans: list[list[str]] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)
    availability: str = "active"
    stubborn: bool = False
    primary: int = 1
    reached: list[Node] = field(default_factory=list)
    numbers: tuple[int, ...] = (1, 2, 3)

    def as_cluster(self) -> Cluster:
        return cast("Cluster", self)

    def nodes(self) -> list[Node]:
        return self.reached

    def credentials(self) -> dict[str, str]:
        return {"INFISICAL_CLIENT_ID": "an-id", "INFISICAL_CLIENT_SECRET": "no-real-secret"}

    def plan(self) -> list[str]:
        return self.plans.pop(0) if self.plans else []

    def deploy(self, data: Mapping[str, str] | None = None) -> Run:
        if not self.stubborn:
            self.availability = "active"
        done = [{"name": name, "success": 1, "no_change": 0} for name in self.applied]
        return Run(0, json.dumps({"results": {"operations": done}}), "")

    def unready(self) -> str:
        return ""

    def unhealthy(self) -> str:
        return ""

    def postmaster(self, number: int) -> str | None:
        return "1795000000.5" if number == self.primary else ""

    def sql(self, number: int, statement: str) -> str:
        return "streaming|sync\nstreaming|async" if number == self.primary else ""

    def inside(self, number: int, service: str, command: str) -> str:
        return _HEALTHY if service.startswith("etcd") else _SENTINEL

    def managers(self, command: str) -> list[str]:
        if command.startswith("docker service ls"):
            return ["infisical_haproxy 3/3"]
        if command.startswith("docker service inspect"):
            container = {"Image": "haproxy:3"}
            output = {"Mode": {"Global": {}}, "TaskTemplate": {"ContainerSpec": container}}
            return [json.dumps({"Name": "infisical_haproxy", **output})]
        spec = {"Role": "manager", "Availability": self.availability}
        node = {"Spec": spec, "Status": {"State": "ready"}, "Description": {"Hostname": "a-1"}}
        return [json.dumps(node)]
