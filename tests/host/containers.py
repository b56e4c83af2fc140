"""Read the containers of the stack, as Docker reports them and as the kernel limits them.

On a cluster these are the containers of one node, by role: `postgres` for `infisical_postgres-2`.
"""

import json
import re
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from infisical_iac.core.settings import Settings
from tests.host.connection import Connection

SERVICES = ("infisical", "postgres", "redis")
Inspected = dict[str, Any]
T = TypeVar("T")

# Swarm keeps ended containers for a while, to report them. Docker may list an ended one as running
# if a full disk kept it from storing the end.
_OURS = """{
    docker ps --all --quiet --filter label=com.docker.compose.project=infisical
    docker ps --quiet --filter label=com.docker.stack.namespace=infisical |
        xargs --no-run-if-empty docker inspect --format '{{ if .State.Running }}{{ .Id }}{{ end }}'
}"""
_IS_WORKER = (
    "docker info --format '{{ .Swarm.LocalNodeState }} {{ .Swarm.ControlAvailable }}' | "
    "grep -qx 'active false' && echo worker"
)
_RUNNING = """
# <controller> <file of version 1> <file of version 2>
limit() { cat "$(group $1)/$([ $version = 2 ] && echo $3 || echo $2)"; }
group() {
    test $version = 2 && sed -n 's|^0::|/sys/fs/cgroup|p' /proc/$pid/cgroup ||
        sed -nE "s,^[0-9]+:([^:]*\\,)?$1(\\,[^:]*)?:,/sys/fs/cgroup/$1,p" /proc/$pid/cgroup
}
version=$(test -e /sys/fs/cgroup/cgroup.controllers && echo 2 || echo 1)
format='{{ with index .Config.Labels "com.docker.compose.service" }}{{ . }}{{ else }}{{
    index .Config.Labels "com.docker.swarm.service.name" }}{{ end }} {{ .State.Pid }}'
%s | xargs --no-run-if-empty docker inspect --format "$format" | while read -r service pid; do
    echo "$service limit memory $(limit memory memory.limit_in_bytes memory.max)"
    echo "$service limit pids $(limit pids pids.max pids.max)"
    echo "$service limit cpu" $(limit cpu cpu.cfs_quota_us cpu.max) \
        $(test $version = 2 || limit cpu cpu.cfs_period_us '')
    sed -n "s|^[^ ]* / [^ ]* \\([^ ]*\\) .*|$service root \\1|p" /proc/$pid/mounts
    for process in $(cat $(group memory)/cgroup.procs); do
        test -r /proc/$process/limits || continue
        echo "$service process $process"
        sed -n "s/^\\(Uid\\|CapEff\\|CapPrm\\|CapBnd\\|NoNewPrivs\\):\\s*/$service of \\1 /p" \
            /proc/$process/status
        sed -n "s/^Max core file size */$service of core /p" /proc/$process/limits
    done
done
"""


@dataclass
class Running:
    """The state that the kernel has for a container.

    Attributes:
        limits: the limits of its control group: `memory` in bytes, `pids`, and `cpu` as quota
            and period in microseconds.
        root: the mount options of its root file system.
        processes: the fields of `/proc` for each of its processes, by id, and `core`, the soft
            and the hard limit on core dumps.
    """

    limits: dict[str, str] = field(default_factory=dict)
    root: frozenset[str] = frozenset()
    processes: dict[str, dict[str, list[str]]] = field(default_factory=dict)


def volume(settings: Settings, service: str) -> str:
    """Return the name of a database's volume."""
    if settings.cluster.topology == "swarm":
        return {"postgres": "infisical_patroni", "redis": "infisical_redis-replica"}[service]
    return f"infisical_{service}"


class OfNode(dict[str, T]):
    """Items of a node by service; the lookup of a missing one of `elsewhere` skips the test."""

    def __init__(self, elsewhere: Container[str]) -> None:
        super().__init__()
        self._elsewhere = elsewhere

    def __missing__(self, service: str) -> T:
        if service in self._elsewhere:
            pytest.skip(f"{service} does not run on this node, and need not")
        raise KeyError(service)


def is_worker(connection: Connection) -> bool:
    """Return whether the host is a worker of a cluster, which keeps neither data nor keys."""
    return bool(connection.quietly(_IS_WORKER))


def elsewhere(settings: Settings, *, hosts: int, is_worker: bool) -> frozenset[str]:
    """Return the services that may run on other hosts only.

    Infisical is among them if there are more hosts than replicas.
    """
    if is_worker:
        return frozenset(settings.services)
    return frozenset({"infisical"} if hosts > settings.cluster.infisical_replicas else ())


def inspect(connection: Connection, elsewhere: Container[str]) -> OfNode[Inspected]:
    """Return the output of `docker inspect` by service, without values of the environment."""
    text = connection.quietly(f"{_OURS} | xargs --no-run-if-empty docker inspect")
    found = OfNode[Inspected](elsewhere)
    for container in json.loads(text or "[]"):
        container["Config"]["Env"] = [
            each.partition("=")[0] for each in container["Config"]["Env"] or ()
        ]
        found[_service(container["Config"]["Labels"])] = container
    return found


def _service(labels: dict[str, str]) -> str:
    return labels.get("com.docker.compose.service") or _role(
        labels["com.docker.swarm.service.name"]
    )


def _role(name: str) -> str:
    """Return the role of a Swarm's service, such as `postgres` for `infisical_postgres-2`."""
    return re.sub(r"^infisical_(.*?)(-\d+)?$", r"\1", name)


def running(connection: Connection, elsewhere: Container[str]) -> OfNode[Running]:
    """Return the state that the kernel has for each running container, by service."""
    found = OfNode[Running](elsewhere)
    process: dict[str, list[str]] = {}
    for line in connection.quietly(_RUNNING % _OURS).splitlines():
        service, kind, *rest = line.split()
        one = found.setdefault(_role(service), Running())
        if kind == "limit":
            one.limits[rest[0]] = " ".join(rest[1:])
        elif kind == "root":
            one.root = frozenset(rest[0].split(","))
        elif kind == "process":
            process = one.processes.setdefault(rest[0], {})
        else:
            process[rest[0]] = rest[1:]
    return found
