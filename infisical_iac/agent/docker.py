"""Observe containers, networks, volumes and logs of the host's Docker."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infisical_iac.agent.runner import Failure, Runner, observation

PROJECT = "infisical"
_COMPOSE_PROJECT = "com.docker.compose.project"
_COMPOSE_SERVICE = "com.docker.compose.service"
_OF_STACK = f"label=com.docker.stack.namespace={PROJECT}"
_COMPOSE_HASH = "com.docker.compose.config-hash"
_SWARM_SERVICE = "com.docker.swarm.service.name"
_MOST_REMOVALS = 60
_NETWORK = (
    '{"name":{{json .Name}},"id":{{json .ID}},"internal":{{json .Internal}},'
    f'"project":{{{{json (.Label "{_COMPOSE_PROJECT}")}}}}}}'
)


@dataclass(frozen=True)
class Connection:
    """A container's connection to a Docker network.

    Attributes:
        network: the network's id; empty for a container that was never started.
        aliases: the names of the container in the network.
    """

    network: str
    aliases: frozenset[str]


@dataclass(frozen=True)
class DockerNetwork:
    """A Docker network.

    Attributes:
        internal: whether it has no route to the outside.
        project: the Compose project that created it.
    """

    id: str
    internal: bool
    project: str


@dataclass(frozen=True)
class Limits:
    """Limits that `docker update` can change without changing the hash of the configuration.

    Attributes:
        restart: the restart policy, as Compose calls it.
        memory: in bytes; 0 for no limit.
        cpus: in billionths of one CPU; 0 for no limit.
        pids: the number of processes; 0 for no limit.
    """

    restart: str = "no"
    memory: int = 0
    cpus: int = 0
    pids: int = 0


@dataclass(frozen=True)
class DockerContainer:
    """A container.

    Attributes:
        image: the reference that it was made from.
        image_id: the id of that image.
        status: such as "running", "exited" or "restarting".
        health: such as "healthy"; empty without a health check.
        networks: the addresses in its networks, by the networks' names.
        connections: its connections, by the networks' names; those of its last run if it is
            stopped.
        pid: the process number on the host; 0 if it does not run.
        started_at: the time of its last start, as Docker writes it.
    """

    id: str
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    image_id: str = ""
    status: str = ""
    health: str = ""
    restarts: int = 0
    networks: Mapping[str, str] = field(default_factory=dict)
    connections: Mapping[str, Connection] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    pid: int = 0
    started_at: str = ""

    @property
    def project(self) -> str:
        """The Compose project; empty for none."""
        return self.labels.get(_COMPOSE_PROJECT, "")

    @property
    def service(self) -> str:
        """The Compose service; empty for none."""
        return self.labels.get(_COMPOSE_SERVICE, "")

    @property
    def configuration(self) -> str:
        """The hash of the Compose configuration that it was created from; empty for none."""
        return self.labels.get(_COMPOSE_HASH, "")

    @property
    def swarm_service(self) -> str:
        """The service of a Swarm; empty for none."""
        return self.labels.get(_SWARM_SERVICE, "")

    @property
    def is_running(self) -> bool:
        """True if the container runs; a paused one does not."""
        return self.status == "running"

    def belongs_to(self, service: str, topology: str = "") -> bool:
        """Return whether it is this project's container of a service.

        `postgres` is Compose's service postgres, or on a cluster the node's own, such as
        `infisical_postgres-1`.

        Args:
            topology: `single` or `swarm`; empty for both. During a migration there are both.
        """
        if topology != "swarm" and (self.project, self.service) == (PROJECT, service):
            return True
        own = rf"{PROJECT}_{re.escape(service)}(-[0-9]+)?"
        return topology != "single" and bool(re.fullmatch(own, self.swarm_service))


def list_containers(runner: Runner, *filters: str, seconds: float = 60) -> list[DockerContainer]:
    """Return the containers that match all filters of `docker ps`, the newest first.

    Raises RuntimeError with a Failure if Docker does not answer.
    """
    chosen = [word for each in filters for word in ("--filter", each)]
    listed = runner.run(
        ["docker", "ps", "--all", "--quiet", "--no-trunc", *chosen], seconds=seconds
    )
    if listed.status != 0:
        raise RuntimeError(Failure("command", "Docker does not answer: see `journalctl -u docker`"))
    ids = listed.text.split()
    if not ids:
        return []
    # Docker fails if a container is removed meanwhile, but prints the others.
    shown = runner.run(["docker", "inspect", "--format", "{{json .}}", *ids], seconds=seconds).text
    return [_container(line) for line in shown.splitlines() if line.startswith("{")]


def _container(line: str) -> DockerContainer:
    found = json.loads(line)
    config, state = found.get("Config", {}), found.get("State", {})
    networks = found.get("NetworkSettings", {}).get("Networks") or {}
    return DockerContainer(
        id=found.get("Id", ""),
        name=found.get("Name", "").removeprefix("/"),
        labels=config.get("Labels") or {},
        image=config.get("Image", ""),
        image_id=found.get("Image", ""),
        status=state.get("Status", ""),
        health=(state.get("Health") or {}).get("Status", ""),
        restarts=found.get("RestartCount", 0),
        networks={name: each.get("IPAddress", "") for name, each in networks.items()},
        connections={
            name: Connection(each.get("NetworkID") or "", frozenset(each.get("Aliases") or ()))
            for name, each in networks.items()
        },
        limits=_limits(found.get("HostConfig") or {}),
        pid=state.get("Pid", 0),
        started_at=state.get("StartedAt", ""),
    )


@dataclass(frozen=True)
class DockerVolume:
    """A volume: its name, its folder on the host, and its labels."""

    name: str
    place: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def list_volumes(runner: Runner, prefix: str, *, seconds: float = 60) -> list[DockerVolume]:
    """Return the volumes whose names begin with a prefix, by name.

    Raises RuntimeError with a Failure if Docker does not answer.
    """
    listed = ["docker", "volume", "ls", "--quiet", "--filter", f"name=^{re.escape(prefix)}"]
    names = sorted(runner.must_run(listed, seconds=seconds).split())
    if not names:
        return []
    # Docker fails if a volume is removed meanwhile, but prints the others.
    words = ["docker", "volume", "inspect", "--format", "{{json .}}", *names]
    shown = runner.run(words, seconds=seconds).text
    found = (json.loads(line) for line in shown.splitlines() if line.startswith("{"))
    return [
        DockerVolume(each.get("Name", ""), each.get("Mountpoint", ""), each.get("Labels") or {})
        for each in found
    ]


def _limits(config: Mapping[str, Any]) -> Limits:
    return Limits(
        (config.get("RestartPolicy") or {}).get("Name") or "no",
        config.get("Memory") or 0,
        config.get("NanoCpus") or 0,
        config.get("PidsLimit") or 0,
    )


def find_container(runner: Runner, service: str, topology: str = "") -> DockerContainer | None:
    """Return this host's container of a service, a running one if possible; None for none.

    Raises RuntimeError with a Failure if Docker does not answer.
    """
    found = [each for each in list_containers(runner) if each.belongs_to(service, topology)]
    return next((each for each in found if each.is_running), found[0] if found else None)


def remove_containers(runner: Runner, chosen: str) -> None:
    """Remove the containers that match a filter of `docker ps`.

    A swarm that ends removes its own at the same time, and Docker refuses a second removal until
    the first one is done. Raises RuntimeError with a Failure.
    """
    refusal = ""
    for _ in range(_MOST_REMOVALS):
        containers = list_containers(runner, chosen)
        if not containers:
            return
        done = runner.run(["docker", "rm", "--force", *(each.id for each in containers)])
        if done.status == 0:
            return
        refusal = done.errors.strip()
        time.sleep(0.5)
    raise RuntimeError(Failure("command", f"containers can't be removed: {refusal}"))


def remove_own_volumes(runner: Runner, *names: str) -> None:
    """Remove volumes of the cluster's stack, such as `etcd`, with the containers that hold them."""
    for name in names:
        chosen = ["--filter", _OF_STACK, "--filter", f"name=^{PROJECT}_{name}$"]
        for volume in runner.must_run(["docker", "volume", "ls", "--quiet", *chosen]).split():
            remove_containers(runner, f"volume={volume}")
            runner.must_run(["docker", "volume", "rm", "--force", volume])


def list_networks(runner: Runner) -> dict[str, DockerNetwork]:
    """Return Docker's networks by name; none if Docker does not answer."""
    listed = runner.run(["docker", "network", "ls", "--no-trunc", "--format", _NETWORK])
    found = [json.loads(line) for line in listed.lines]
    return {
        each["name"]: DockerNetwork(each["id"], each["internal"] == "true", each["project"])
        for each in found
    }


@observation
def present_images(runner: Runner, *, images: Sequence[str]) -> frozenset[str]:
    """Return the images among `images` that the host has; none if Docker does not answer."""
    inspect = ["docker", "image", "inspect", "--format", "{{json .Id}}"]
    # Usually all are present, and one request is enough.
    if images and runner.run([*inspect, *images]).status == 0:
        return frozenset(images)
    single = images if len(images) > 1 else ()
    return frozenset(each for each in single if runner.run([*inspect, each]).status == 0)


def read_log(runner: Runner, container: str, *options: str) -> Sequence[str]:
    """Return the lines that a container has logged, those of standard error last."""
    done = runner.run(["docker", "logs", *options, container])
    return [*done.text.splitlines(), *done.errors.splitlines()]


@observation
def read_license_trouble(runner: Runner) -> str:
    """Return why the running Infisical does not use its license.

    It is "status <number>" if the vendor's server refused the key, "code <word>" if it was not
    reached, "invalid" or "expired" for an offline license, "failed" for another reason; empty for
    none. The server logs the whole request, with the key: nothing else of the log is returned.
    """
    container = find_container(runner, "infisical")
    log = read_log(runner, container.id) if container else []
    said = [each for each in log if "init-license:" in each or "EE offline license" in each]
    if not said:
        return ""
    try:
        entry = json.loads(said[-1])
    except ValueError:
        entry = {}
    message, error = str(entry.get("msg", "")), entry.get("err")
    error = error if isinstance(error, dict) else {}
    if "expired" in message:
        return "expired"
    if "verification failed" in message:
        return "invalid"
    if isinstance(error.get("status"), int):
        return f"status {error['status']}"
    word = str(error.get("code", ""))
    return f"code {word}" if re.fullmatch("[A-Z_]{3,30}", word) else "failed"
