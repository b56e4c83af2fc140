"""Observe the cluster that this host belongs to, as its swarm, etcd and Patroni answer.

One host reports for all: the data node with the lowest number that the managers see as ready. All
managers see the same, so an alert on the cluster is sent once. Managers without a majority behind
them can't agree, so each of them reports.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ssl import cert_time_to_seconds
from typing import Any

from infisical_iac.agent.health import run_shortly
from infisical_iac.agent.runner import Runner, observation

STACK = "infisical_"
# Labels of a node, which the managers keep: its name in the inventory, the number of its data, and
# until when its maintenance lasts, in seconds since the epoch.
HOST, NUMBER, MAINTENANCE = "infisical.host", "infisical.node", "infisical.maintenance"
_OF_STACK = "label=com.docker.stack.namespace=infisical"
# Without `.Size`, which takes Docker long.
_CONTAINER = (
    '{"id":{{json .ID}},"name":{{json .Names}},"image":{{json .Image}},'
    '"created":{{json .CreatedAt}},"state":{{json .State}}}'
)
_HEALTH_OF_ETCD = ("etcdctl", "endpoint", "health", "--cluster", "--write-out=json")
_ASK_PATRONI = 'curl --noproxy "*" --silent --max-time 5 "${REST:-http}://127.0.0.1:8008/cluster"'
_TLS = "/etc/infisical/tls"


@dataclass(frozen=True)
class ObservedNode:
    """A node as the managers see it.

    Attributes:
        name: its name in the inventory, else its host name.
        number: the number of its data; 0 for a node without data.
        is_ready: whether the managers reach it.
        availability: `active`, `pause` or `drain`.
        reachability: of a manager `leader`, `reachable` or `unreachable`; empty for a worker.
        maintained: until when its maintenance lasts; 0.0 for none.
    """

    id: str
    name: str
    number: int = 0
    is_ready: bool = True
    availability: str = "active"
    reachability: str = ""
    maintained: float = 0.0


@dataclass(frozen=True)
class PostgresMember:
    """A PostgreSQL as Patroni sees it.

    Attributes:
        role: `leader`, `sync_standby`, `quorum_standby` or `replica`.
        state: `running` of a leader, `streaming` of a standby that follows, or another one.
        lag: how many bytes it is behind; None if unknown, or if it is the leader.
    """

    name: str
    role: str
    state: str
    lag: int | None = None


@dataclass(frozen=True)
class ClusterFacts:
    """The state of a cluster; the defaults are for a host that is in none.

    Attributes:
        is_manager: whether this host is a manager of the swarm.
        has_quorum: whether the swarm answers, which takes a majority of its managers.
        leads: whether this host is the swarm's leader, which makes the backups in shared targets.
        reports: whether this host reports the problems of the whole cluster.
        nodes: all nodes; none without a quorum.
        services: how many tasks of each service run, and how many should.
        starts: when the containers on this host were created, by service.
        images: the images that run on this host, by service.
        etcd: why each member is unhealthy, by its address; empty text for a healthy one. No member
            means that etcd has no quorum. None if it was not asked.
        postgres: the members that Patroni knows; None if it was not asked, or did not answer.
        certificate_ends: when the first certificate within the cluster ends; None if unknown.
    """

    is_manager: bool = False
    has_quorum: bool = False
    leads: bool = False
    reports: bool = False
    nodes: tuple[ObservedNode, ...] = ()
    services: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    starts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    etcd: Mapping[str, str] | None = None
    postgres: tuple[PostgresMember, ...] | None = None
    certificate_ends: float | None = None


def observe(runner: Runner) -> ClusterFacts:
    """Return the state of the cluster. What can't be observed has its default."""
    info = _json(run_shortly(runner, ["docker", "info", "--format", "{{json .Swarm}}"]).text)
    is_manager = bool(info.get("ControlAvailable"))
    nodes = tuple(_nodes(runner)) if is_manager else ()
    me = next((each for each in nodes if each.id == info.get("NodeID")), None)
    data = sorted((each for each in nodes if each.number and each.is_ready), key=lambda e: e.number)
    reports = is_manager and (not nodes or (bool(data) and me == data[0]))
    containers = [*_lines(run_shortly(runner, _list_containers()).text)]
    running = {_service(each): each for each in containers if each.get("state") == "running"}
    return ClusterFacts(
        is_manager=is_manager,
        has_quorum=bool(nodes),
        leads=me is not None and me.reachability == "leader",
        reports=reports,
        nodes=nodes,
        services=dict(_services(runner)) if nodes and reports else {},
        starts=_starts(containers),
        images={service: str(each.get("image", "")) for service, each in running.items()},
        etcd=_etcd(runner, _container(running, "etcd")) if reports else None,
        postgres=_postgres(runner, _container(running, "postgres")) if reports else None,
        certificate_ends=first_certificate_end(runner) if reports else None,
    )


@dataclass(frozen=True)
class VotingNode:
    """A node as its swarm reports it, for the decision whether the others can do without it.

    Attributes:
        name: its host name.
        number: the number of its data; 0 for a node without data.
        vote: of a manager `reachable` or `unreachable`; empty for a worker.
    """

    name: str
    number: int
    vote: str


@dataclass(frozen=True)
class ClusterReport:
    """A node's report on its cluster.

    Attributes:
        nodes: all nodes; none if the host is no working manager.
        databases: the number of PostgreSQLs that should run.
        postgres: the members that Patroni knows; None if no Patroni answers here.
    """

    nodes: tuple[VotingNode, ...] = ()
    databases: int = 0
    postgres: tuple[PostgresMember, ...] | None = None


@observation
def report(runner: Runner) -> ClusterReport:
    """Return what this node knows of its cluster. Raises RuntimeError with a Failure."""
    listed = run_shortly(runner, ["docker", "node", "ls", "--quiet"])
    if listed.status != 0:
        return ClusterReport()
    inspect = ["docker", "node", "inspect", "--format", "{{json .}}", *dict.fromkeys(listed.lines)]
    # A node that can't be inspected must not be missing in the report.
    nodes = tuple(map(_voting_node, _lines(runner.must_run(inspect))))
    services = ["docker", "service", "ls", "--quiet", "--filter", f"name={STACK}postgres-"]
    containers = _lines(run_shortly(runner, _list_containers()).text)
    running = {_service(each): each for each in containers if each.get("state") == "running"}
    return ClusterReport(
        nodes,
        len(runner.must_run(services).split()),
        _postgres(runner, _container(running, "postgres")),
    )


def _voting_node(found: Mapping[str, Any]) -> VotingNode:
    return VotingNode(
        (found.get("Description") or {}).get("Hostname", ""),
        parse_node(found).number,
        (found.get("ManagerStatus") or {}).get("Reachability", ""),
    )


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _lines(text: str) -> Iterator[dict[str, Any]]:
    yield from filter(None, map(_json, text.splitlines()))


def _nodes(runner: Runner) -> Iterator[ObservedNode]:
    ids = run_shortly(runner, ["docker", "node", "ls", "--quiet"]).lines
    if not ids:
        return
    inspect = ["docker", "node", "inspect", "--format", "{{json .}}", *dict.fromkeys(ids)]
    for found in _lines(run_shortly(runner, inspect).text):
        yield parse_node(found)


def parse_node(found: Mapping[str, Any]) -> ObservedNode:
    """Return a node from the JSON that `docker node inspect` prints."""
    spec, manages = found.get("Spec") or {}, found.get("ManagerStatus") or {}
    labels = spec.get("Labels") or {}
    hostname = (found.get("Description") or {}).get("Hostname", "")
    return ObservedNode(
        id=found.get("ID", ""),
        name=labels.get(HOST) or hostname,
        number=int(_number(labels.get(NUMBER, ""))),
        is_ready=(found.get("Status") or {}).get("State") == "ready",
        availability=spec.get("Availability", "active"),
        reachability="leader" if manages.get("Leader") else manages.get("Reachability", ""),
        maintained=_number(labels.get(MAINTENANCE, "")),
    )


def _number(text: str) -> float:
    return float(text) if text.isdecimal() else 0.0


def _services(runner: Runner) -> Iterator[tuple[str, tuple[int, int]]]:
    listed = ["docker", "service", "ls", "--filter", _OF_STACK, "--format", "{{json .}}"]
    for found in _lines(run_shortly(runner, listed).text):
        # Such as "2/3 (max 1 per node)".
        if numbers := re.match(r"(\d+)/(\d+)", str(found.get("Replicas", ""))):
            name = str(found.get("Name", "")).removeprefix(STACK)
            yield name, (int(numbers[1]), int(numbers[2]))


def _list_containers() -> Sequence[str]:
    return ["docker", "ps", "--all", "--filter", _OF_STACK, "--format", _CONTAINER]


def _service(container: Mapping[str, Any]) -> str:
    """Return the service of a task's container, whose name is `infisical_etcd-1.1.<id>`."""
    return str(container.get("name", "")).removeprefix(STACK).partition(".")[0]


def _starts(containers: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, ...]]:
    """Return when containers were created: Swarm makes a new one for each start."""
    found: dict[str, list[float]] = {}
    for each in containers:
        try:
            words = str(each.get("created", "")).split()
            created = datetime.strptime(" ".join(words[:3]), "%Y-%m-%d %H:%M:%S %z")
        except ValueError:
            continue
        found.setdefault(_service(each), []).append(created.astimezone(UTC).timestamp())
    return {service: tuple(sorted(starts)) for service, starts in found.items()}


def _container(running: Mapping[str, Mapping[str, Any]], role: str) -> str:
    """Return the id of the running container of a role, such as `etcd`; empty if there is none."""
    return next(
        (str(each["id"]) for service, each in running.items() if service.startswith(f"{role}-")), ""
    )


def _etcd(runner: Runner, container: str) -> dict[str, str] | None:
    if not container:
        return None
    # It fails if a member is unhealthy, and prints all of them; without a quorum it prints none.
    said = run_shortly(runner, ["docker", "exec", container, *_HEALTH_OF_ETCD]).text
    try:
        found = json.loads(said or "[]")
        return {
            each["endpoint"]: "" if each["health"] else str(each.get("error", "is unhealthy"))
            for each in found
        }
    except (ValueError, KeyError, TypeError):
        return None


def _postgres(runner: Runner, container: str) -> tuple[PostgresMember, ...] | None:
    if not container:
        return None
    answer = _json(
        run_shortly(runner, ["docker", "exec", container, "sh", "-c", _ASK_PATRONI]).text
    )
    members = answer.get("members")
    return tuple(map(_member, members)) if isinstance(members, list) else None


def _member(found: Mapping[str, Any]) -> PostgresMember:
    lag = found.get("lag")
    return PostgresMember(
        str(found.get("name", "")),
        str(found.get("role", "")),
        str(found.get("state", "")),
        lag if isinstance(lag, int) else None,
    )


def first_certificate_end(runner: Runner) -> float | None:
    """Return when the first certificate within the cluster ends."""
    ends = []
    for file in sorted(runner.path(_TLS).glob("*.pem")):
        asked = ["openssl", "x509", "-noout", "-enddate", "-in", f"{_TLS}/{file.name}"]
        shown = run_shortly(runner, asked).text.strip().removeprefix("notAfter=")
        try:
            ends.append(float(cert_time_to_seconds(shown)))
        except ValueError:
            continue
    return min(ends, default=None)
