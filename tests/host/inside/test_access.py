"""Test that each service's identity logs in, and reads exactly its own folders."""

from datetime import UTC, datetime
from functools import partial

import pytest

from infisical_iac.agent import contents
from infisical_iac.agent.api import gather
from infisical_iac.agent.identities import client_secrets
from infisical_iac.agent.isolation import Generation, IsolationPlace
from infisical_iac.agent.privileges import are_equal
from infisical_iac.api.client import Client
from infisical_iac.workspace.access import is_granted
from infisical_iac.workspace.converge import list_blocked
from infisical_iac.workspace.credential_file import Credential
from infisical_iac.workspace.goal import Goal, Layout
from infisical_iac.workspace.model import Account, ServiceAccount, Workspace
from infisical_iac.workspace.oidc import oidc_fields
from infisical_iac.workspace.state import AccountState, Actual
from tests.host.connection import Connection
from tests.host.inside.client_secrets import find_problem
from tests.host.inside.logins import Login, Place, Seen, list_seen, read_credentials, status

_GENERATIONS = (
    Generation("v4", "/api/v4/secrets", "projectId", "includeImports"),
    Generation("v3", "/api/v3/secrets/raw", "workspaceId", "include_imports"),
)
# Projects of others that each identity asks for.
_MOST_ASKED = 20


@pytest.fixture(scope="session")
def credentials(connection: Connection, workspace: Workspace) -> dict[str, Credential | None]:
    return read_credentials(connection, workspace)


@pytest.fixture(scope="session")
def places(projects: list[tuple[Goal, Actual]]) -> list[Place]:
    """All folders of all environments, the roots and the manually made ones too."""
    return [
        Place(actual.project.id, environment.slug, folder)
        for _, actual in projects
        if actual.project
        for environment in actual.environments
        for folder in ("/", *sorted(environment.folders))
    ]


@pytest.fixture(scope="session")
def existing(deployer: Client, places: list[Place]) -> set[Seen]:
    """All secrets of the projects, without their values."""
    return _list_seen(deployer, places, values=False)


@pytest.fixture
def login(logins: dict[str, Login], account: ServiceAccount) -> Login:
    found = logins[account.identity]
    if found.failure:
        pytest.fail(f"{account.identity}: {found.failure}", pytrace=False)
    return found


@pytest.fixture
def there(actual_state: Actual, account: ServiceAccount) -> AccountState:
    return actual_state.accounts[account.identity]


@pytest.fixture
def readable(account: ServiceAccount, layout: Layout) -> list[Place]:
    """The folders that the account needs."""
    slug = account.environment
    return [Place(layout.find(slug, folder), slug, folder) for folder in account.readable]


@pytest.fixture
def own(readable: list[Place], goal: Goal, places: list[Place]) -> list[Place]:
    """The folders that the account may read; a viewer of a project may read all of its folders."""
    if goal.isolation == "privilege":
        return readable
    projects = {each.project for each in readable}
    return [each for each in places if each.project in projects]


@pytest.fixture
def project(readable: list[Place]) -> str:
    """The project of the account's own folder."""
    return readable[0].project


def _list_seen(client: Client, places: list[Place], *, values: bool = True) -> set[Seen]:
    calls = [partial(list_seen, client, place, values=values) for place in places]
    return set().union(*gather(calls))


def _names(secrets: set[Seen]) -> set[tuple[Place, str]]:
    return {(each.place, each.key) for each in secrets}


def test_service_logs_in_with_its_credentials_file(
    logins: dict[str, Login], account: ServiceAccount
) -> None:
    if failure := logins[account.identity].failure:
        pytest.fail(f"{account.identity}: {failure}", pytrace=False)


def test_tokens_expire_as_the_project_file_says(login: Login, account: ServiceAccount) -> None:
    assert (login.ttl, login.max_ttl) == (account.ttl, account.max_ttl)


def test_credentials_file_names_the_services_environment(
    credentials: dict[str, Credential | None], account: ServiceAccount
) -> None:
    credential = credentials[account.identity]
    assert credential is not None
    assert credential.environment == account.environment


def test_credentials_file_holds_the_only_valid_client_secret(
    deployer: Client,
    there: AccountState,
    credentials: dict[str, Credential | None],
    account: ServiceAccount,
) -> None:
    listed = client_secrets(deployer, there.identity.id)
    found = credentials[account.identity]
    if problem := find_problem(account, listed, found, datetime.now(UTC)):
        pytest.fail(problem, pytrace=False)


def test_service_may_read_its_folders(login: Login, readable: list[Place]) -> None:
    # An identity without any permission in a project gets 403 for each folder.
    assert readable
    for project, environment, folder in readable:
        query = {"projectId": project, "environment": environment, "secretPath": folder}
        assert status(login.client, "/api/v4/secrets", query) == 200, folder


def test_service_sees_every_secret_of_its_folders_with_its_value(
    login: Login, own: list[Place], existing: set[Seen]
) -> None:
    desired = {name for name in _names(existing) if name[0] in own}
    if not desired:
        pytest.skip("no secret is stored in its folders")
    visible = _list_seen(login.client, own)
    assert _names({each for each in visible if each.has_value}) == desired


def test_service_sees_no_secret_of_any_other_folder(
    login: Login, goal: Goal, own: list[Place], places: list[Place], existing: set[Seen]
) -> None:
    if goal.isolation == "viewer":
        pytest.skip("with isolation = viewer each service may read the whole project")
    if all(name[0] in own for name in _names(existing)):
        pytest.skip("no secret is stored in any other folder")
    visible = _list_seen(login.client, places)
    assert {name for name in _names(visible) if name[0] not in own} == set()


@pytest.fixture(params=_GENERATIONS, ids=[each.name for each in _GENERATIONS])
def generation(request: pytest.FixtureRequest, login: Login, readable: list[Place]) -> Generation:
    """A generation of the secrets API; a later release may lack the older one."""
    found: Generation = request.param
    if not found.serves(login.client, IsolationPlace(*readable[0])):
        pytest.skip(f"this release has no {found.name} of the secrets API")
    return found


def _first(secrets: set[Seen]) -> Seen:
    if not secrets:
        pytest.skip("no secret is stored there, so nothing can be refused")
    return min(secrets, key=lambda each: (each.environment, each.folder, each.key))


def _ways(login: Login, generation: Generation, secret: Seen) -> list[str]:
    return generation.ways(login.client, IsolationPlace(*secret.place), secret.key)


def test_each_generation_of_the_api_shows_a_service_its_own_secret(
    login: Login, generation: Generation, readable: list[Place], existing: set[Seen]
) -> None:
    mine = {each for each in existing if each.place in readable}
    assert len(_ways(login, generation, _first(mine))) == 3


def test_each_generation_of_the_api_refuses_another_folder(
    login: Login,
    generation: Generation,
    account: ServiceAccount,
    goal: Goal,
    own: list[Place],
    existing: set[Seen],
) -> None:
    if goal.isolation == "viewer":
        pytest.skip("with isolation = viewer each service may read the whole project")
    others = {
        each
        for each in existing
        if each.environment == account.environment and each.place not in own
    }
    assert _ways(login, generation, _first(others)) == []


def test_each_generation_of_the_api_refuses_another_environment(
    login: Login,
    generation: Generation,
    account: ServiceAccount,
    goal: Goal,
    existing: set[Seen],
) -> None:
    if goal.isolation == "viewer":
        pytest.skip("with isolation = viewer each service may read the whole project")
    others = {each for each in existing if each.environment != account.environment}
    assert _ways(login, generation, _first(others)) == []


def test_each_generation_of_the_api_refuses_another_project(
    login: Login, generation: Generation, deployer: Client
) -> None:
    other = contents.project(deployer, "infisical-iac-canary")
    if other is None:
        pytest.skip("there is no canary yet; an older release may have deployed this host")
    text = Seen(other["id"], "prod", "/", "CANARY", has_value=True)
    assert _ways(login, generation, text) == []


def test_service_is_refused_every_project_but_its_own_and_those_of_its_imports(
    login: Login, goal: Goal, own: list[Place], deployer: Client
) -> None:
    if goal.isolation != "projects":
        pytest.skip("all services are in one project, where folders are refused one by one")
    # While secrets move, services may read the one project too.
    mine = {goal.memory.project, *(each.project for each in own)}
    listed = {each["id"] for each in contents.projects(login.client)}
    assert listed - mine == set()
    others = sorted({each["id"] for each in contents.projects(deployer)} - mine)
    if not others:
        pytest.skip("there is no other project")
    # There may be hundreds, so only a few are requested; the list above shows membership in none.
    asked = others[:: len(others) // _MOST_ASKED + 1]
    answers = {id: status(login.client, f"/api/v1/projects/{id}") for id in asked}
    assert set(answers.values()) == {403}


@pytest.mark.parametrize("kind", ["memberships", "memberships/identities", "tags"])
def test_service_may_not_list_members_identities_or_tags(
    login: Login, project: str, goal: Goal, kind: str
) -> None:
    answered = status(login.client, f"/api/v1/projects/{project}/{kind}")
    assert answered == (403 if goal.isolation == "privilege" else 200)


def test_service_has_no_instance_privileges(login: Login) -> None:
    assert status(login.client, "/api/v1/admin/user-management/users") == 403


def test_service_has_no_role_in_the_organization(there: AccountState) -> None:
    assert there.identity.role == "no-access"


def test_service_has_the_least_role_in_its_projects(
    projects: list[tuple[Goal, Actual]], account: ServiceAccount, goal: Goal
) -> None:
    states = [actual.accounts.get(account.identity) for _, actual in projects]
    roles = [each.roles for each in states if each]
    least = "no-access" if goal.isolation == "privilege" else "viewer"
    assert roles
    assert set(roles) == {(least,)}


def test_only_privilege_of_a_service_is_to_read_its_folders(
    there: AccountState, account: ServiceAccount, goal: Goal
) -> None:
    lasting = [each.slug for each in there.privileges if not each.is_temporary]
    assert lasting == (["read-own-folder"] if goal.isolation == "privilege" else [])
    assert len(there.privileges) == len(lasting)
    assert all(are_equal(each.permissions, account.grants) for each in there.privileges)


@pytest.fixture
def seated(actual_state: Actual, other_account: Account, goal: Goal) -> Account:
    """The account of `held`, if the server can give it access."""
    if other_account.identity in list_blocked(goal, actual_state):
        pytest.skip("this server enforces no privileges, so the job has no access")
    return other_account


@pytest.fixture
def held(actual_state: Actual, other_account: Account) -> AccountState:
    """The identity of a pipeline's job, or of a service that logs in with tokens."""
    return actual_state.accounts[other_account.identity]


def test_identity_has_only_the_login_of_the_project_file(
    held: AccountState, other_account: Account
) -> None:
    needed = "oidc-auth" if other_account.auth else "universal-auth"
    assert held.identity.auth_methods == (needed,)


def test_tokens_log_in_only_as_the_project_file_says(
    held: AccountState, other_account: Account
) -> None:
    if other_account.auth is None:
        pytest.skip("it logs in with a client secret")
    desired = oidc_fields(other_account.auth, other_account.ttl, other_account.max_ttl)
    assert held.oidc == {key: desired[key] for key in held.oidc or {}}


def test_identity_has_no_role_in_the_organization_and_the_least_in_projects(
    projects: list[tuple[Goal, Actual]], held: AccountState, seated: Account, goal: Goal
) -> None:
    assert held.identity.role == "no-access"
    states = [actual.accounts.get(seated.identity) for _, actual in projects]
    least = "no-access" if is_granted(seated, goal.isolation) else "viewer"
    assert {each.roles for each in states if each} == {(least,)}


def test_identity_has_only_the_privilege_of_the_project_file(
    projects: list[tuple[Goal, Actual]], seated: Account
) -> None:
    pairs = [
        (each, actual.accounts[each.identity], is_granted(each, goal.isolation))
        for goal, actual in projects
        for each in goal.desired.every_account()
        if each.identity == seated.identity
    ]
    held = [[each.slug for each in there.privileges] for _, there, _ in pairs]
    assert held
    assert held == [[each.privilege] if is_given else [] for each, _, is_given in pairs]
    assert all(
        are_equal(privilege.permissions, each.grants)
        for each, there, _ in pairs
        for privilege in there.privileges
    )
