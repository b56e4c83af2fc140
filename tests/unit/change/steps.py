"""A fake host that only records the steps of a rotation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from infisical_iac.agent import rotation as on_host
from infisical_iac.agent import transaction
from infisical_iac.agent.journal import read_journal
from infisical_iac.agent.rotation import BackupPlaces
from infisical_iac.agent.runner import Failure
from infisical_iac.change import rotation
from infisical_iac.change.keys import UnfinishedRotation, find_key
from infisical_iac.core.errors import CommandFailed, UserError
from infisical_iac.core.settings import Settings, load
from infisical_iac.host.site import Site
from infisical_iac.stack.state import UpgradeState
from tests.unit.noting import Noting
from tests.unit.settings_of import defaults

if TYPE_CHECKING:
    from infisical_iac.cluster.site import ClusterSite
    from infisical_iac.core.agent import Question
    from infisical_iac.core.images import Images
    from tests.unit.agent.fake_runner import FakeRunner

# The output of the steps.
KEYS = "/etc/infisical/keys"


class NotingHost(Noting):
    """A host that records the steps of a rotation.

    Transactions run in this process, on the files of `runner`.
    """

    error = CommandFailed

    def __init__(self, runner: FakeRunner) -> None:
        super().__init__()
        self.runner = runner
        # On a cluster: the images in use, and the settings that were rolled out.
        self.was: Images | None = None
        self.rolled_out: Settings | None = None
        self.has_backups = True

    def script(self, name: str, *arguments: str) -> str:
        return " ".join((name, *arguments))

    def run(self, command: str, *, doing: str, stdin: str | None = None) -> str:
        return self.note(command)

    def perform(self, asked: Question[Any], *, doing: str) -> Any:
        """Record an action, or run an action of transactions."""
        (call,) = asked.calls
        values = json.loads(call.arguments)
        module, _, name = call.name.partition(".")
        if module == "transaction":
            return getattr(transaction, name)(self.runner, **values)
        if name == "hand_in":
            return on_host.hand_in(self.runner, **values)
        arguments = [values[each] for each in ("target", "file", "key", "hash") if each in values]
        arguments += values.get("hashes", [])
        return self.note(" ".join((module, name, *arguments)))

    def ask(self, asked: Question[Any]) -> Any:
        """Return the progress of a transaction, which is made meanwhile, or another answer."""
        (call,) = asked.calls
        match call.name:
            case "transaction.progress":
                name = json.loads(call.arguments)["name"]
                journal = read_journal(self.runner, transaction.find(name))
                if journal is None or not journal.waits or journal.answer:
                    transaction.run_named(self.runner, [name])
                return transaction.progress(self.runner, name=name, seen=0, seconds=0)
            case "transaction.needs_plan":
                return transaction.needs_plan(self.runner, name="rotation")
            case "redis_passwords.hashes":
                self.note(call.name.replace(".", " "))
                return ["hash-1", "hash-2"]
            case "rotation.backup_places":
                self.note("rotation targets")
                return BackupPlaces(("local", "box"))
        return UpgradeState(self.was)

    def note_on_host(self, step: str) -> None:
        """Record a step of a transaction."""
        try:
            self.note(step)
        except UserError as error:
            raise RuntimeError(Failure("command", str(error))) from None

    def roll_out(self, site: ClusterSite) -> None:
        self.note("roll out")
        self.rolled_out = site.settings

    def pass_checks(self, *_: object, **__: object) -> list[str]:
        self.note("checks")
        return ["Read as before: 1 secret."]

    def pass_checks_on_host(self, *_: object, **__: object) -> list[str]:
        self.note_on_host("checks")
        return ["Read as before: 1 secret."]

    def keys(self) -> dict[str, str]:
        """Return the text of each key, by its file."""
        folder = self.runner.path(KEYS)
        return {each.name: each.read_text() for each in folder.iterdir()}


def rotate(key: str, **changes: Any) -> list[str]:
    """Rotate a key of a single host with changed settings."""
    settings = load(defaults(**changes))
    found = find_key(key, settings.instance.secrets)
    return rotation.rotate(found, settings, "chainalign", Site(settings))


def recover(key: str, phase: str) -> str:
    """Recover a rotation of a single host that was interrupted in `phase`."""
    found, settings = UnfinishedRotation(find_key(key), phase), load(defaults())
    return rotation.recover(found, settings, "chainalign", Site(settings))
