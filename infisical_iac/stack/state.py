"""Read the state of the Compose project, and the state that a change of its version needs."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

from infisical_iac.agent import stack as agent_stack
from infisical_iac.agent.docker import Connection, DockerNetwork, Limits, present_images
from infisical_iac.agent.files import PathState, states
from infisical_iac.agent.stack import Container, ObservedStack
from infisical_iac.core.agent import Question, ask, fact_question, question, together
from infisical_iac.core.images import Images
from infisical_iac.core.remote import Fact
from infisical_iac.core.rendering import script
from infisical_iac.stack.model import parse_compose

# The prefix of the names of the Compose project's own networks.
_PROJECT = "infisical_"


@dataclass(frozen=True)
class Connections:
    """The desired networks and limits of each service, and the actual ones.

    Attributes:
        desired: by service and network, the names that the service must have in the network.
        actual: by service that has a container, its connections by network.
        networks: Docker's networks by name.
        own: the networks that Compose creates, and whether each is internal.
        limits: the desired limits by service.
        actual_limits: the actual limits by service that has a container.
    """

    desired: dict[str, dict[str, frozenset[str]]] = field(default_factory=dict)
    actual: dict[str, dict[str, Connection]] = field(default_factory=dict)
    networks: dict[str, DockerNetwork] = field(default_factory=dict)
    own: dict[str, bool] = field(default_factory=dict)
    limits: dict[str, Limits] = field(default_factory=dict)
    actual_limits: dict[str, Limits] = field(default_factory=dict)

    def foreign(self) -> list[str]:
        """Return the networks that Compose would create differently; they are re-created."""
        return sorted(
            name
            for name, internal in self.own.items()
            if (there := self.networks.get(name))
            and (there.internal, f"{there.project}_") != (internal, _PROJECT)
        )

    def wrong(self) -> dict[str, str]:
        """Return, by service, a clause on the differences of its connections and limits.

        It is empty if Docker lists no networks.
        """
        if not self.networks:
            return {}
        reasons = {
            service: "; ".join(self._reasons(service))
            for service in sorted(self.desired.keys() & self.actual.keys())
        }
        return {service: reason for service, reason in reasons.items() if reason}

    def _reasons(self, service: str) -> Iterator[str]:
        desired, actual, foreign = self.desired[service], self.actual[service], self.foreign()
        for network, names in desired.items():
            name, there = network.removeprefix(_PROJECT), actual.get(network)
            now = self.networks.get(network)
            if there is None:
                yield f"not connected to network {name}"
            elif network in foreign:
                yield f"connected to a network {name} that is not as compose.yaml says"
            elif there.network and (now is None or there.network != now.id):
                yield f"connected to a network {name} that no longer exists"
            elif missing := sorted(names - there.aliases):
                yield f"not known as {', '.join(missing)} in network {name}"
        for network in sorted(actual.keys() - desired.keys()):
            yield f"connected to network {network.removeprefix(_PROJECT)}, but should not be"
        if limits := self.actual_limits.get(service):
            yield from _limit_clauses(limits, self.limits[service])


def _limit_clauses(actual: Limits, desired: Limits) -> Iterator[str]:
    """Yield a clause for each limit that differs from the desired one."""
    for each in fields(actual):
        now, then = getattr(actual, each.name), getattr(desired, each.name)
        if now != then:
            yield f"limit {each.name} {now or 'none'} → {then or 'none'}"


def compare_connections(compose: str, found: ObservedStack) -> Connections:
    """Return the connections of observed containers, with those of the Compose file's text."""
    actual: dict[str, dict[str, Connection]] = {}
    limits = {}
    for service, containers in found.containers.items():
        for each in containers:
            actual.setdefault(service, {}).update(each.connections)
            limits[service] = each.limits
    whole = parse_compose(compose) or {}
    own = {
        f"{_PROJECT}{name}": bool((body or {}).get("internal"))
        for name, body in (whole.get("networks") or {}).items()
        if not (body or {}).get("external")
    }
    desired_limits = {name: _limits(body) for name, body in whole.get("services", {}).items()}
    networks = dict(found.networks)
    return Connections(_desired_networks(whole), actual, networks, own, desired_limits, limits)


def _limits(service: Mapping[str, Any]) -> Limits:
    """Return the limits of a service of a Compose file."""
    memory = re.fullmatch(r"(\d+)([bkmg]?)b?", str(service.get("mem_limit", 0)).lower())
    size = int(memory[1]) * 1024 ** "bkmg".index(memory[2] or "b") if memory else 0
    restart, cpus = str(service.get("restart", "no")), float(service.get("cpus", 0))
    return Limits(restart, size, round(cpus * 1e9), int(service.get("pids_limit", 0)))


def _desired_networks(whole: Mapping[str, Any]) -> dict[str, dict[str, frozenset[str]]]:
    """Return the networks of each service of a Compose file, with its names in each network.

    The networks have the names that Docker gives them.
    """
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
    """The actual stack, compared with the desired Compose file.

    Attributes:
        engine: whether Docker is installed and answers.
        hashes: by service of the desired file, the hash of its configuration; empty if Compose
            can't read the file, because Compose or the keys are still missing.
        containers: the containers by service.
        images: the requested images that are present.
        connections: the desired and actual connections of the containers.
    """

    engine: bool = False
    hashes: dict[str, str] = field(default_factory=dict)
    containers: dict[str, tuple[Container, ...]] = field(default_factory=dict)
    images: frozenset[str] = frozenset()
    connections: Connections = field(default_factory=Connections)

    def differences(self) -> dict[str, str]:
        """Return the services that differ from the file, each with the reason."""
        return dict(self._reasons())

    def without(self, services: Collection[str]) -> "StackState":
        """Return the stack without some services, as if they were neither desired nor present."""
        return replace(
            self,
            hashes={name: each for name, each in self.hashes.items() if name not in services},
            containers={
                name: each for name, each in self.containers.items() if name not in services
            },
        )

    def missing(self, images: Collection[str]) -> list[str]:
        """Return the images among `images` that the host lacks."""
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
            elif not containers[0].is_healthy:
                yield service, f"is {containers[0].status}, health {containers[0].health}"


def stack_question(*, compose: str, images: Sequence[str]) -> Question[StackState]:
    """Return the question for the StackState.

    Args:
        compose: the text of the desired Compose file.
        images: the images to look for.
    """

    def read(found: ObservedStack) -> StackState:
        return StackState(
            found.engine,
            dict(found.hashes),
            dict(found.containers),
            found.images,
            compare_connections(compose, found),
        )

    return together(read, question(agent_stack.state, compose=compose, images=[*images]))


def missing_images(images: Sequence[str]) -> list[str]:
    """Return the images that the current host lacks. Raises a UserError."""
    there = ask(question(present_images, images=[*images]))
    return [each for each in images if each not in there]


class FailedChange(NamedTuple):
    """A failed change of version: the release before it, and its time."""

    release: str
    at: str


@dataclass(frozen=True)
class UpgradeState:
    """The state that a change of version depends on.

    Attributes:
        was: the images that used the data last; None if there are no data.
        same_bytes: whether the running image of Infisical is the desired one, even by another name.
        failed: the last failed change, by its target image.
    """

    was: Images | None = None
    same_bytes: bool = False
    failed: Mapping[str, FailedChange] = field(default_factory=dict)


class Upgrades(Fact[UpgradeState]):
    """Read the UpgradeState; `desired` is the reference of Infisical's image in the settings."""

    def command(self, desired: str) -> str:
        return script("releases", "inspect", desired)

    def process(self, output: list[str]) -> UpgradeState:
        desired = ""
        images: dict[str, str] = {}
        ids: dict[str, str] = {}
        failed: dict[str, FailedChange] = {}
        for line in output:
            match line.split():
                case ["image", service, reference, *id]:
                    images[service], ids[service] = reference, "".join(id)
                case ["desired", id_]:
                    desired = id_
                case ["failed", release, at, image]:
                    failed[image] = FailedChange(release, at)
        known = "database" in output and images.keys() >= {"infisical", "postgres"}
        was = Images(images["infisical"], images["postgres"]) if known else None
        return UpgradeState(was, bool(desired) and desired == ids.get("infisical"), failed)


COMPOSE_FILE = agent_stack.COMPOSE_FILE
# The corresponding file on the hosts of a cluster.
STACK_FILE = "/etc/infisical/stack.yaml"


@dataclass(frozen=True)
class DeploymentState:
    """The deployed compose.yaml if it exists, the stack, and changes of its version."""

    file: PathState | None = None
    upgrade: UpgradeState = field(default_factory=UpgradeState)
    stack: StackState = field(default_factory=StackState)


def deployment_question(*, compose: str, images: Sequence[str]) -> Question[DeploymentState]:
    """Return the question for the DeploymentState; Infisical's image is the first of `images`."""
    return together(
        lambda files, upgrade, stack: DeploymentState(files.get(COMPOSE_FILE), upgrade, stack),
        question(states, paths=[COMPOSE_FILE]),
        fact_question(Upgrades, desired=images[0]),
        stack_question(compose=compose, images=images),
    )
