"""stack.yaml, which `docker stack deploy` takes, and the configurations that it names.

It shares its parts with compose.yaml. What is said of an image here is documented of the official
one: Infisical, Redis, HAProxy, etcd, and Zalando's Spilo with a patroni.yml of our own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from infisical_iac.cluster.settings import DATA_NODES
from infisical_iac.cluster.transport import Level
from infisical_iac.core.rendering import template
from infisical_iac.core.settings import Settings
from infisical_iac.forms import mebibytes
from infisical_iac.host.machine import MachineState
from infisical_iac.rendered import redis_maxmemory_mb, shared
from infisical_iac.stack import paths

# Of the secrets: purpose → the keys in /etc/infisical/keys that it holds, each as a line
# `NAME=value` with the key's name in capitals, or a file of certificates.sh in /etc/infisical.
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
# Chosen here, since Swarm's own choice may meet a private network of the hosts.
NETWORKS = {
    "consensus": "172.31.241.0/24",
    "databases": "172.31.242.0/24",
    "edge": "172.31.243.0/24",
}


@dataclass(frozen=True)
class StackInputs:
    """Hold what the stack depends on besides the settings.

    `numbers` are those of the data nodes, `existing` those whose etcd joins a consensus that is
    there, `generation` how often that has begun anew; `nodes` is how many hosts there are; `ipvs`
    and `esp` tell whether every kernel has them, for addresses of services and for encrypted
    networks; `secrets` maps each purpose of SECRETS to the secret's name; `start` maps an image's
    reference to its own entrypoint and command; `tls` is how far the services are to come.
    """

    numbers: tuple[int, ...]
    existing: frozenset[int]
    generation: int
    nodes: int
    ipvs: bool
    esp: bool
    secrets: Mapping[str, str]
    start: Mapping[str, tuple[str, ...]]
    tls: Level = Level.REQUIRED


def stack_file(settings: Settings, machine: MachineState, inputs: StackInputs) -> str:
    """The text of stack.yaml; its configurations are files beside it, in `stack/`."""
    values = shared(settings, machine)
    start_interval = values["start_interval"]
    return template(
        "stack.yaml",
        **values | {"node_options": f"{values['node_options']} --require=/keepalive.cjs"},
        numbers=inputs.numbers,
        existing=inputs.existing,
        generation=inputs.generation,
        start=inputs.start[settings.infisical_reference],
        tls=int(inputs.tls),
        secrets=_secrets(inputs),
        configs={name.rpartition("_")[0]: name for name in configs(settings, inputs)},
        networks=NETWORKS,
        encrypted=inputs.esp,
        endpoint_mode="vip" if inputs.ipvs else "dnsrr",
        # One a node, so that no node's end takes two; none waits for a node that isn't there.
        spread=settings.infisical_replicas <= inputs.nodes,
        # A new one has nowhere to stand beside the old ones where each node has its own.
        order="start-first" if settings.infisical_replicas < inputs.nodes else "stop-first",
        memory=lambda size: f"{mebibytes(size)}M",
        interval=15 if start_interval else 5,
        caddy=settings.ingress == "caddy",
        trusted=(*settings.trusted_proxy_cidrs, NETWORKS["edge"], *_balancer(settings)),
    )


def _secrets(inputs: StackInputs) -> dict[str, str]:
    """The secrets of the services that there are; before a cluster has begun, data nodes may
    lack."""
    numbers = {str(number) for number in inputs.numbers}
    return {
        purpose: name
        for purpose, name in inputs.secrets.items()
        if "-" not in purpose or purpose.rpartition("-")[2] in numbers
    }


def _balancer(settings: Settings) -> tuple[str, ...]:
    return (f"{settings.balancer_address}/32",) if settings.balancer_address else ()


def configs(settings: Settings, inputs: StackInputs) -> Mapping[str, str]:
    """The configurations: name, which ends in the content's hash, → content."""
    values = {
        "numbers": inputs.numbers,
        "tls": int(inputs.tls),
        # While one replica takes another's place there is one more.
        "replicas": settings.infisical_replicas + 1,
        "redis_maxmemory_mb": redis_maxmemory_mb(settings),
        "paths": paths,
    }
    names = ("haproxy.cfg", "keepalive.cjs", "patroni.yml", "redis.sh", "sentinel.sh")
    texts = {name.replace(".", "_"): template(name, **values) for name in names}
    return {f"{purpose}_{digest(text)}": text for purpose, text in texts.items()}


def digest(content: str) -> str:
    """Return what the names of secrets and configurations end in: 12 digits of the content's
    SHA-256.
    """
    return sha256(content.encode()).hexdigest()[:12]
