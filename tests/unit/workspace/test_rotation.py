"""Test that the secrets that a person who left could read are listed, even if the run fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from click.testing import CliRunner

from infisical_iac.cli.main import main
from infisical_iac.workspace.goal import Reached
from tests.unit.deployment import TEXT
from tests.unit.fake_state import Json, Refused
from tests.unit.people_deployment import PeopleDeployment

_ROTATE = ["Rotate what ben@example.com could read:", "  staging /backend KEY"]


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> PeopleDeployment:
    """A deployment with a secret, and with a person that the project file no longer names."""
    deployment = PeopleDeployment()
    deployment.settle(f"{TEXT}\npeople: {{ben@example.com: viewer}}\n")
    deployment.server.store("staging", "/backend", "KEY")

    @contextmanager
    def reach(*_: object, **__: object) -> Iterator[Reached]:
        yield deployment.reach(TEXT)

    monkeypatch.setattr("infisical_iac.cli.workspace.reach", reach)
    return deployment


def _apply() -> Any:
    return CliRunner().invoke(main, ["workspace", "apply", "--prune", "--yes"])


def test_readable_secrets_are_listed_when_access_is_pruned(deployment: PeopleDeployment) -> None:
    applied = _apply()
    assert applied.exit_code == 0
    *rotate, removed, count = applied.stdout.splitlines()
    assert rotate == _ROTATE
    assert removed.startswith("- person ben@example.com: ")
    assert count == "1 change made."


def test_readable_secrets_are_listed_even_if_the_server_then_fails(
    deployment: PeopleDeployment,
) -> None:
    def fail(body: Json, id: str) -> Json:
        deployment.server._drop_person(body, id)
        raise Refused(500, "Something", "Something went wrong")

    route = ("DELETE", "/v1/projects/[^/]+/memberships/([^/]+)", fail)
    deployment.server.routes.insert(0, route)
    failed = _apply()
    assert failed.exit_code == 1
    assert failed.stdout.splitlines() == _ROTATE
    assert _apply().stdout == "Nothing to change.\n"
