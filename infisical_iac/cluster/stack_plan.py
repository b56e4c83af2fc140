"""Compare the actual stack on the Swarm with the desired one. Pure.

Patroni's dynamic configuration, which is in etcd, is compared with patroni.yml. Patroni
reads `bootstrap.dcs` of that file once, when it creates the database. Afterwards only the
configuration in etcd counts, which `patronictl edit-config` changes. Keys that are not in the file
are ignored.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from hashlib import sha256
from typing import Any

import yaml

from infisical_iac.agent.patroni import PatroniState
from infisical_iac.agent.swarm_stack import ClusterStackState, Recorded
from infisical_iac.cluster.model import Cluster
from infisical_iac.core.change import Change
from infisical_iac.stack.model import parse_compose

# Patroni's dynamic configuration, which is in etcd.
Configuration = Mapping[str, Any]


@dataclass(frozen=True)
class DesiredStack:
    """The stack to be rolled out.

    Attributes:
        text: the text of stack.yaml.
        configs: the text of each config, by its hashed name.
        secrets: the hashed names of the secrets.
    """

    text: str
    configs: Mapping[str, str]
    secrets: frozenset[str]

    def hash_services(self) -> dict[str, str]:
        """Return the hash of each service's part of stack.yaml."""
        return {**_hash_services(self.text)}

    def patroni(self) -> Configuration:
        """Return the dynamic configuration of Patroni."""
        found = (text for name, text in self.configs.items() if name.startswith("patroni_yml_"))
        return parse_configuration(next(found, ""))


@lru_cache(maxsize=8)
def _hash_services(text: str) -> dict[str, str]:
    # A run asks for the hashes of a text several times, and they take a tenth of a second.
    whole = parse_compose(text)
    return {
        name: sha256(
            yaml.safe_dump([service, _select_referenced(whole, service)]).encode()
        ).hexdigest()
        for name, service in whole["services"].items()
    }


def _select_referenced(whole: dict[str, Any], service: dict[str, Any]) -> list[object]:
    """Return the definitions of the secrets and configs that a service uses."""
    return [
        whole[kind][each["source"]]
        for kind in ("secrets", "configs")
        for each in service.get(kind, ())
    ]


def list_changes(found: ClusterStackState, desired: DesiredStack) -> Iterator[Change]:
    """Yield each difference of services, secrets, configs and Patroni, but not of stack.yaml."""
    rendered = desired.hash_services()
    for name in sorted(rendered.keys() | found.services.keys()):
        if name not in found.services:
            yield Change("+", f"service {name}")
        elif name not in rendered:
            yield Change("-", f"service {name}", "is not in stack.yaml")
        elif reason := _reason(found, name, rendered[name]):
            yield Change("~", f"service {name}", reason)
    for kind, names in (("secret", desired.secrets), ("config", frozenset(desired.configs))):
        made = found.made.get(kind, frozenset())
        yield from (Change("+", f"{kind} {name}") for name in sorted(names - made))
        yield from (
            Change("-", f"{kind} {name}", "no service needs it any more")
            for name in sorted(made - names)
        )
    yield from list_patroni_changes(found.patroni, desired.patroni())


def _reason(found: ClusterStackState, name: str, rendered: str) -> str:
    service, was = found.services[name], found.record.get(name)
    if was is None:
        return "was never rolled out completely"
    if was.rendered != rendered:
        return "its part of stack.yaml changes"
    # A service that runs on every node has as many tasks as there are active nodes.
    active = sum(found.nodes)
    follows = service.desired == active < len(found.nodes)
    if service.desired != was.desired and service.hash != was.hash and not follows:
        return f"{service.desired} tasks instead of {was.desired}"
    if service.hash != was.hash:
        return "runs with another configuration"
    waiting = 0 if all(found.nodes) else service.waiting
    # The update of a service that only runs on an unreachable node ends when the node is back.
    waits = service.update == "updating" and service.running == 0 < service.desired == waiting
    unfinished = ("updating", "paused", "rollback_started", "rollback_paused")
    if not waits and service.update in unfinished:
        return f"its update is {service.update.replace('_', ' ')}"
    missing = service.desired - service.running
    if missing > waiting:
        return f"{service.running} of {service.desired} tasks run and are healthy"
    return ""


def unhealthy(found: ClusterStackState, names: AbstractSet[str]) -> list[str]:
    """Return the named services that are missing or have fewer tasks than desired."""
    there = found.services
    return sorted(
        name for name in names if name not in there or there[name].running != there[name].desired
    )


def make_record(
    found: ClusterStackState, desired: DesiredStack, asked: Mapping[str, str]
) -> dict[str, Recorded]:
    """Return the record of a successful roll-out.

    Args:
        asked: the hash of each service's specification as it was rolled out.
    """
    return {
        name: Recorded(asked[name], rendered, found.services[name].desired)
        for name, rendered in desired.hash_services().items()
    }


def renew_record(
    found: ClusterStackState, asked: Mapping[str, str], names: AbstractSet[str]
) -> dict[str, Recorded]:
    """Return the record after the services `names` were re-created without a change."""
    return {
        name: replace(was, hash=asked[name])
        if name in names and name in found.services and found.services[name].hash == was.hash
        else was
        for name, was in found.record.items()
    }


def find_rolled_back(found: ClusterStackState, asked: Mapping[str, str]) -> list[str]:
    """Return the services that Swarm has rolled back."""
    return sorted(
        name
        for name, service in found.services.items()
        if service.update.startswith("rollback") and service.hash != asked.get(name)
    )


def choose_first(
    found: ClusterStackState, desired: DesiredStack, cluster: Cluster
) -> frozenset[str]:
    """Return the services that are rolled out first, until one PostgreSQL is the primary.

    * etcd is bootstrapped again: etcd, and without a primary the PostgreSQL with every write.
    * Some PostgreSQL has data and another has none yet: etcd and those with data, as an empty one
      would create a database of its own.
    * A run that bootstrapped etcd again was killed and left one PostgreSQL: etcd and that one, as
      the others may lack writes.
    """
    rendered = desired.hash_services()
    names = rendered.keys()
    etcd = {name for name in names if name.startswith("etcd-")}
    if cluster.is_etcd_reset:
        return frozenset(etcd | {f"postgres-{cluster.first}"} if cluster.first else etcd)
    databases = {name for name in names if name.startswith("postgres-")}
    holding = {name for name in databases if int(_number(name)) in cluster.holders}
    missing = databases - found.services.keys()
    if holding and missing - holding:
        return frozenset(etcd | holding)
    if len(databases - missing) == 1 and any(_changes(found, n, rendered[n]) for n in etcd):
        return frozenset(etcd | (databases - missing))
    return frozenset()


def plan_stages(
    found: ClusterStackState, desired: DesiredStack, done: AbstractSet[str] = frozenset()
) -> list[frozenset[str]]:
    """Return the parts that are rolled out one after the other, before all of stack.yaml.

    1. Missing services.
    2. Changed services that are pinned to data nodes, one node after the other: a majority of
       etcd, PostgreSQL and the sentinels stays up.
    3. Changed services with a task that no node can run: `select_services` leaves out that task,
       because Swarm would wait for it.

    Services in `done` are left out.
    """
    rendered = desired.hash_services()
    if not found.services:
        return []
    missing = rendered.keys() - found.services.keys() - done
    changing = {name for name in rendered if _changes(found, name, rendered[name])}
    changing -= missing | done
    pinned = sorted({number for name in changing if (number := _number(name))})
    parts = [missing, *({n for n in changing if _number(n) == one} for one in pinned)]
    if len(pinned) < 2 and not (pinned and missing):
        parts = []
    services = parse_compose(desired.text)["services"]
    parts.append({name for name in changing if _would_wait(services[name], found.nodes)})
    return [frozenset(part) for part in parts if part]


def _changes(found: ClusterStackState, name: str, rendered: str) -> bool:
    was, service = found.record.get(name), found.services.get(name)
    return was is None or service is None or (was.rendered, was.hash) != (rendered, service.hash)


def _number(service: str) -> str:
    """Return the number of the data node that a service is pinned to, empty if it isn't."""
    _, dash, number = service.rpartition("-")
    return number if dash and number.isdigit() else ""


def databases(text: str) -> frozenset[str]:
    """Return the services of stack.yaml with `text` that keep data."""
    return frozenset(parse_compose(text)["services"]) - {"infisical", "haproxy", "caddy"}


def select_services(text: str, names: AbstractSet[str], nodes: Sequence[bool] = ()) -> str:
    """Return stack.yaml with `text`, with only the services `names`.

    If a node is unreachable, a service with one task per node gets as many tasks as there are
    active `nodes`, and each old task is stopped before the new one starts.
    """
    whole = parse_compose(text)
    services = {name: whole["services"][name] for name in sorted(names)}
    for service in services.values():
        if _would_wait(service, nodes):
            service["deploy"]["replicas"] = sum(nodes)
            for config in ("update_config", "rollback_config"):
                service["deploy"].setdefault(config, {})["order"] = "stop-first"
    return yaml.safe_dump({**whole, "services": services})


def _would_wait(service: dict[str, Any], nodes: Sequence[bool]) -> bool:
    """Return whether a task, or its replacement, would wait for an unreachable node."""
    deploy = service.get("deploy", {})
    each_its_own = deploy.get("placement", {}).get("max_replicas_per_node") == 1
    active = sum(nodes)
    more = deploy.get("update_config", {}).get("order") == "start-first"
    return each_its_own and active < len(nodes) and deploy.get("replicas", 1) + more > active


class Level(IntEnum):
    """The TLS level of a service, the value of its label `infisical.tls`.

    PLAIN: rolled out by a version without TLS. OFFERED: servers also accept TLS. USED: clients use
    TLS. REQUIRED: servers accept nothing else.
    """

    PLAIN = 0
    OFFERED = 1
    USED = 2
    REQUIRED = 3


# Caddy has no TLS level, as it only talks to HAProxy on its own host.
_WITHOUT_LEVEL = frozenset({"caddy"})
_TOGETHER = ("redis-", "sentinel-")


def tls_level(found: ClusterStackState) -> Level:
    """Return the lowest level of all services; REQUIRED if there are none."""
    levels = [each.tls for name, each in found.services.items() if name not in _WITHOUT_LEVEL]
    return Level(min(levels, default=Level.REQUIRED))


def levels_ahead(found: ClusterStackState) -> tuple[Level, ...]:
    """Return the levels that a roll-out goes through, ending with REQUIRED."""
    return tuple(each for each in Level if each > tls_level(found)) or (Level.REQUIRED,)


def changing_together(found: ClusterStackState, level: Level) -> frozenset[str]:
    """Return the services that have to change together to reach a level.

    Either all Redis servers and sentinels use TLS with each other, or none: a single one with TLS
    and the others would consider each other down.
    """
    if level < Level.REQUIRED or tls_level(found) == Level.REQUIRED:
        return frozenset()
    return frozenset(name for name in found.services if name.startswith(_TOGETHER))


def find_tls_change(found: ClusterStackState) -> Change | None:
    """Return the change for the roll-outs to TLS; None if all services require it."""
    if tls_level(found) == Level.REQUIRED:
        return None
    rolls = len(levels_ahead(found))
    how = f"in {rolls} roll-outs" if rolls > 1 else "in the last roll-out of it"
    detail = (
        f"{tls_level(found).name.lower()} → required, {how}; requests wait while Redis restarts"
    )
    return Change("~", "TLS of PostgreSQL, Redis and etcd", detail)


def parse_configuration(patroni_yml: str) -> Configuration:
    """Return the dynamic configuration in the text of a patroni.yml; empty for an empty text."""
    whole = yaml.safe_load(patroni_yml) or {}
    found: Configuration = whole.get("bootstrap", {}).get("dcs", {})
    return found


def list_patroni_changes(found: PatroniState, desired: Configuration) -> Iterator[Change]:
    """Yield each difference, and each PostgreSQL that still waits for a restart.

    Yields nothing if no Patroni answers; the plan reports that elsewhere.
    """
    if found.configuration is None:
        return
    for key, actual, value in _differing(found.configuration, desired):
        before = "(none)" if actual is None else json.dumps(actual)
        yield Change("~", f"patroni {key}", f"{before} → {json.dumps(value)}")
    for name in found.waiting:
        yield Change("~", name, "a changed parameter waits for its restart")


def build_patroni_patch(found: PatroniState, desired: Configuration) -> dict[str, Any]:
    """Return the change to send to Patroni, which merges it; empty if nothing differs."""
    made: dict[str, Any] = {}
    for key, _, value in _differing(found.configuration or {}, desired):
        *folders, last = key.split(".")
        place = made
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    return made if found.configuration is not None else {}


def _differing(
    actual: Any, desired: Configuration, prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield each key that differs, with its actual and its desired value."""
    for name, value in desired.items():
        seen = actual.get(name) if isinstance(actual, Mapping) else None
        if isinstance(value, Mapping):
            yield from _differing(seen, value, f"{prefix}{name}.")
        # As JSON, in which true is not 1.
        elif json.dumps(seen) != json.dumps(value):
            yield f"{prefix}{name}", seen, value
