"""Read what Docker says of the Compose project `infisical`."""

import shlex
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

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
class Connections:
    """The networks that the services are to be connected to, and those that they are.

    Attributes:
        wanted: per service, the names that it must have in each network.
        actual: per service that has a container, its connections by network.
        networks: the ids of Docker's networks by name.
    """

    wanted: dict[str, dict[str, frozenset[str]]] = field(default_factory=dict)
    actual: dict[str, dict[str, Connection]] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)

    def wrong(self) -> dict[str, str]:
        """Return per service what is wrong with its connections, as half a sentence.

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
        wanted, actual = self.wanted[service], self.actual[service]
        for network, names in wanted.items():
            name, there = network.removeprefix(_PROJECT), actual.get(network)
            if there is None:
                yield f"not connected to network {name}"
            elif there.network not in ("-", self.networks.get(network)):
                yield f"connected to a network {name} that is there no more"
            elif missing := sorted(names - there.aliases):
                yield f"not known as {', '.join(missing)} in network {name}"
        for network in sorted(actual.keys() - wanted.keys()):
            yield f"connected to network {network.removeprefix(_PROJECT)}, but should not be"


def connections(output: Iterable[str]) -> Connections:
    """Return the Connections from what stack.sh prints; other lines of it are passed over."""
    compose: list[str] = []
    actual: dict[str, dict[str, Connection]] = {}
    networks = {}
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
            case ["network", network, id]:
                networks[network] = id
    return Connections(_wanted("\n".join(compose)), actual, networks)


def _wanted(compose: str) -> dict[str, dict[str, frozenset[str]]]:
    """Return per service of a Compose file its networks, by Docker's names, with its own names."""
    whole = yaml.safe_load(compose) or {}
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

    def unsettled(self) -> dict[str, str]:
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
