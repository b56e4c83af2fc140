"""Test the running Infisical: set up, closed to strangers, and equal to the project file."""

from uuid import uuid4

import pytest

from infisical_iac.agent import identities
from infisical_iac.agent.identities import universal_auth
from infisical_iac.agent.login import is_initialized
from infisical_iac.api import instance
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError
from infisical_iac.core.settings import Settings
from infisical_iac.workspace.bootstrap import seats_drift
from infisical_iac.workspace.converge import difference
from infisical_iac.workspace.goal import Goal, Memory
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.state import Actual, EnvironmentState
from tests.host.inside.logins import status


@pytest.fixture(scope="session")
def census(admin: Client) -> instance.Census:
    return instance.census(admin)


@pytest.fixture
def there(
    projects: list[tuple[Goal, Actual]], environment: str
) -> list[tuple[Goal, EnvironmentState]]:
    """The environment in each project that should have it."""
    found = [
        (part, each)
        for part, actual in projects
        for each in actual.environments
        if each.slug == environment and environment in _slugs(part.desired)
    ]
    assert len(found) == sum(environment in _slugs(part.desired) for part, _ in projects)
    return found


def _slugs(workspace: Workspace) -> list[str]:
    return [each.slug for each in workspace.environments]


def test_infisical_answers(api: Client) -> None:
    assert api.get("/api/status")["message"] == "Ok"


def test_infisical_has_redis(api: Client) -> None:
    assert api.get("/api/status")["redisConfigured"] is True


def test_infisical_is_set_up(api: Client) -> None:
    assert is_initialized(api)


def test_nobody_can_sign_up(api: Client) -> None:
    assert not instance.signup_is_open(api)


def test_the_login_of_an_unknown_identity_is_refused(api: Client) -> None:
    # A 401 shows that the database answers; without the database the answer would be 500.
    body = {"clientId": str(uuid4()), "clientSecret": "none"}
    with pytest.raises(ApiError) as refusal:
        api.post("/api/v1/auth/universal-auth/login", json=body)
    assert refusal.value.status == 401


@pytest.mark.parametrize("path", ["/api/v1/projects", "/api/v1/admin/user-management/users"])
def test_a_request_without_a_token_is_refused(api: Client, path: str) -> None:
    assert status(api, path) == 401


def test_one_person_is_the_instance_admin(census: instance.Census, settings: Settings) -> None:
    assert census.super_admins == [settings.workspace.admin_email]


def test_infisical_has_the_organization_of_the_settings(
    census: instance.Census, settings: Settings
) -> None:
    # Members of an organization may make further ones.
    assert settings.workspace.organization in [each.name for each in census.organizations]


def test_the_deployer_is_not_an_instance_admin(deployer: Client) -> None:
    assert status(deployer, "/api/v1/admin/user-management/users") == 403


def test_the_deployers_tokens_live_ten_minutes(deployer: Client) -> None:
    organization = identities.organization_id(deployer)
    found = identities.find(deployer, organization, "infisical-iac-deployer")
    assert found is not None
    auth = universal_auth(deployer, found.id)
    assert auth is not None
    times = [auth.fields[key] for key in ("accessTokenTTL", "accessTokenMaxTTL")]
    assert times == [600, 3600]


def test_the_deployer_is_an_admin_of_the_project_and_of_the_canarys(
    deployer: Client, memory: Memory, workspace: Workspace
) -> None:
    found = identities.find(
        deployer, identities.organization_id(deployer), "infisical-iac-deployer"
    )
    assert found is not None
    parts = {each.slug: each.project for each in memory.parts.values()}
    one = {} if parts else {workspace.project.slug: memory.project}
    projects = {**one, **parts, "infisical-iac-canary": memory.canary}
    assert seats_drift(deployer, found.id, projects) == []


def test_the_projects_have_their_names(projects: list[tuple[Goal, Actual]]) -> None:
    assert projects
    for part, actual in projects:
        assert actual.project is not None, part.desired.project.slug
        fields = actual.project.fields
        project = part.desired.project
        assert (fields["name"], fields["slug"]) == (project.name, project.slug)


def test_the_projects_are_protected_from_deletion(projects: list[tuple[Goal, Actual]]) -> None:
    assert projects
    unprotected = [
        part.desired.project.slug
        for part, actual in projects
        if actual.project and not actual.project.fields["hasDeleteProtection"]
    ]
    assert unprotected == []


def test_the_administrator_is_an_admin_of_the_projects(
    projects: list[tuple[Goal, Actual]],
) -> None:
    assert projects
    without = [
        part.desired.project.slug
        for part, actual in projects
        if actual.admin is None or "admin" not in actual.admin.roles
    ]
    assert without == []


def test_the_environments_have_their_order(projects: list[tuple[Goal, Actual]]) -> None:
    assert projects
    for part, actual in projects:
        desired = _slugs(part.desired)
        assert [each.slug for each in actual.environments if each.slug in desired] == desired


def test_the_environments_have_their_names(projects: list[tuple[Goal, Actual]]) -> None:
    assert projects
    for part, actual in projects:
        names = {each.slug: each.name for each in actual.environments}
        desired = {each.slug: each.name for each in part.desired.environments}
        assert {slug: names.get(slug) for slug in desired} == desired


def test_an_environment_has_all_folders(there: list[tuple[Goal, EnvironmentState]]) -> None:
    assert there
    for part, environment in there:
        assert set(part.desired.folders) - environment.folders.keys() == set()


def test_a_services_folder_has_the_imports_of_the_project_file(
    there: list[tuple[Goal, EnvironmentState]],
) -> None:
    importing = [
        (environment, service)
        for part, environment in there
        for service in part.desired.services.values()
        if service.imports
    ]
    if not importing:
        pytest.skip("no service imports another folder inside its project")
    for environment, service in importing:
        present = [each.source for each in environment.imports.get(service.folder, ())]
        desired = [(environment.id, source) for source in service.imports]
        assert [each for each in present if each in desired] == desired, service.folder


def test_a_deploy_would_change_nothing_in_infisical(actual_state: Actual, goal: Goal) -> None:
    assert [str(each) for each in difference(goal, actual_state)] == []
