"""A fake host on which a change of version is planned and not run."""

from functools import partial
from hashlib import sha256
from typing import Any

import pytest

from infisical_iac.agent.files import PathState
from infisical_iac.agent.stack import Container
from infisical_iac.change import upgrade
from infisical_iac.core import files, journal, operation
from infisical_iac.core.change import Change
from infisical_iac.core.images import Images
from infisical_iac.core.journal import Journal
from infisical_iac.core.settings import Settings
from infisical_iac.host.model import MachineState
from infisical_iac.stack import compose as stack
from infisical_iac.stack.compose import compose_file
from infisical_iac.stack.state import DeploymentState, StackState, UpgradeState
from infisical_iac.workspace import checks
from tests.unit.settings_of import settings_of

RUNS = settings_of()
CHANGE, _RUN = "Stack | Change the version", "Stack | Run Infisical, PostgreSQL and Redis"


class PlannedHost:
    """A host with a deployment of the defaults, whose Redis has been stopped."""

    name = "one"

    def __init__(self) -> None:
        self.text = compose_file(RUNS, MachineState())
        self.was = Images(RUNS.stack.infisical_reference, RUNS.stack.postgres_image)
        self.journal = Journal(goes_on=True)
        self.down = {"redis"}

    def observe(self, compose: str, images: tuple[str, ...]) -> DeploymentState:
        same = compose == self.text
        hashes = {name: f"{name} {'as it runs' if same else 'new'}" for name in RUNS.services}
        containers: dict[str, tuple[Container, ...]] = {
            name: (
                Container(
                    f"{name} as it runs", "exited" if name in self.down else "running", "healthy"
                ),
            )
            for name in hashes
        }
        there = PathState(
            "regular file", "600", "root:root", sha256(self.text.encode()).hexdigest()
        )
        found = StackState(
            engine=True, images=frozenset(images), hashes=hashes, containers=containers
        )
        return DeploymentState(there, UpgradeState(self.was), found)

    def noop(self, _: str) -> None:
        """Ignore the reason for which an operation changes nothing."""

    def plan(self, settings: Settings) -> tuple[list[Change], list[Change]]:
        """Return the changes and the blocked steps of the plan for the settings."""
        compose = compose_file(settings, MachineState())
        changed = get_generator(upgrade.version)
        run = get_generator(stack.running)
        made: dict[str, Any] = {"compose": compose, "settings": settings}
        self.journal.plan("1", CHANGE, lambda: list(changed(**made, project="chainalign")))
        text = partial(compose_file, machine=MachineState())
        self.journal.plan("2", _RUN, lambda: list(run(settings=settings, compose=text)))
        return self.journal.planned_changes, self.journal.blocked_parts


def get_generator(operation: Any) -> Any:
    """Return the generator function of an operation."""
    return operation._inner.__wrapped__


def planned_host(monkeypatch: pytest.MonkeyPatch) -> PlannedHost:
    """Return a host that operations inspect in place of the current one."""
    made = PlannedHost()
    monkeypatch.setattr(journal, "_journals", {"one": made.journal})
    for module in (journal, stack, operation):
        monkeypatch.setattr(module, "host", made)
    monkeypatch.setattr(stack, "observe", made.observe)
    monkeypatch.setattr(stack, "published_port", lambda: 8080)
    monkeypatch.setattr(files.Rewritten, "read", lambda item: Change(item.kind, item.what))
    monkeypatch.setattr(upgrade, "check_free_space", lambda *_: None)
    monkeypatch.setattr(checks, "refuse_undecryptable", lambda _: None)
    return made
