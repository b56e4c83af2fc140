"""Read the stack, and what a change of its version has to know, in one command."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from infisical_iac.core.facts import Fact, join_commands, split_output
from infisical_iac.core.files import Paths, PathState
from infisical_iac.core.images import Images
from infisical_iac.core.rendering import script
from infisical_iac.stack.containers import Stack, StackState


class FailedChange(NamedTuple):
    """A failed change of version: the release before it, and its time."""

    release: str
    at: str


@dataclass(frozen=True)
class UpgradeState:
    """The state that a change of version depends on.

    Attributes:
        was: the images that used the data last; None if there are no data.
        same_bytes: whether the running image of Infisical is the desired one, by whatever name.
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


COMPOSE_FILE = "/etc/infisical/compose.yaml"
# The file in its place on the hosts of a cluster.
STACK_FILE = "/etc/infisical/stack.yaml"


@dataclass(frozen=True)
class DeploymentState:
    """The deployed compose.yaml if it exists, the stack, and changes of its version."""

    file: PathState | None = None
    upgrade: UpgradeState = field(default_factory=UpgradeState)
    stack: StackState = field(default_factory=StackState)


class DeploymentFact(Fact[DeploymentState]):
    """Read the DeploymentState; the arguments are those of Stack, with Infisical's image first."""

    def command(self, compose: str, images: list[str]) -> str:
        return join_commands(
            Paths().command([COMPOSE_FILE]),
            Upgrades().command(images[0]),
            Stack().command(compose, images),
        )

    def process(self, output: list[str]) -> DeploymentState:
        files, upgrade, stack = split_output(output)
        return DeploymentState(
            Paths().process(files).get(COMPOSE_FILE),
            Upgrades().process(upgrade),
            Stack().process(stack),
        )
