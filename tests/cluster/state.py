"""Describe the parts of a cluster that must be equal after a fault and `apply`, by pure functions.

These parts are left out, because they may differ:

- the primary, and the leader of the swarm
- ids of tasks and configs; the names of configs have the hash of their content
- the start of each etcd, in a node's labels and the command of its service: a new member may have
  replaced a lost one
"""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infisical_iac.agent.membership import ETCD, JOINED

# The parts by name, and the state of each.
State = Mapping[str, str]

_ONE_MASTER = "one master"
_HOW_ETCD_BEGAN = (ETCD, JOINED)


def service(specification: str, tasks: Mapping[str, str]) -> State:
    """Return a service by its specification in JSON, and its running and desired tasks, by name."""
    found: dict[str, Any] = json.loads(specification)
    name, container = found["Name"], found["TaskTemplate"]["ContainerSpec"]
    replicated = found["Mode"].get("Replicated")
    configs = sorted(each["ConfigName"] for each in container.get("Configs") or ())
    secrets = sorted(each["SecretName"] for each in container.get("Secrets") or ())
    desired = f"{replicated['Replicas']} desired" if replicated else "one a node"
    running = f"{tasks.get(name, 'none')} run"
    return {f"service {name}": _join(desired, running, container["Image"], *configs, *secrets)}


def node(output: str) -> State:
    """Return a node of the Swarm, from the JSON of `docker node inspect`."""
    found: dict[str, Any] = json.loads(output)
    desired, manager = found["Spec"], found.get("ManagerStatus") or {}
    labels = sorted(
        f"{name}={value}"
        for name, value in (desired.get("Labels") or {}).items()
        if name not in _HOW_ETCD_BEGAN
    )
    how = (desired["Role"], desired["Availability"], found["Status"]["State"])
    vote = manager.get("Reachability", "no vote")
    return {f"node {found['Description']['Hostname']}": _join(*how, vote, *labels)}


def postgres(primaries: int, standbys: Iterable[str]) -> State:
    """Return PostgreSQL's state, from its primaries and the standbys' `<state>|<sync_state>`."""
    output = [each.split("|") for each in standbys if each]
    streaming = sum(each[0] == "streaming" for each in output)
    synchronous = sum(each[-1] in ("sync", "quorum") for each in output)
    return {"PostgreSQL": _postgres(primaries, streaming, synchronous)}


def etcd(health: str) -> State:
    """Return etcd's state, from the output of `etcdctl endpoint health --cluster`."""
    return {"etcd": _etcd(sum(" is healthy" in line for line in health.splitlines()))}


def sentinel(number: int, output: str) -> State:
    """Return a sentinel's state, from its report on replicas and other sentinels."""
    lines = output.splitlines()
    flags = [how for key, how in itertools.pairwise(lines) if key == "flags"]
    return {f"sentinel-{number}": _sentinel(1 + flags.count("sentinel"), flags.count("slave"))}


def redis(outputs: Iterable[str]) -> State:
    """Return whether the sentinels name the same master of Redis, which each prints first."""
    masters = {(output.splitlines() or ["none"])[0] for output in outputs}
    return {
        "Redis": _ONE_MASTER if len(masters) == 1 else f"masters {' and '.join(sorted(masters))}"
    }


def healthy_state(numbers: Sequence[int]) -> State:
    """Return the state of the data nodes of a healthy cluster."""
    count = len(numbers)
    seen = {f"sentinel-{number}": _sentinel(count, count - 1) for number in numbers}
    databases = {"PostgreSQL": _postgres(1, count - 1, 1), "Redis": _ONE_MASTER}
    return {**databases, "etcd": _etcd(count), **seen}


def differences(before: State, after: State) -> list[str]:
    """Return the differences from an earlier state, in the order of names."""
    names = sorted(before.keys() | after.keys())
    pairs = [(name, before.get(name, "not there"), after.get(name, "not there")) for name in names]
    return [f"{name}: {was} → {now}" for name, was, now in pairs if was != now]


def _postgres(primaries: int, streaming: int, synchronous: int) -> str:
    return f"{primaries} primary, {streaming} streaming standbys, {synchronous} of them synchronous"


def _etcd(members: int) -> str:
    return f"{members} members are healthy"


def _sentinel(sentinels: int, replicas: int) -> str:
    return f"sees {sentinels} sentinels and {replicas} replicas"


def _join(*words: str) -> str:
    return ", ".join(words)
