"""Test that a deploy repairs everything except people if people cannot be read."""

from dataclasses import replace

import pytest

from infisical_iac.api.client import Client
from infisical_iac.core.errors import NotBootstrapped, SettingsError, Unreachable
from infisical_iac.workspace.plan import compute_plan
from tests.unit.deployment import TEXT, update
from tests.unit.fake_state import Json, Refused
from tests.unit.people_deployment import PEOPLE, PeopleDeployment

_REASON = "admin@example.com has a second factor, which this tool can't enter"


class Locked(PeopleDeployment):
    """A deployment whose administrator can't log in while `error` is set."""

    error: Exception | None = None

    def admin(self) -> Client:
        if self.error:
            raise self.error
        return super().admin()


@pytest.fixture
def deployment() -> Locked:
    deployment = Locked()
    deployment.settle()
    deployment.error = NotBootstrapped(_REASON)
    return deployment


def test_unread_people_are_noted_and_all_else_is_repaired(deployment: Locked) -> None:
    deployment.seat("ben@example.com").update(roles=[{"role": "developer"}])
    deployment.server.identity("backend-staging")["name"] = "other"
    due = ["~ identity backend-staging: name other → backend-staging"]
    planned = deployment.inspect()
    assert [str(each) for each in planned.due] == due
    (note,) = planned.notes
    assert _REASON in note
    assert "people of the file" in note
    assert deployment.settle() == due
    deployment.error = None
    assert deployment.settle() == [
        update("person ben@example.com", "project role", "developer", "no-access")
    ]


def test_new_people_wait_for_the_login(deployment: Locked) -> None:
    text = f"{PEOPLE}  dan@example.com: viewer\n"
    assert deployment.plan(text) == []
    assert deployment.settle(text) == []


def test_a_first_deploy_makes_everything_but_people() -> None:
    deployment = Locked()
    deployment.error = NotBootstrapped(_REASON)
    assert any(_REASON in each for each in deployment.inspect().notes)
    assert not [each for each in deployment.settle() if "person" in each or "invitation" in each]
    deployment.error = None
    assert len(deployment.settle()) == 6


@pytest.mark.parametrize("error", [Unreachable("no answer"), SettingsError("set it too")])
def test_a_failure_that_the_administrator_cannot_fix_is_an_error(
    deployment: Locked, error: Exception
) -> None:
    deployment.error = error
    with pytest.raises(type(error)):
        deployment.inspect()


def test_a_release_without_privileges_is_noted_with_isolation_by_role() -> None:
    deployment = PeopleDeployment()
    deployment.deploy(TEXT, "viewer")
    routes = deployment.server.routes
    routes.insert(0, ("GET", "/v2/identity-project-additional-privilege", _refuse))
    routes.insert(0, ("GET", "/v1/additional-privilege/identity", _refuse))
    reached = replace(deployment.reach(TEXT), isolation="viewer")
    planned = compute_plan(reached, prune=False)
    assert planned.due == []
    (note,) = planned.notes
    assert note.startswith("privileges of identities")


def _refuse(_: Json) -> Json:
    raise Refused(404, "NotFound", "Route not found")
