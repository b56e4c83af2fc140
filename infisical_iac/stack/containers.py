"""Read what Docker says of the Compose project `infisical`."""

import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import yaml

from infisical_iac.core.facts import Fact
from infisical_iac.core.rendering import script

# Before the names of the Compose project's own networks.
_PROJECT = "infisical_"


@dataclass(frozen=True)
class Container:
    """One container: the hash of the configuration it was made from, and how it is."""

    configuration: str
    status: str
    health: str

    @property
    def well(self) -> bool:
        """Return whether it runs and its health check succeeds."""
        return self.status == "running" and self.health == "healthy"


@dataclass(frozen=True)
class Connection:
    """A container's connection to a network of Docker's.

    Attributes:
        network: its id; `-` of a container that was never started.
        aliases: the names that the container has in there.
    """

    network: str
    aliases: frozenset[str]


@dataclass(frozen=True)
class DockerNetwork:
    """A network of Docker's: its id, whether it leads nowhere else, and whose Compose project made
    it.
    """

    id: str
    internal: bool
    project: str


@dataclass(frozen=True)
class Limits:
    """Hold what `docker update` changes of a container, which leaves the hash of its configuration.

    Attributes:
        restart: when it is started again, as Compose calls it.
        memory: in bytes; 0 for as much as there is.
        cpus: in billionths of one; 0 for all.
        pids: how many processes; 0 for any number.
    """

    restart: str
    memory: int
    cpus: int
    pids: int

    def differences(self, wanted: "Limits") -> Iterator[str]:
        """Yield what is otherwise than wanted, as half a sentence each."""
        for each in fields(self):
            now, then = getattr(self, each.name), getattr(wanted, each.name)
            if now != then:
                yield f"limit {each.name} {now or 'none'} → {then or 'none'}"


@dataclass(frozen=True)
class Connections:
    """Hold what the Compose file says of the surroundings of each service, and what they are.

    Attributes:
        wanted: per service, the names that it must have in each network.
        actual: per service that has a container, its connections by network.
        networks: Docker's networks by name.
        own: the networks that Compose makes, and whether each leads nowhere else.
        limits: per service, its limits.
        actual_limits: the same of those that have a container.
    """

    wanted: dict[str, dict[str, frozenset[str]]] = field(default_factory=dict)
    actual: dict[str, dict[str, Connection]] = field(default_factory=dict)
    networks: dict[str, DockerNetwork] = field(default_factory=dict)
    own: dict[str, bool] = field(default_factory=dict)
    limits: dict[str, Limits] = field(default_factory=dict)
    actual_limits: dict[str, Limits] = field(default_factory=dict)

    def foreign(self) -> list[str]:
        """Return the networks that are not as Compose would make them: to be made anew."""
        return sorted(
            name
            for name, internal in self.own.items()
            if (there := self.networks.get(name))
            and (there.internal, f"{there.project}_") != (internal, _PROJECT)
        )

    def wrong(self) -> dict[str, str]:
        """Return per service what is wrong with its connections and limits, as half a sentence.

        Nothing is where Docker does not tell of its networks.
        """
        if not self.networks:
            return {}
        reasons = {
            service: "; ".join(self._reasons(service))
            for service in sorted(self.wanted.keys() & self.actual.keys())
        }
        return {service: reason for service, reason in reasons.items() if reason}

    def _reasons(self, service: str) -> Iterator[str]:
        wanted, actual, foreign = self.wanted[service], self.actual[service], self.foreign()
        for network, names in wanted.items():
            name, there = network.removeprefix(_PROJECT), actual.get(network)
            now = self.networks.get(network)
            if there is None:
                yield f"not connected to network {name}"
            elif network in foreign:
                yield f"connected to a network {name} that is not as compose.yaml says"
            elif there.network not in ("-", now.id if now else ""):
                yield f"connected to a network {name} that is there no more"
            elif missing := sorted(names - there.aliases):
                yield f"not known as {', '.join(missing)} in network {name}"
        for network in sorted(actual.keys() - wanted.keys()):
            yield f"connected to network {network.removeprefix(_PROJECT)}, but should not be"
        if limits := self.actual_limits.get(service):
            yield from limits.differences(self.limits[service])


def connections(output: Iterable[str]) -> Connections:
    """Return the Connections from what stack.sh prints; other lines of it are passed over."""
    compose: list[str] = []
    actual: dict[str, dict[str, Connection]] = {}
    networks, limits = {}, {}
    for line in output:
        if line.startswith("compose"):
            compose.append(line.removeprefix("compose "))
            continue
        match line.split():
            case ["connections", service]:
                actual.setdefault(service, {})
            case ["connected", service, network, id, *aliases]:
                names = frozenset("".join(aliases).split(","))
                actual.setdefault(service, {})[network] = Connection(id, names)
            case ["limits", service, restart, memory, cpus, pids]:
                limits[service] = Limits(restart, int(memory), int(cpus), int(pids))
            case ["network", network, id, internal, *project]:
                networks[network] = DockerNetwork(id, internal == "true", "".join(project))
    whole = yaml.safe_load("\n".join(compose)) or {}
    own = {
        f"{_PROJECT}{name}": bool((body or {}).get("internal"))
        for name, body in (whole.get("networks") or {}).items()
        if not (body or {}).get("external")
    }
    wanted_limits = {name: _limits(body) for name, body in whole.get("services", {}).items()}
    return Connections(_desired_networks(whole), actual, networks, own, wanted_limits, limits)


def _limits(service: Mapping[str, Any]) -> Limits:
    """Return the limits of a service of a Compose file."""
    memory = re.fullmatch(r"(\d+)([bkmg]?)b?", str(service.get("mem_limit", 0)).lower())
    size = int(memory[1]) * 1024 ** "bkmg".index(memory[2] or "b") if memory else 0
    restart, cpus = str(service.get("restart", "no")), float(service.get("cpus", 0))
    return Limits(restart, size, round(cpus * 1e9), int(service.get("pids_limit", 0)))


def _desired_networks(whole: Mapping[str, Any]) -> dict[str, dict[str, frozenset[str]]]:
    """Return per service of a Compose file its networks, by Docker's names, with its own names."""
    own = whole.get("networks") or {}
    names = {each: (body or {}).get("name", f"{_PROJECT}{each}") for each, body in own.items()}
    found: dict[str, dict[str, frozenset[str]]] = {}
    for service, body in whole.get("services", {}).items():
        if mode := body.get("network_mode"):
            found[service] = {mode: frozenset()}
            continue
        given = body.get("networks") or ["default"]
        options = given if isinstance(given, dict) else dict.fromkeys(given)
        found[service] = {
            names.get(each, f"{_PROJECT}{each}"): frozenset(
                {service, *((option or {}).get("aliases", ()))}
            )
            for each, option in options.items()
        }
    return found


@dataclass(frozen=True)
class StackState:
    """The stack as it is, beside the Compose file that is wanted.

    Attributes:
        engine: whether Docker is installed and answers.
        hashes: per service of the wanted file, the hash of its configuration; none where
            Compose can't read the file (yet), for it is not installed or the keys are missing.
        containers: per service, those that are there.
        images: which of those looked for are present.
        connections: what the containers are connected to, beside what the file says.
    """

    engine: bool = False
    hashes: dict[str, str] = field(default_factory=dict)
    containers: dict[str, tuple[Container, ...]] = field(default_factory=dict)
    images: frozenset[str] = frozenset()
    connections: Connections = field(default_factory=Connections)

    def differences(self) -> dict[str, str]:
        """The services that don't run as the file says, each with the reason."""
        return dict(self._reasons())

    def without(self, services: Collection[str]) -> "StackState":
        """Return the stack but for some services, as if nothing were wanted of them or there."""
        return replace(
            self,
            hashes={name: each for name, each in self.hashes.items() if name not in services},
            containers={
                name: each for name, each in self.containers.items() if name not in services
            },
        )

    def missing(self, images: Collection[str]) -> list[str]:
        """Those of `images` that the host does not have."""
        return [image for image in images if image not in self.images]

    def _reasons(self) -> Iterator[tuple[str, str]]:
        wrong = self.connections.wrong()
        for service in sorted(self.hashes.keys() | self.containers.keys()):
            containers = self.containers.get(service, ())
            if service not in self.hashes:
                yield service, "is no longer in compose.yaml"
            elif len(containers) != 1:
                yield service, f"has {len(containers)} containers instead of one"
            elif containers[0].configuration != self.hashes[service]:
                yield service, "runs with another configuration"
            elif service in wrong and containers[0].status == "running":
                yield service, wrong[service]
            elif not containers[0].well:
                yield service, f"is {containers[0].status}, health {containers[0].health}"


class Stack(Fact[StackState]):
    """The StackState; `compose` is the text of the wanted file, `images` what to look for."""

    def command(self, compose: str, images: list[str]) -> str:
        return f"printf %s {shlex.quote(compose)} | {script('stack', 'state', *images)}"

    def process(self, output: list[str]) -> StackState:
        hashes: dict[str, str] = {}
        containers: dict[str, tuple[Container, ...]] = {}
        images = set()
        for line in output:
            match line.split():
                case ["hash", service, value]:
                    hashes[service] = value
                case ["container", service, value, status, health]:
                    one = Container(value, status, health)
                    containers[service] = (*containers.get(service, ()), one)
                case ["image", reference]:
                    images.add(reference)
        engine, connected = "engine" in output, connections(output)
        return StackState(engine, hashes, containers, frozenset(images), connected)
