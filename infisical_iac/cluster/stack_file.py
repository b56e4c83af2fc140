"""Render stack.yaml for `docker stack deploy`, and the configs that it names.

It shares its parts with compose.yaml. The images behave as documented for the official ones:
Infisical, Redis, HAProxy, etcd, and Zalando's Spilo with this project's patroni.yml.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from infisical_iac.agent.swarm_stack import Network
from infisical_iac.agent.tasks import Task
from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.settings import DATA_NODES
from infisical_iac.cluster.stack_plan import Level
from infisical_iac.core.change import Change
from infisical_iac.core.rendering import digest, template
from infisical_iac.core.settings import Settings
from infisical_iac.core.validation import mebibytes
from infisical_iac.host.model import MachineState
from infisical_iac.instance import authorities
from infisical_iac.instance.network import PROXY_PASSWORD
from infisical_iac.stack import paths
from infisical_iac.stack.compose import redis_maxmemory_mb, shared_values
from infisical_iac.stack.model import parse_compose

# SECRETS: the purpose → the keys in /etc/infisical/keys that the secret holds, each as a line
# `NAME=value` with the key's name in capitals, or a certificate in /etc/infisical.
_CERTIFIED = ("etcd", "postgres", "redis", "sentinel")
SECRETS = {
    "infisical_env": ("encryption_key", "auth_secret", "postgres_password", "redis_password"),
    "patroni_env": ("postgres_password", "replication_password", "patroni_password"),
    "redis_env": ("redis_password",),
    "tls_ca": ("tls/ca.crt",),
    **{
        f"tls_{name}-{number}": (f"tls/{name}-{number}.pem",)
        for name in _CERTIFIED
        for number in range(1, DATA_NODES + 1)
    },
}


def secrets_of(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Return SECRETS, with the secrets that the user gave among those of Infisical."""
    given = (each.key for each in settings.instance.secrets)
    return SECRETS | {"infisical_env": (*SECRETS["infisical_env"], *given)}


# Chosen here, since Swarm's own choice may overlap a private network of the hosts.
NETWORKS = {
    "consensus": "172.31.241.0/24",
    "databases": "172.31.242.0/24",
    "edge": "172.31.243.0/24",
}


@dataclass(frozen=True)
class StackInputs:
    """The inputs of stack.yaml besides the settings.

    Attributes:
        secrets: the name of the secret for each purpose of SECRETS.
        start: the image's own entrypoint and command, by its reference.
        tls: the TLS level of the services.
    """

    cluster: Cluster
    secrets: Mapping[str, str]
    start: Mapping[str, tuple[str, ...]]
    tls: Level = Level.REQUIRED


def render_stack_file(settings: Settings, machine: MachineState, inputs: StackInputs) -> str:
    """Return the text of stack.yaml; its configs are files next to it, in `stack/`."""
    values = shared_values(settings, machine)
    cluster, replicas = inputs.cluster, settings.cluster.infisical_replicas
    proxy = settings.instance.proxy
    balancer = [f"{settings.balancer_address}/32"] if settings.balancer_address else []
    return template(
        "stack.yaml",
        **values | {"node_options": f"{values['node_options']} --require=/keepalive.cjs"},
        numbers=cluster.numbers,
        existing=cluster.existing,
        generation=cluster.generation,
        start=inputs.start[settings.stack.infisical_reference],
        tls=int(inputs.tls),
        secrets=_secrets(inputs),
        configs={name.rpartition("_")[0]: name for name in configs(settings, inputs)},
        networks=NETWORKS,
        encrypted=cluster.esp,
        endpoint_mode="vip" if cluster.ipvs else "dnsrr",
        # At most one replica per node if there are enough nodes, so that no lost node takes two.
        spread=replicas <= len(cluster.nodes),
        # If each node runs a replica, there is no room for a new one next to the old ones.
        order="start-first" if replicas < len(cluster.nodes) else "stop-first",
        memory=lambda size: f"{mebibytes(size)}M",
        # agent/swarm_stack.py waits for longer than an interval and a check, and
        # agent/tasks.py for as long as two of them: tests/unit/stack/test_health_intervals.py.
        interval=15 if values["start_interval"] else 5,
        caddy=settings.stack.runs_caddy,
        extra_ca=bool(settings.instance.extra_ca),
        proxy_url=proxy.url(f"$${PROXY_PASSWORD}") if proxy and proxy.user else "",
        trusted=(*settings.stack.trusted_proxy_cidrs, NETWORKS["edge"], *balancer),
    )


def _secrets(inputs: StackInputs) -> dict[str, str]:
    """Return the secrets of the existing data nodes: not all exist before a first deploy."""
    numbers = {str(number) for number in inputs.cluster.numbers}
    return {
        purpose: name
        for purpose, name in inputs.secrets.items()
        if "-" not in purpose or purpose.rpartition("-")[2] in numbers
    }


def configs(settings: Settings, inputs: StackInputs) -> Mapping[str, str]:
    """Return the text of each config, by a name that ends in its hash."""
    values = {
        "numbers": inputs.cluster.numbers,
        "tls": int(inputs.tls),
        # A roll-out runs one more replica for a while.
        "replicas": settings.cluster.infisical_replicas + 1,
        "redis_maxmemory_mb": redis_maxmemory_mb(settings),
        "paths": paths,
    }
    trusted = authorities.read_authorities(settings)
    names = ("haproxy.cfg", "keepalive.cjs", "patroni.yml", "redis.sh", "sentinel.sh")
    texts = {name.replace(".", "_"): template(name, **values) for name in names}
    texts |= {"extra_ca": trusted} if trusted else {}
    return {f"{purpose}_{digest(text)}": text for purpose, text in texts.items()}


_PAUSES = "Infisical pauses for a minute, while the services that use it are stopped"


def list_network_changes(found: Mapping[str, Network], text: str) -> Iterator[Change]:
    """Yield a change of each network that differs from stack.yaml with `text`."""
    for name, desired in _networks(text).items():
        why = ", ".join(_differences(found[name], desired)) if name in found else ""
        if why:
            yield Change("~", f"network {name}", f"{why}; {_PAUSES}")


def network_users(text: str, names: frozenset[str]) -> frozenset[str]:
    """Return the services of stack.yaml with `text` in one of the networks `names`."""
    whole = parse_compose(text)
    keys = {key for key, each in whole["networks"].items() if each.get("name") in names}
    return frozenset(
        name for name, service in whole["services"].items() if keys & {*service["networks"]}
    )


def find_stuck(
    tasks: Iterable[Task], text: str, attached: Mapping[str, frozenset[str]] | None = None
) -> dict[Task, str]:
    """Return the stuck tasks of a node, each with the reason.

    Args:
        text: of stack.yaml; tasks of services that it does not name are left to the roll-out.
        attached: by service, the networks that Swarm has attached it to, where known; the roll-out
            attaches a service to missing ones.
    """
    whole, known = parse_compose(text), attached or {}
    return {task: reason for task in tasks if (reason := _reason(task, whole, known))}


def _reason(task: Task, whole: dict[str, Any], known: Mapping[str, frozenset[str]]) -> str:
    service = whole["services"].get(task.service)
    if service is None:
        return ""
    if task.status in ("paused", "dead", "removing"):
        return f"is {task.status}"
    if task.status == "unready":
        return "can no longer reach PostgreSQL or Redis, unlike another task"
    names = {key: whole["networks"].get(key, {}).get("name") for key in service["networks"]}
    missing = [
        key
        for key, name in names.items()
        if name and name not in task.networks and name in known.get(task.service, (name,))
    ]
    return f"not connected to network {', '.join(missing)}" if missing else ""


def with_networks(old: str, desired: str) -> str:
    """Return the services of the stack.yaml `old` with the networks of the stack.yaml `desired`."""
    return yaml.safe_dump({**parse_compose(old), "networks": parse_compose(desired)["networks"]})


def _networks(text: str) -> dict[str, dict[str, Any]]:
    """Return the networks that the stack creates, by name."""
    networks = parse_compose(text)["networks"].values()
    return {each["name"]: each for each in networks if not each.get("external")}


def _differences(found: Network, desired: Mapping[str, Any]) -> Iterator[str]:
    options = {name: str(value) for name, value in desired.get("driver_opts", {}).items()}
    encrypted = "encrypted" in options
    # The option has no value: only its presence counts.
    if encrypted != ("encrypted" in found.options):
        yield "not encrypted → encrypted" if encrypted else "encrypted → not encrypted"
    internal = bool(desired.get("internal"))
    if internal != found.internal:
        yield "open to the outside → internal" if internal else "internal → open to the outside"
    for name, value in options.items():
        there = found.options.get(name, "(none)")
        if name != "encrypted" and there != value:
            yield f"{name} {there} → {value}"
    subnets = [each["subnet"] for each in desired.get("ipam", {}).get("config", ())]
    if subnets != [*found.subnets]:
        yield f"subnet {' '.join(found.subnets) or '(none)'} → {' '.join(subnets)}"
