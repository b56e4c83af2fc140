"""Compare the stack on the Swarm with what is wanted, item by item; pure."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import IntEnum
from hashlib import sha256
from typing import Any

import yaml

from infisical_iac.cluster import patroni_config
from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.stack_state import ClusterStackState, Recorded
from infisical_iac.core.item import Item


@dataclass(frozen=True)
class DesiredStack:
    """Hold what is to be rolled out.

    Attributes:
        text: of stack.yaml.
        configs: per hashed name, a config's text.
        secrets: the hashed names of the secrets.
    """

    text: str
    configs: Mapping[str, str]
    secrets: frozenset[str]

    def hash_services(self) -> dict[str, str]:
        """Per service, the hash of its part of stack.yaml."""
        whole: dict[str, Any] = yaml.safe_load(self.text)
        return {
            name: sha256(
                yaml.safe_dump([service, _select_referenced(whole, service)]).encode()
            ).hexdigest()
            for name, service in whole["services"].items()
        }

    def patroni(self) -> patroni_config.Configuration:
        """The dynamic configuration of Patroni."""
        found = (text for name, text in self.configs.items() if name.startswith("patroni_yml_"))
        return patroni_config.parse_configuration(next(found, ""))


def _select_referenced(whole: dict[str, Any], service: dict[str, Any]) -> list[object]:
    """Return what the rest of the file says of the secrets and configs that a service uses."""
    return [
        whole[kind][each["source"]]
        for kind in ("secrets", "configs")
        for each in service.get(kind, ())
    ]


def items(found: ClusterStackState, wanted: DesiredStack) -> Iterator[Item]:
    """Each difference of the stack, of its secrets, its configs and Patroni; stack.yaml aside."""
    rendered = wanted.hash_services()
    for name in sorted(rendered.keys() | found.services.keys()):
        if name not in found.services:
            yield Item("+", f"service {name}")
        elif name not in rendered:
            yield Item("-", f"service {name}", "is not in stack.yaml")
        elif reason := _reason(found, name, rendered[name]):
            yield Item("~", f"service {name}", reason)
    for kind, names in (("secret", wanted.secrets), ("config", frozenset(wanted.configs))):
        made = found.made.get(kind, frozenset())
        yield from (Item("+", f"{kind} {name}") for name in sorted(names - made))
        yield from (
            Item("-", f"{kind} {name}", "no service needs it any more")
            for name in sorted(made - names)
        )
    yield from patroni_config.items(found.patroni, wanted.patroni())


def _reason(found: ClusterStackState, name: str, rendered: str) -> str:
    service, was = found.services[name], found.record.get(name)
    if was is None:
        return "was never rolled out to its end"
    if was.rendered != rendered:
        return "its part of stack.yaml changes"
    # Of a service that runs on every node, as many are wanted as there are.
    active = sum(found.nodes)
    follows = service.desired == active < len(found.nodes)
    if service.desired != was.desired and service.hash != was.hash and not follows:
        return f"{service.desired} tasks instead of {was.desired}"
    if service.hash != was.hash:
        return "runs with another configuration"
    waiting = 0 if all(found.nodes) else service.waiting
    # The update of what runs on that node alone ends when it is back.
    waits = service.update == "updating" and service.running == 0 < service.desired == waiting
    unfinished = ("updating", "paused", "rollback_started", "rollback_paused")
    if not waits and service.update in unfinished:
        return f"its update is {service.update.replace('_', ' ')}"
    missing = service.desired - service.running
    if missing > waiting:
        return f"{service.running} of {service.desired} tasks run and are healthy"
    return ""


def unhealthy(found: ClusterStackState, names: AbstractSet[str]) -> list[str]:
    """Those of the named services that are missing, or don't run as often as they should."""
    there = found.services
    return sorted(
        name for name in names if name not in there or there[name].running != there[name].desired
    )


def make_record(
    found: ClusterStackState, wanted: DesiredStack, asked: Mapping[str, str]
) -> dict[str, Recorded]:
    """Return what is kept of a roll-out that ended well.

    Args:
        asked: per service, the hash of its specification as it was rolled out.
    """
    return {
        name: Recorded(asked[name], rendered, found.services[name].desired)
        for name, rendered in wanted.hash_services().items()
    }


def renew_record(
    found: ClusterStackState, asked: Mapping[str, str], names: AbstractSet[str]
) -> dict[str, Recorded]:
    """The record, once the services `names` that were as it says were made anew as they are."""
    return {
        name: replace(was, hash=asked[name])
        if name in names and name in found.services and found.services[name].hash == was.hash
        else was
        for name, was in found.record.items()
    }


def find_rolled_back(found: ClusterStackState, asked: Mapping[str, str]) -> list[str]:
    """The services that Swarm brought back to what they were before."""
    return sorted(
        name
        for name, service in found.services.items()
        if service.update.startswith("rollback") and service.hash != asked.get(name)
    )


def leading(found: ClusterStackState, wanted: DesiredStack, cluster: Cluster) -> frozenset[str]:
    """The services that are rolled out first, until one PostgreSQL is the primary.

    Where etcd begins anew, that is etcd, with the PostgreSQL that has every write if none is the
    primary. Where the data of one PostgreSQL are there and another has none yet, it is etcd and the
    one with the data: an empty one would begin a database of its own. So it is for the only one
    that a run has left which was killed when etcd began anew: the others may lack writes.
    """
    rendered = wanted.hash_services()
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
    found: ClusterStackState, wanted: DesiredStack, done: AbstractSet[str] = frozenset()
) -> list[frozenset[str]]:
    """The services that are rolled out one part after the other, before all of stack.yaml is.

    What is missing comes first. Of what is pinned to the data nodes, one node's changes at a time,
    so that most of etcd, of PostgreSQL and of the sentinels are there all the while. What has a
    task that no node takes comes last: `select_services` leaves that one out, for which Swarm would
    wait. What is `done` already is left out.
    """
    rendered = wanted.hash_services()
    if not found.services:
        return []
    missing = rendered.keys() - found.services.keys() - done
    changing = {name for name in rendered if _changes(found, name, rendered[name])}
    changing -= missing | done
    pinned = sorted({number for name in changing if (number := _number(name))})
    parts = [missing, *({n for n in changing if _number(n) == one} for one in pinned)]
    if len(pinned) < 2 and not (pinned and missing):
        parts = []
    services = yaml.safe_load(wanted.text)["services"]
    parts.append({name for name in changing if _too_many(services[name], found.nodes)})
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


def select_services(text: str, names: AbstractSet[str], nodes: Sequence[bool] = ()) -> str:
    """Return what stack.yaml with `text` says of the services `names`.

    Those that have a node for each task get as many tasks as there are `nodes` that take some, if
    one of them is away, and none is started before the old one has gone.
    """
    whole = yaml.safe_load(text)
    services = {name: whole["services"][name] for name in sorted(names)}
    for service in services.values():
        if _too_many(service, nodes):
            service["deploy"]["replicas"] = sum(nodes)
            for config in ("update_config", "rollback_config"):
                service["deploy"].setdefault(config, {})["order"] = "stop-first"
    return yaml.safe_dump({**whole, "services": services})


def _too_many(service: dict[str, Any], nodes: Sequence[bool]) -> bool:
    """Return whether a task, or the next one in its place, waits for a node that is away."""
    deploy = service.get("deploy", {})
    each_its_own = deploy.get("placement", {}).get("max_replicas_per_node") == 1
    active = sum(nodes)
    more = deploy.get("update_config", {}).get("order") == "start-first"
    return each_its_own and active < len(nodes) and deploy.get("replicas", 1) + more > active


class Level(IntEnum):
    """The progress of a service to TLS, which is the value of its label `infisical.tls`.

    PLAIN is a service that was rolled out by a version without TLS. With OFFERED, servers take TLS
    too; with USED, clients ask for it; with REQUIRED, servers take nothing else.
    """

    PLAIN = 0
    OFFERED = 1
    USED = 2
    REQUIRED = 3


# What has no part in it: Caddy speaks to HAProxy of its own host alone.
_APART = frozenset({"caddy"})
_TOGETHER = ("redis-", "sentinel-")


def tls_level(found: ClusterStackState) -> Level:
    """Return the level of the service that is the least far; REQUIRED where there are none."""
    levels = [each.tls for name, each in found.services.items() if name not in _APART]
    return Level(min(levels, default=Level.REQUIRED))


def levels_ahead(found: ClusterStackState) -> tuple[Level, ...]:
    """Return the levels that a roll-out goes through, the last of which is REQUIRED."""
    return tuple(each for each in Level if each > tls_level(found)) or (Level.REQUIRED,)


def changing_together(found: ClusterStackState, level: Level) -> frozenset[str]:
    """Return the services that have to change together to come to a level.

    Redis servers and their sentinels speak TLS to each other or don't: one that is alone in it
    would be taken for down by the others, and the others by it.
    """
    if level < Level.REQUIRED or tls_level(found) == Level.REQUIRED:
        return frozenset()
    return frozenset(name for name in found.services if name.startswith(_TOGETHER))


def tls_item(found: ClusterStackState) -> Item | None:
    """Return what a plan says of the way ahead; None where all services require TLS."""
    if tls_level(found) == Level.REQUIRED:
        return None
    rolls = len(levels_ahead(found))
    how = f"in {rolls} roll-outs" if rolls > 1 else "in the last roll-out of it"
    detail = (
        f"{tls_level(found).name.lower()} → required, {how}; requests wait while Redis restarts"
    )
    return Item("~", "TLS of PostgreSQL, Redis and etcd", detail)
