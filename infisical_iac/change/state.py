"""The stack, and what a change of its version has to do with, read in one command."""

from dataclasses import dataclass, field

from pyinfra.api.facts import FactBase

from infisical_iac.facts.files import Paths, PathState
from infisical_iac.facts.upgrade import Upgrades, UpgradeState
from infisical_iac.stack.containers import Stack, StackState

COMPOSE_FILE = "/etc/infisical/compose.yaml"
_NEXT = "next:"


@dataclass(frozen=True)
class DeploymentState:
    """Hold what is deployed: compose.yaml, if it is there, the stack, and changes of its
    version.
    """

    file: PathState | None = None
    upgrade: UpgradeState = field(default_factory=UpgradeState)
    stack: StackState = field(default_factory=StackState)


class Deployment(FactBase[DeploymentState]):
    """The DeploymentState; `compose` is the text of the wanted file.

    `images` are those to look for, Infisical's the first.
    """

    def command(self, compose: str, images: list[str]) -> str:
        commands = (
            Paths().command([COMPOSE_FILE]),
            Upgrades().command(images[0]),
            Stack().command(compose, images),
        )
        # Without one of them, the others would tell that there are no data.
        return f" && echo {_NEXT} && ".join(commands)

    def process(self, output: list[str]) -> DeploymentState:
        first = output.index(_NEXT)
        second = output.index(_NEXT, first + 1)
        return DeploymentState(
            Paths().process(output[:first]).get(COMPOSE_FILE),
            Upgrades().process(output[first + 1 : second]),
            Stack().process(output[second + 1 :]),
        )

    @staticmethod
    def default() -> DeploymentState:
        return DeploymentState()
