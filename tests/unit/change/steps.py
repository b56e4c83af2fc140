"""A fake host that only records the steps of a rotation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from infisical_iac.change import rotation
from infisical_iac.change.keys import UnfinishedRotation, find_key
from infisical_iac.core.errors import CommandFailed
from infisical_iac.core.settings import Settings, load
from infisical_iac.host.site import Site
from infisical_iac.stack.state import UpgradeState
from tests.unit.noting import Noting
from tests.unit.settings_of import defaults

if TYPE_CHECKING:
    from infisical_iac.cluster.site import ClusterSite
    from infisical_iac.core.agent import Question
    from infisical_iac.core.images import Images

# The output of the steps.
_SAID = {
    "rotation targets": "target local\ntarget box",
}


class NotingHost(Noting):
    """A host that records the steps of a rotation."""

    error = CommandFailed

    def __init__(self) -> None:
        super().__init__(**_SAID)
        # On a cluster: the images in use, and the settings that were rolled out.
        self.was: Images | None = None
        # The standard input of a step: a secret that the user gave.
        self.stored = ""
        self.rolled_out: Settings | None = None

    def script(self, name: str, *arguments: str) -> str:
        return " ".join((name, *arguments))

    def run(self, command: str, *, doing: str, stdin: str | None = None) -> str:
        if stdin is not None:
            self.stored = stdin
        return self.note(command)

    def perform(self, asked: Question[None], *, doing: str) -> None:
        (call,) = asked.calls
        values = json.loads(call.arguments)
        arguments = [values[name] for name in ("target", "file", "hash") if name in values]
        arguments += values.get("hashes", [])
        self.note(" ".join((call.name.replace(".", " "), *arguments)))

    def ask(self, asked: Question[Any]) -> list[str]:
        self.note(asked.calls[0].name.replace(".", " "))
        return ["hash-1", "hash-2"]

    def roll_out(self, site: ClusterSite) -> None:
        self.note("roll out")
        self.rolled_out = site.settings

    def get_fact(self, _: object, desired: str) -> UpgradeState:
        return UpgradeState(self.was)

    def up(self, timeout: int) -> None:
        self.note("up")

    def pass_checks(self, *_: object, **__: object) -> list[str]:
        self.note("checks")
        return ["Read as before: 1 secret."]


def rotate(key: str, **changes: Any) -> list[str]:
    """Rotate a key of a single host with changed settings."""
    settings = load(defaults(**changes))
    found = find_key(key, settings.instance.secrets)
    return rotation.rotate(found, settings, "chainalign", Site(settings))


def recover(key: str, phase: str) -> str:
    """Recover a rotation of a single host that was interrupted in `phase`."""
    found, settings = UnfinishedRotation(find_key(key), phase), load(defaults())
    return rotation.recover(found, settings, "chainalign", Site(settings))
