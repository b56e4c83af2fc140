"""What Docker says of the Compose project `infisical`."""

import shlex
from collections.abc import Collection, Iterator
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
    """The stack as it is, beside the Compose file that is wanted.

    Attributes:
        engine: whether Docker is installed and answers.
        hashes: per service of the wanted file, the hash of its configuration; none where
            Compose can't read the file (yet), for it is not installed or the keys are missing.
        containers: per service, those that are there.
        images: which of those looked for are present.
    """

    engine: bool = False
    hashes: dict[str, str] = field(default_factory=dict)
    containers: dict[str, tuple[Container, ...]] = field(default_factory=dict)
    images: frozenset[str] = frozenset()

    def unsettled(self) -> dict[str, str]:
        """The services that don't run as the file says, each with the reason."""
        return dict(self._reasons())

    def missing(self, images: Collection[str]) -> list[str]:
        """Those of `images` that the host does not have."""
        return [image for image in images if image not in self.images]

    def _reasons(self) -> Iterator[tuple[str, str]]:
        for service in sorted(self.hashes.keys() | self.containers.keys()):
            containers = self.containers.get(service, ())
            if service not in self.hashes:
                yield service, "is no longer in compose.yaml"
            elif len(containers) != 1:
                yield service, f"has {len(containers)} containers instead of one"
            elif containers[0].configuration != self.hashes[service]:
                yield service, "runs with another configuration"
            elif not containers[0].well:
                yield service, f"is {containers[0].status}, health {containers[0].health}"


class Stack(FactBase[StackState]):
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
        return StackState("engine" in output, hashes, containers, frozenset(images))

    @staticmethod
    def default() -> StackState:
        return StackState()
