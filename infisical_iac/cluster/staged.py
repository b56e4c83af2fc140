"""In which order the services of the stack are rolled out, part by part. Pure."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import yaml

from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.rollout import Wanted
from infisical_iac.cluster.stack_state import ClusterStackState, NodeState


def leading(found: ClusterStackState, wanted: Wanted, cluster: Cluster) -> frozenset[str]:
    """The services that are rolled out first, until one PostgreSQL is the primary.

    Where etcd begins anew, that is etcd, with the PostgreSQL that has every write if none is the
    primary. Where the data of one PostgreSQL are there and another has none yet, it is etcd and the
    one with the data: an empty one would begin a database of its own. So it is for the only one
    that a run has left which was killed when etcd began anew: the others may lack writes.
    """
    rendered = wanted.rendered()
    names = rendered.keys()
    etcd = {name for name in names if name.startswith("etcd-")}
    if cluster.anew:
        return frozenset(etcd | {f"postgres-{cluster.first}"} if cluster.first else etcd)
    databases = {name for name in names if name.startswith("postgres-")}
    holding = {name for name in databases if int(_number(name)) in cluster.holders}
    missing = databases - found.services.keys()
    if holding and missing - holding:
        return frozenset(etcd | holding)
    if len(databases - missing) == 1 and any(_changes(found, n, rendered[n]) for n in etcd):
        return frozenset(etcd | (databases - missing))
    return frozenset()


def stages(
    found: ClusterStackState, wanted: Wanted, done: AbstractSet[str] = frozenset()
) -> list[frozenset[str]]:
    """The services that are rolled out one part after the other, before all of stack.yaml is.

    What is missing comes first. Of what is pinned to the data nodes, one node's changes at a time,
    so that most of etcd, of PostgreSQL and of the sentinels are there all the while. What has a
    task that no node takes comes last: `part` leaves that one out, for which Swarm would wait. What
    is `done` already is left out.
    """
    rendered = wanted.rendered()
    if not found.services:
        return []
    missing = rendered.keys() - found.services.keys() - done
    changing = {name for name in rendered if _changes(found, name, rendered[name])}
    changing -= missing | done
    pinned = sorted({number for name in changing if (number := _number(name))})
    parts = [missing, *({n for n in changing if _number(n) == one} for one in pinned)]
    if len(pinned) < 2 and not (pinned and missing):
        parts = []
    parts.append({name for name in changing if _crowded(wanted, name, found.nodes)})
    return [frozenset(part) for part in parts if part]


def _changes(found: ClusterStackState, name: str, rendered: str) -> bool:
    was, service = found.record.get(name), found.services.get(name)
    return was is None or service is None or (was.rendered, was.hash) != (rendered, service.hash)


def _number(service: str) -> str:
    """The number of the data node that a service is pinned to, empty for one that is not."""
    _, dash, number = service.rpartition("-")
    return number if dash and number.isdigit() else ""


def databases(text: str) -> frozenset[str]:
    """The services of stack.yaml with `text` that keep data: all that ask nothing of the others."""
    return frozenset(yaml.safe_load(text)["services"]) - {"infisical", "haproxy", "caddy"}


def part(text: str, names: AbstractSet[str], nodes: Sequence[NodeState] = ()) -> str:
    """Return what stack.yaml with `text` says of the services `names`.

    Those that have a node for each task get as many tasks as there are `nodes` that take some, if
    one of them is away, and none is started before the old one has gone.
    """
    whole = yaml.safe_load(text)
    services = {name: whole["services"][name] for name in sorted(names)}
    for service in services.values():
        if _too_many(service, nodes):
            service["deploy"]["replicas"] = sum(node.active for node in nodes)
            for config in ("update_config", "rollback_config"):
                service["deploy"].setdefault(config, {})["order"] = "stop-first"
    return yaml.safe_dump({**whole, "services": services})


def _crowded(wanted: Wanted, name: str, nodes: Sequence[NodeState]) -> bool:
    return _too_many(yaml.safe_load(wanted.text)["services"][name], nodes)


def _too_many(service: dict[str, Any], nodes: Sequence[NodeState]) -> bool:
    """Return whether a task of a service, or the next one in its place, waits for a node that is
    away.
    """
    deploy = service.get("deploy", {})
    each_its_own = deploy.get("placement", {}).get("max_replicas_per_node") == 1
    active = sum(node.active for node in nodes)
    more = deploy.get("update_config", {}).get("order") == "start-first"
    return each_its_own and active < len(nodes) and deploy.get("replicas", 1) + more > active
