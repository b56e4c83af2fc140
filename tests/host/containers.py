"""The containers of the stack: what Docker says of them, and what the kernel does."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.host.connection import Connection

SERVICES = ("infisical", "postgres", "redis")
Inspected = dict[str, Any]

_OURS = "docker ps --all --quiet --filter label=com.docker.compose.project=infisical"
_RUNNING = """
# <controller> <file of version 1> <file of version 2>
limit() { cat "$(group $1)/$([ $version = 2 ] && echo $3 || echo $2)"; }
group() {
    test $version = 2 && sed -n 's|^0::|/sys/fs/cgroup|p' /proc/$pid/cgroup ||
        sed -nE "s,^[0-9]+:([^:]*\\,)?$1(\\,[^:]*)?:,/sys/fs/cgroup/$1,p" /proc/$pid/cgroup
}
version=$(test -e /sys/fs/cgroup/cgroup.controllers && echo 2 || echo 1)
format='{{ index .Config.Labels "com.docker.compose.service" }} {{ .State.Pid }}'
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
    """What the kernel has for a container.

    Attributes:
        limits: those of its control group: `memory` in bytes, `pids`, and `cpu`: quota and
            period in microseconds.
        root: the mount options of its root file system.
        processes: of each of its processes, by id, the fields of `/proc`, and `core`: the
            soft and the hard limit on core dumps.
    """

    limits: dict[str, str] = field(default_factory=dict)
    root: frozenset[str] = frozenset()
    processes: dict[str, dict[str, list[str]]] = field(default_factory=dict)


def inspect(connection: Connection) -> dict[str, Inspected]:
    """What `docker inspect` says, by service, without the values of the environment."""
    text = connection.quietly(f"{_OURS} | xargs --no-run-if-empty docker inspect")
    found: dict[str, Inspected] = {}
    for container in json.loads(text or "[]"):
        container["Config"]["Env"] = [
            each.partition("=")[0] for each in container["Config"]["Env"] or ()
        ]
        found[container["Config"]["Labels"]["com.docker.compose.service"]] = container
    return found


def running(connection: Connection) -> dict[str, Running]:
    """What the kernel has for each running container, by service."""
    found: dict[str, Running] = {}
    process: dict[str, list[str]] = {}
    for line in connection.quietly(_RUNNING % _OURS).splitlines():
        service, kind, *rest = line.split()
        one = found.setdefault(service, Running())
        if kind == "limit":
            one.limits[rest[0]] = " ".join(rest[1:])
        elif kind == "root":
            one.root = frozenset(rest[0].split(","))
        elif kind == "process":
            process = one.processes.setdefault(rest[0], {})
        else:
            process[rest[0]] = rest[1:]
    return found
