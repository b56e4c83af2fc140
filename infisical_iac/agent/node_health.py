"""Observe the part of a node's health that concerns the cluster, for the status."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infisical_iac.agent.docker import DockerContainer, list_containers
from infisical_iac.agent.health import Running, run_shortly
from infisical_iac.agent.membership import inspect_nodes
from infisical_iac.agent.runner import Output, Runner, observation
from infisical_iac.agent.swarm import HOST, NUMBER, first_certificate_end
from infisical_iac.agent.tasks import OF_STACK, STACK, is_unready

_SECONDS = 10
# Services whose TLS is not of the cluster's own authority.
_SERVED_FOR_ALL = ("caddy",)
_TLS = "infisical.tls"
_EDGE = "infisical-edge"
_LISTED = ("running", "paused", "restarting")
_MASTER = "-p 26379 sentinel get-master-addr-by-name infisical"


@dataclass(frozen=True)
class ManagedNode:
    """A node as a manager sees it.

    Attributes:
        name: its name in the inventory.
        status: `ready` or `down`; `availability` is `active`, `pause` or `drain`.
        manager: `leader`, `reachable` or `unreachable`; `-` of a worker.
        number: the number of its data, as in `postgres-2`; 0 for a node without data.
    """

    name: str
    status: str
    availability: str
    manager: str
    number: int

    @property
    def trouble(self) -> str:
        """Return the problem of the node, such as `down` or `drained`; empty if there is none."""
        if self.status != "ready":
            return self.status
        if self.availability != "active":
            return {"drain": "drained", "pause": "paused"}.get(self.availability, "")
        return "unreachable as a manager" if self.manager == "unreachable" else ""


@dataclass(frozen=True)
class Copy:
    """A standby as its primary sees it: `sync` is `sync`, `quorum`, `async` or `potential`."""

    name: str
    state: str
    sync: str
    behind: int


@dataclass(frozen=True)
class NodeFacts:
    """The state of this node in its cluster; the defaults are for a silent node.

    Attributes:
        members: all nodes, if it is a manager.
        tasks: the containers that run on it, by role, such as `postgres`. The health of a replica
            of Infisical is `unready` if it answers, but has lost its database or Redis.
        copies: the standbys, if its PostgreSQL is the primary.
        given_up: the name of each database that was given up, and the comment on it, if its
            PostgreSQL is the primary.
        postgres: `primary`, `standby` or `silent`; empty if none runs here.
        etcd: `healthy` or `unhealthy`; empty if none runs here.
        redis: `master` or `slave`; empty if none answers here.
        sentinel: the master that its sentinel names; empty if none answers here.
        overlay: `encrypted` or `plain`, for the network that carries requests to Infisical; empty
            if the node does not know it.
        tls: the lowest TLS level of all services; None if the node is not a manager or there is no
            stack.
        leaf_ends: when the first certificate within the cluster ends, in seconds since the epoch;
            None if the node has none.
    """

    members: tuple[ManagedNode, ...] = ()
    tasks: Mapping[str, list[Running]] = field(default_factory=dict)
    copies: tuple[Copy, ...] = ()
    given_up: tuple[tuple[str, str], ...] = ()
    postgres: str = ""
    etcd: str = ""
    redis: str = ""
    sentinel: str = ""
    overlay: str = ""
    tls: int | None = None
    leaf_ends: int | None = None


@observation
def facts(runner: Runner) -> NodeFacts:
    """Return the state of this node in its cluster."""
    try:
        containers = list_containers(runner)
    except RuntimeError:
        containers = []
    tasks: dict[str, list[Running]] = {}
    for each in containers:
        # On a full disk Docker may not store a container's end, and lists it until a restart.
        if each.swarm_service.startswith(STACK) and each.status in _LISTED:
            tasks.setdefault(_role(each), []).append(_running(runner, each))
    role, copies, given_up = _postgres(runner, containers)
    end = first_certificate_end(runner)
    return NodeFacts(
        members=tuple(map(_member, inspect_nodes(runner))),
        tasks=tasks,
        copies=copies,
        given_up=given_up,
        postgres=role,
        etcd=_etcd(runner, containers),
        redis=_ask_redis(runner, containers, "redis", "role"),
        sentinel=_ask_redis(runner, containers, "sentinel", _MASTER),
        overlay=_overlay(runner),
        tls=min(_tls_levels(runner), default=None),
        leaf_ends=None if end is None else int(end),
    )


def _role(container: DockerContainer) -> str:
    """Return a service's role, such as `postgres` for `infisical_postgres-2`."""
    name = container.swarm_service.removeprefix(STACK)
    role, _, number = name.rpartition("-")
    return role if number.isdecimal() else name


def _running(runner: Runner, container: DockerContainer) -> Running:
    health = container.health or "none"
    is_replica = container.swarm_service == f"{STACK}infisical"
    if is_replica and health == "healthy" and is_unready(runner, container.pid):
        health = "unready"
    return Running(container.image, container.status, health)


def _member(found: Mapping[str, Any]) -> ManagedNode:
    spec, manages = found.get("Spec") or {}, found.get("ManagerStatus") or {}
    labels = spec.get("Labels") or {}
    number = labels.get(NUMBER, "")
    return ManagedNode(
        labels.get(HOST) or (found.get("Description") or {}).get("Hostname", ""),
        (found.get("Status") or {}).get("State", ""),
        spec.get("Availability", ""),
        "leader" if manages.get("Leader") else manages.get("Reachability", "-"),
        int(number) if number.isdecimal() else 0,
    )


def _ask(
    runner: Runner,
    containers: Sequence[DockerContainer],
    service: str,
    words: Sequence[str],
    stdin: str = "",
) -> Output | None:
    """Return the result of a program in this node's container of a service; None without one."""
    own = [each for each in containers if each.belongs_to(service)]
    container = next((each for each in own if each.is_running), own[0] if own else None)
    if container is None:
        return None
    call = ["docker", "exec", *(["--interactive"] if stdin else []), container.id, *words]
    return run_shortly(runner, call, stdin=stdin, seconds=_SECONDS)


def _ask_redis(
    runner: Runner, containers: Sequence[DockerContainer], service: str, words: str
) -> str:
    """Return the first line of an answer of Redis or its sentinel; empty without an answer."""
    password = (runner.text("/etc/infisical/keys/redis_password") or "").strip()
    call = ["sh", "-c", f"{_WITH_PASSWORD} {words}"]
    done = _ask(runner, containers, service, call, stdin=f"{password}\n")
    return done.text.partition("\n")[0].strip() if done else ""


# A row a line: the role, a standby, or a database that was given up, as JSON.
_QUERY = r"""
SELECT json_build_array('role', CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END);
SELECT json_build_array('copy', application_name, state, sync_state,
    coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0)::bigint)
FROM pg_stat_replication WHERE NOT pg_is_in_recovery() AND application_name <> 'pg_basebackup';
SELECT json_build_array('given-up', datname,
    coalesce(shobj_description(oid, 'pg_database'), 'unknown unknown'))
FROM pg_database WHERE NOT pg_is_in_recovery() AND datname LIKE 'infisical\_given\_up\_%'
"""
_PSQL = ("psql", "--username", "infisical", "--dbname", "postgres", "--no-align", "--tuples-only")
# The client's password is its first line of standard input.
_WITH_PASSWORD = "IFS= read -r REDISCLI_AUTH; export REDISCLI_AUTH; exec redis-cli $CLI"


def _postgres(
    runner: Runner, containers: Sequence[DockerContainer]
) -> tuple[str, tuple[Copy, ...], tuple[tuple[str, str], ...]]:
    """Return the role of this node's PostgreSQL, its standbys, and the given up databases."""
    done = _ask(runner, containers, "postgres", [*_PSQL, "--command", _QUERY])
    if done is None:
        return "", (), ()
    rows = [json.loads(line) for line in done.lines]
    role = next((role for what, role, *_ in rows if what == "role"), "silent")
    copies = tuple(
        Copy(name, state, sync, behind)
        for what, name, state, sync, behind in (row for row in rows if row[0] == "copy")
    )
    return role, copies, tuple((row[1], row[2]) for row in rows if row[0] == "given-up")


def _etcd(runner: Runner, containers: Sequence[DockerContainer]) -> str:
    done = _ask(runner, containers, "etcd", ["etcdctl", "endpoint", "health"])
    if done is None:
        return ""
    return "healthy" if done.status == 0 else "unhealthy"


def _tls_levels(runner: Runner) -> Iterator[int]:
    ids = run_shortly(runner, ["docker", "service", "ls", "--quiet", "--filter", OF_STACK]).lines
    if not ids:
        return
    inspect = ["docker", "service", "inspect", "--format", "{{json .Spec}}", *ids]
    for line in run_shortly(runner, inspect).text.splitlines():
        spec = json.loads(line) if line else {}
        if spec and spec["Name"].removeprefix(STACK) not in _SERVED_FOR_ALL:
            level = (spec.get("Labels") or {}).get(_TLS, "")
            yield int(level) if level.isdecimal() else 0


def _overlay(runner: Runner) -> str:
    inspect = ["docker", "network", "inspect", "--format", "{{json .Options}}", _EDGE]
    shown = run_shortly(runner, inspect).text.strip()
    if not shown.startswith("{"):
        return ""
    return "encrypted" if "encrypted" in json.loads(shown) else "plain"
