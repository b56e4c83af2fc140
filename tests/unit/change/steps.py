"""A fake host that only records the steps of a rotation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infisical_iac.change import rotation
from infisical_iac.change.keys import UnfinishedRotation, find_key
from infisical_iac.core.errors import CommandFailed
from infisical_iac.core.settings import Settings, load
from infisical_iac.host.site import Site
from infisical_iac.stack.state import UpgradeState
from tests.unit.settings_of import defaults

if TYPE_CHECKING:
    from infisical_iac.cluster.site import ClusterSite
    from infisical_iac.core.images import Images

# The output of the steps.
_SAID = {
    "rotation targets": "target local\ntarget box",
    "redis-passwords hashes": "hash-1\nhash-2",
}


class NotingHost:
    """Notes the steps; those in `failing` fail."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.failing: set[str] = set()
        # On a cluster: the images in use, None until they are asked for; and the roll-out.
        self.was: Images | None = None
        self.rolled_out: Settings | None = None

    def script(self, name: str, *arguments: str) -> str:
        return " ".join((name, *arguments))

    def run(self, command: str, *, doing: str) -> str:
        step = command.rpartition("/etc/infisical/keys ")[2] if "flock" in command else command
        self.steps.append(step)
        if step in self.failing:
            raise CommandFailed(f"could not {doing}: {step} does not answer")
        return _SAID.get(step, "")

    def roll_out(self, site: ClusterSite) -> None:
        self.run("roll out", doing="roll out")
        self.rolled_out = site.settings

    def get_fact(self, _: object, desired: str) -> UpgradeState:
        return UpgradeState(self.was)

    def up(self, timeout: int) -> None:
        self.run("up", doing="bring the containers up")

    def pass_checks(self, *_: object, **__: object) -> list[str]:
        self.run("gate", doing="pass the gate")
        return ["Read as before: 1 secret."]


def rotate(key: str) -> list[str]:
    """Rotate a key of a single host."""
    settings = load(defaults())
    return rotation.rotate(find_key(key), settings, "chainalign", Site(settings))


def recover(key: str, phase: str) -> str:
    """End the rotation of a single host that was interrupted in `phase`."""
    found, settings = UnfinishedRotation(find_key(key), phase), load(defaults())
    return rotation.recover(found, settings, "chainalign", Site(settings))
