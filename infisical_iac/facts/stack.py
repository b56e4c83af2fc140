"""What Docker says of the Compose project `infisical`."""

from collections.abc import Collection
from dataclasses import dataclass, field

from pyinfra.api.facts import FactBase

from infisical_iac.rendering import script


@dataclass(frozen=True)
class Container:
    """One container: the hash of the configuration it was made from, and how it is."""

    configuration: str
    status: str
    health: str

    @property
    def well(self) -> bool:
        """Whether it runs and its health check succeeds."""
        return self.status == "running" and self.health == "healthy"


@dataclass(frozen=True)
class StackState:
    """Per service the `hashes` of compose.yaml and the `containers`, and the `images` present."""

    hashes: dict[str, str] = field(default_factory=dict)
    containers: dict[str, tuple[Container, ...]] = field(default_factory=dict)
    images: frozenset[str] = frozenset()

    def unsettled(self) -> list[str]:
        """The services that don't run as compose.yaml says, each with the reason."""
        return [
            f"{service}: {reason}"
            for service in sorted(self.hashes.keys() | self.containers.keys())
            if (reason := self._reason(service))
        ]

    def missing(self, images: Collection[str]) -> list[str]:
        """Those of `images` that the host does not have."""
        return [image for image in images if image not in self.images]

    def _reason(self, service: str) -> str:
        containers = self.containers.get(service, ())
        if service not in self.hashes:
            return "is no longer in compose.yaml"
        if len(containers) != 1:
            return f"has {len(containers)} containers instead of one"
        if containers[0].configuration != self.hashes[service]:
            return "runs with another configuration"
        if not containers[0].well:
            return f"is {containers[0].status}, health {containers[0].health}"
        return ""


class Stack(FactBase[StackState]):
    """The StackState; `images` are the references to look for."""

    def command(self, images: list[str]) -> str:
        return script("stack", "state", *images)

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
        return StackState(hashes, containers, frozenset(images))

    @staticmethod
    def default() -> StackState:
        return StackState()
