"""Test that access that the project file does not give is reported, accepted and pruned."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infisical_iac.agent.identities import DEPLOYER
from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, NotBootstrapped
from infisical_iac.monitoring.access_matrix import Cell, FolderPlace
from tests.license_server import offline_keys

from .first import EMAIL, PASSWORD, set_up
from .items import Expected
from .services import RedisServer, Standin
from .strangers import ADA, MALLORY, STRANGERS, Project, Stranger, make_group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .postgres import Postgres

_WRITE_ALL = {"subject": "secrets", "action": ["create", "edit", "delete"]}
_CI = "identity ci-runner with role viewer"
_COMMANDS = ("plan", "drift", "status", "verify")


@pytest.fixture(scope="module")
def project(postgres: Postgres, redis_server: RedisServer) -> Iterator[Project]:
    """A deployed project on a separate instance; each test leaves it as the file says."""
    uri, url = postgres.create_database("strangers"), redis_server.url_for("strangers")
    licensed = {"LICENSE_KEY_OFFLINE": offline_keys()["in effect"]}
    standin = Standin(uri, url, STANDIN_PERMISSION_CACHE_SECONDS="0", **licensed).wait()
    with closing(standin), Client(standin.url) as anyone:
        organization, *credentials = set_up(anyone)
        deployer = login.universal(anyone, *credentials)
        admin = login.password(anyone, EMAIL, PASSWORD, organization)
        made = Project(deployer, credentials[0], _secret_id(deployer), admin)
        made.apply()
        yield made


def _deployer_identity(deployer: Client) -> str:
    listed = deployer.get("/api/v1/identities", params={"limit": 100, "offset": 0})["identities"]
    (id,) = (each["identity"]["id"] for each in listed if each["identity"]["name"] == "deployer")
    return str(id)


def _secret_id(deployer: Client) -> str:
    id = _deployer_identity(deployer)
    path = f"/api/v1/auth/universal-auth/identities/{id}/client-secrets"
    (secret,) = deployer.get(path)["clientSecretData"]
    return str(secret["id"])


@pytest.fixture
def clean(project: Project) -> Iterator[Project]:
    yield project
    project.accepted.clear()
    if project.foreign():
        project.apply(prune=True)
        assert project.foreign() == []


def _has_prefixes(texts: list[str], begins: tuple[str, ...]) -> bool:
    """Return whether each text begins with the prefix at its position."""
    return len(texts) == len(begins) and all(map(str.startswith, texts, begins))


def _rows(status: str, name: str) -> list[str]:
    """Return the lines of a status on one subject."""
    return [each for each in status.splitlines() if each.split()[1:2] == [name]]


def test_no_command_reports_access_in_a_converged_project(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = project.commands(monkeypatch)
    assert ran["plan"] == (0, "Nothing to change.\n")
    assert ran["drift"][0] == 0
    assert ran["status"][0] == 0
    (row,) = _rows(ran["status"][1], "Access")
    assert row.startswith("✓")
    assert ran["verify"] == (0, "")


def test_the_matrix_of_status_shows_what_the_server_gives(
    clean: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = FolderPlace("qa", "/api")
    holders = clean.list_holders(monkeypatch)
    assert {name: each.cell(place) for name, each in holders.items()} == {
        EMAIL: Cell("manages"),
        ADA: Cell("reads"),
        DEPLOYER: Cell("manages"),
        "api-qa": Cell("reads"),
    }
    assert {place in each.actual for each in holders.values()} == {True}
    clean.join(clean.make_identity("ci-runner"))
    stranger = clean.list_holders(monkeypatch)["ci-runner"]
    assert stranger.cell(place) == Cell("reads", differs=True)


@pytest.mark.parametrize("name", STRANGERS)
def test_foreign_access_is_reported_by_each_command_accepted_and_pruned(
    clean: Project, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, stranger = clean, STRANGERS[name]
    stranger.make(project)
    found = project.foreign()
    assert _has_prefixes(found, project.fill_names(stranger.whats))
    for command, (status, output) in project.commands(monkeypatch).items():
        assert [each for each in found if each not in output] == [], command
        assert status == (0 if command == "plan" else 2 if command == "drift" else 1), command

    assert project.apply() == []
    project.accepted.extend({"what": each, "reason": "accepted by a test"} for each in found)
    ran = project.commands(monkeypatch)
    assert [ran[command][0] for command in _COMMANDS] == [0, 0, 0, 0]
    assert [each for each in found if any(each in output for _, output in ran.values())] == []
    assert project.apply(prune=True) == []

    project.accepted.clear()
    done = [str(each) for each in project.apply(prune=True)]
    assert _has_prefixes(done, project.fill_names(stranger.pruned))


@pytest.mark.parametrize("joins", [False, True])
def test_a_group_without_access_to_the_project_is_not_listed(clean: Project, joins: bool) -> None:
    group = make_group(clean)
    if joins:
        roles = {"roles": [{"role": "no-access", "isTemporary": False}]}
        clean.deployer.post(f"{clean.path}/memberships/groups/{group}", json=roles)
    assert clean.foreign() == []


def test_another_role_of_a_declared_person_is_a_change(clean: Project) -> None:
    path = f"{clean.path}/memberships/{clean.seat(ADA)}"
    clean.deployer.patch(path, json={"roles": [{"role": "admin"}]})
    assert clean.plan().due == [Expected("~", f"person {ADA}", "admin → no-access")]
    clean.apply()


def test_a_person_who_left_the_file_is_reported_by_each_command_until_pruned(
    clean: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean.people.clear()
    what = f"person {ADA} with role no-access"
    ran = clean.commands(monkeypatch)
    assert [what in ran[command][1] for command in _COMMANDS] == [True] * 4
    (line,) = (each for each in ran["plan"][1].splitlines() if each.startswith(f"* {what}: "))
    assert "made at 20" in line
    assert clean.apply() == []
    assert clean.apply(prune=True) == [Expected("-", f"person {ADA}", "member")]
    clean.people[ADA] = {"qa": "viewer"}
    clean.apply()


def test_a_service_that_left_the_file_is_reported_by_each_command_until_pruned(
    clean: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean.services["web"] = {"folder": "/web"}
    clean.apply()
    del clean.services["web"]
    what = "identity web-qa with role no-access"
    assert clean.foreign() == [what]
    ran = clean.commands(monkeypatch)
    assert [what in ran[command][1] for command in _COMMANDS] == [True] * 4
    assert Expected("-", "identity web-qa") in clean.apply(prune=True)


def test_a_service_token_is_reported_with_its_maker_and_time(clean: Project) -> None:
    STRANGERS["a service token"].make(clean)
    (found,) = clean.plan().foreign
    assert found.made_by == EMAIL
    assert found.data["made_at"][:2] == "20"
    assert str(found.change).split("; ")[1] == f"made by {EMAIL} at {found.made_at}"


def test_one_of_two_identities_with_the_same_name_is_accepted_only_by_its_id(
    clean: Project,
) -> None:
    ids = [clean.make_identity("ci-runner") for _ in range(2)]
    clean.join(ids[0])
    what = _CI
    clean.accepted.append({"what": what, "reason": "previews"})
    assert clean.foreign() == []
    clean.join(ids[1])
    plan = clean.plan()
    assert [each.what for each in plan.foreign] == [what, what]
    (note,) = plan.notes
    assert ids[0] in note
    assert ids[1] in note
    clean.accepted[0]["id"] = ids[0]
    assert [each.id for each in clean.plan().foreign] == [ids[1]]


def test_an_accepted_identity_with_another_role_is_reported_and_its_entry_is_stale(
    clean: Project,
) -> None:
    id = clean.make_identity("ci-runner")
    clean.join(id)
    what = "identity ci-runner with role {}"
    clean.accepted.append({"what": what.format("viewer"), "reason": "previews"})
    roles = {"roles": [{"role": "admin", "isTemporary": False}]}
    clean.deployer.patch(f"{clean.path}/memberships/identities/{id}", json=roles)
    plan = clean.plan()
    assert [each.what for each in plan.foreign] == [what.format("admin")]
    (note,) = plan.notes
    assert note.startswith("accepted: ")
    assert repr(what.format("viewer")) in note


def test_an_accepted_privilege_with_other_permissions_is_reported_again(clean: Project) -> None:
    stranger: Stranger = STRANGERS["a privilege of a person"]
    stranger.make(clean)
    (found,) = clean.plan().foreign
    clean.accepted.append({"what": found.what, "reason": "break glass"})
    assert clean.foreign() == []
    everything = [{"subject": "secrets", "action": ["delete"]}]
    path = f"/api/v1/user-project-additional-privilege/{found.id}"
    clean.by_password.patch(path, json={"permissions": everything})
    assert clean.foreign() != []
    assert clean.foreign() != [found.what]


def test_unread_access_is_noted_if_the_administrators_login_fails(
    clean: Project,
) -> None:
    STRANGERS["a service token"].make(clean)
    STRANGERS["a person in the project"].make(clean)
    by_password, people = clean.by_password, dict(clean.people)
    token = {"what": "service token legacy to read /** in qa", "reason": "old site"}
    clean.accepted.append(token)
    # The deployer's client gets the refusals of a caller that may not see service tokens.
    clean.by_password = clean.deployer
    clean.people.clear()
    try:
        plan = clean.plan()
    finally:
        clean.by_password = by_password
        clean.people.update(people)
    assert [each.what for each in plan.foreign] == [
        f"person {ADA} with role no-access",
        f"person {MALLORY} with role member",
    ]
    (note,) = plan.notes
    assert all(kind in note for kind in ("service tokens", "privileges of persons"))


def test_people_are_not_changed_if_the_administrator_cannot_log_in(
    clean: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = "a second factor is demanded"

    def refuse() -> Client:
        raise NotBootstrapped(refusal)

    STRANGERS["an identity in the project"].make(clean)
    path = f"{clean.path}/memberships/{clean.seat(ADA)}"
    clean.deployer.patch(path, json={"roles": [{"role": "viewer"}]})
    reach = clean.reach
    monkeypatch.setattr(clean, "reach", lambda: replace(reach(), admin=refuse))
    plan = clean.plan()
    assert plan.due == []
    assert [each.kind for each in plan.foreign] == ["identity"]
    (note,) = plan.notes
    assert refusal in note
    assert "people of the file" in note
    monkeypatch.undo()
    assert clean.apply() == [Expected("~", f"person {ADA}", "viewer → no-access")]


def test_a_secret_sync_is_reported_accepted_and_pruned(clean: Project) -> None:
    body = {
        "name": "to-elsewhere",
        "projectId": clean.memory.project,
        "connectionId": "00000000-0000-4000-8000-000000000000",
        "environment": "qa",
        "secretPath": "/api",
        "destinationConfig": {},
        "syncOptions": {"initialSyncBehavior": "overwrite-destination"},
    }
    clean.deployer.post("/api/v1/secret-syncs/github", json=body)
    what = "secret sync to-elsewhere of /api in qa to github"
    assert clean.foreign() == [what]
    clean.accepted.append({"what": what, "reason": "a build"})
    assert clean.foreign() == []
    clean.accepted.clear()
    assert clean.apply(prune=True) == [Expected("-", what, "sent")]


def test_a_foreign_import_is_reported_where_services_import_nothing(
    clean: Project,
) -> None:
    STRANGERS["an import into the folder of a service"].make(clean)
    (found,) = clean.plan().foreign
    assert (found.kind, found.change.kind) == ("import", "*")
    assert found.why
    assert clean.apply() == []


def test_privileges_are_reported_with_the_isolation_viewer_too(clean: Project) -> None:
    people = dict(clean.people)
    clean.people.clear()
    clean.isolation = "viewer"
    try:
        clean.apply(prune=True)
        assert clean.foreign() == []
        body = {"slug": "write-all", "type": {"isTemporary": False}, "permissions": [_WRITE_ALL]}
        body |= {"identityId": clean.identity(), "projectId": clean.memory.project}
        clean.deployer.post("/api/v2/identity-project-additional-privilege", json=body)
        STRANGERS["a privilege of another identity"].make(clean)
        own = "privilege write-all of api-qa"
        whats = ("privilege wide-open of ci-runner", own, _CI)
        assert _has_prefixes(clean.foreign(), whats)
        assert Expected("-", own) in clean.apply(prune=True)
        assert clean.foreign() == []
    finally:
        clean.isolation = "privilege"
        clean.people.update(people)
        clean.apply()


def test_the_deployers_client_secret_is_known_by_its_prefix_in_a_file_of_an_earlier_release(
    clean: Project,
) -> None:
    id = _deployer_identity(clean.deployer)
    path = f"/api/v1/auth/universal-auth/identities/{id}/client-secrets"
    (own,) = clean.deployer.get(path)["clientSecretData"]
    by_id, clean.secret_id = clean.secret_id, own["clientSecretPrefix"]
    try:
        assert clean.foreign() == []
        STRANGERS["a client secret of the deployer"].make(clean)
        whats = STRANGERS["a client secret of the deployer"].whats
        assert clean.foreign() == [*whats]
        assert clean.apply(prune=True) == [Expected("-", whats[0], "tokens")]
        assert [each["id"] for each in clean.deployer.get(path)["clientSecretData"]] == [by_id]
    finally:
        clean.secret_id = by_id


def test_a_note_says_that_the_deployers_own_client_secret_is_unknown(
    clean: Project,
) -> None:
    by_id, clean.secret_id = clean.secret_id, ""
    try:
        assert clean.plan().notes == []  # the only one is its own
        STRANGERS["a client secret of the deployer"].make(clean)
        (note,) = clean.plan().notes
        assert all(word in note for word in ("client secrets", "deployer"))
        assert clean.foreign() == []
    finally:
        clean.secret_id = by_id


def test_pruned_access_ends_at_once(clean: Project) -> None:
    STRANGERS["token auth of a service"].make(clean)
    path = f"/api/v1/auth/token-auth/identities/{clean.identity()}"
    token = clean.deployer.post(f"{path}/tokens", json={})["accessToken"]
    holder = clean.deployer.with_token(token)
    holder.get("/api/v1/identities/details")
    clean.apply(prune=True)
    with pytest.raises(ApiError, match="401"):
        holder.get("/api/v1/identities/details")


def test_status_counts_the_organizations_and_projects_of_members(
    clean: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = clean.commands(monkeypatch)["status"][1]
    (row,) = _rows(before, "Instance")
    assert row.startswith("✓")
    clean.make_identity("of-somebody")
    body = {"projectName": "Theirs", "slug": "theirs", "shouldCreateDefaultEnvs": False}
    clean.by_password.post("/api/v1/projects", json=body)
    clean.by_password.post("/api/v2/organizations", json={"name": "Theirs"})
    (row,) = _rows(clean.commands(monkeypatch)["status"][1], "Instance")
    assert "1 organization, 1 project, " in row
