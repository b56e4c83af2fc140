"""Describe a cluster as far as it must be the same after a fault and `apply`. Pure.

Left out on purpose is what may differ: who is the primary or leads the swarm; ids, of tasks and of
configs, whose names have the hash of what they hold; and how each etcd began, in a node's labels
and the command of its service, for a new one may have taken the place of one that was lost.
"""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infisical_iac.cluster.swarm_state import ETCD, JOINED

# What there is, and how it is.
State = Mapping[str, str]

_HOW_ETCD_BEGAN = (ETCD, JOINED)


def service(specification: str, tasks: Mapping[str, str]) -> State:
    """A service by its specification in JSON, and how many tasks run of how many, by name."""
    found: dict[str, Any] = json.loads(specification)
    name, container = found["Name"], found["TaskTemplate"]["ContainerSpec"]
    replicated = found["Mode"].get("Replicated")
    configs = sorted(each["ConfigName"] for each in container.get("Configs") or ())
    secrets = sorted(each["SecretName"] for each in container.get("Secrets") or ())
    wanted = f"{replicated['Replicas']} wanted" if replicated else "one a node"
    running = f"{tasks.get(name, 'none')} run"
    return {f"service {name}": _said(wanted, running, container["Image"], *configs, *secrets)}


def node(told: str) -> State:
    """A node of the Swarm, by what `docker node inspect` tells of it in JSON."""
    found: dict[str, Any] = json.loads(told)
    wanted, manager = found["Spec"], found.get("ManagerStatus") or {}
    labels = sorted(
        f"{name}={value}"
        for name, value in (wanted.get("Labels") or {}).items()
        if name not in _HOW_ETCD_BEGAN
    )
    how = (wanted["Role"], wanted["Availability"], found["Status"]["State"])
    vote = manager.get("Reachability", "no vote")
    return {f"node {found['Description']['Hostname']}": _said(*how, vote, *labels)}


def postgres(primaries: int, standbys: Iterable[str]) -> State:
    """PostgreSQL, by the number of primaries and `<state>|<sync_state>` of each standby."""
    told = [each.split("|") for each in standbys if each]
    streaming = sum(each[0] == "streaming" for each in told)
    synchronous = sum(each[-1] in ("sync", "quorum") for each in told)
    return {"PostgreSQL": _postgres(primaries, streaming, synchronous)}


def etcd(health: str) -> State:
    """etcd, by what `etcdctl endpoint health --cluster` prints."""
    return {"etcd": _etcd(sum(" is healthy" in line for line in health.splitlines()))}


def sentinel(number: int, told: str) -> State:
    """Return what a sentinel sees, by what it tells of its replicas and of the other sentinels."""
    lines = told.splitlines()
    flags = [how for key, how in itertools.pairwise(lines) if key == "flags"]
    return {f"sentinel-{number}": _sentinel(1 + flags.count("sentinel"), flags.count("slave"))}


def expected(numbers: Sequence[int]) -> State:
    """Return what a whole cluster's data nodes are, whatever else it is."""
    count = len(numbers)
    seen = {f"sentinel-{number}": _sentinel(count, count - 1) for number in numbers}
    return {"PostgreSQL": _postgres(1, count - 1, 1), "etcd": _etcd(count), **seen}


def differences(before: State, after: State) -> list[str]:
    """Return what is not as it was, in the order of names."""
    names = sorted(before.keys() | after.keys())
    pairs = [(name, before.get(name, "not there"), after.get(name, "not there")) for name in names]
    return [f"{name}: {was} → {now}" for name, was, now in pairs if was != now]


def _postgres(primaries: int, streaming: int, synchronous: int) -> str:
    return f"{primaries} primary, {streaming} streaming standbys, {synchronous} of them synchronous"


def _etcd(members: int) -> str:
    return f"{members} members are well"


def _sentinel(sentinels: int, replicas: int) -> str:
    return f"sees {sentinels} sentinels and {replicas} replicas"


def _said(*words: str) -> str:
    return ", ".join(words)
