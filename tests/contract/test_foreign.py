"""Access that nothing in the file gives is told by every command, accepted, and taken away."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, NotBootstrapped

from .first import EMAIL, PASSWORD, set_up
from .services import RedisServer, Standin
from .strangers import ADA, MALLORY, STRANGERS, Project, Stranger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .postgres import Postgres

_WRITE_ALL = {"subject": "secrets", "action": ["create", "edit", "delete"]}
_COMMANDS = ("plan", "drift", "status", "verify")


@pytest.fixture(scope="module")
def project(postgres: Postgres, redis_server: RedisServer) -> Iterator[Project]:
    """A deployed project of an instance of its own, which each test leaves as it should be."""
    uri, url = postgres.create_database("strangers"), redis_server.url_for("strangers")
    standin = Standin(uri, url, STANDIN_PERMISSION_CACHE_SECONDS="0").wait()
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
    if project.told():
        project.apply(prune=True)
        assert project.told() == []


def _begin(told: list[str], begins: tuple[str, ...]) -> bool:
    return len(told) == len(begins) and all(map(str.startswith, told, begins))


def test_of_a_project_as_its_file_says_no_command_tells_anything(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = project.commands(monkeypatch)
    assert ran["plan"] == (0, "Nothing to change.\n")
    assert ran["drift"][0] == 0
    assert ran["status"][0] == 0
    assert "✓ Access       as the file says" in ran["status"][1]
    assert ran["verify"] == (0, "")


@pytest.mark.parametrize("name", STRANGERS)
def test_foreign_access_is_told_by_each_command_accepted_and_pruned(
    clean: Project, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, stranger = clean, STRANGERS[name]
    stranger.make(project)
    told = project.told()
    assert _begin(told, project.named(stranger.whats))
    for command, (status, output) in project.commands(monkeypatch).items():
        assert [each for each in told if each not in output] == [], command
        assert status == (0 if command == "plan" else 2 if command == "drift" else 1), command

    assert project.apply() == []
    project.accepted.extend({"what": each, "reason": "wanted by a test"} for each in told)
    ran = project.commands(monkeypatch)
    assert [ran[command][0] for command in _COMMANDS] == [0, 0, 0, 0]
    assert [each for each in told if any(each in output for _, output in ran.values())] == []
    assert project.apply(prune=True) == []

    project.accepted.clear()
    done = project.apply(prune=True)
    assert _begin(done, project.named(stranger.pruned))


def test_a_role_that_the_file_does_not_give_a_person_is_a_change(clean: Project) -> None:
    path = f"{clean.path}/memberships/{clean.seat(ADA)}"
    clean.deployer.patch(path, json={"roles": [{"role": "admin"}]})
    assert [str(each) for each in clean.plan().due] == [
        f"~ person {ADA}: project role admin → no-access"
    ]
    clean.apply()


def test_who_left_the_file_is_told_by_each_command_until_pruned(
    clean: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean.people.clear()
    what = f"person {ADA} with role no-access"
    ran = clean.commands(monkeypatch)
    assert [what in ran[command][1] for command in _COMMANDS] == [True] * 4
    assert f"* {what}: the file names it no more; made at 20" in ran["plan"][1]
    assert clean.apply() == []
    assert clean.apply(prune=True) == [f"- person {ADA}: no member of the project any more"]
    clean.people[ADA] = {"qa": "viewer"}
    clean.apply()


def test_a_service_that_left_the_file_is_told_by_each_command_until_pruned(
    clean: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean.services["web"] = {"folder": "/web"}
    clean.apply()
    del clean.services["web"]
    what = "identity web-qa with role no-access"
    assert clean.told() == [what]
    ran = clean.commands(monkeypatch)
    assert [what in ran[command][1] for command in _COMMANDS] == [True] * 4
    assert "- identity web-qa" in clean.apply(prune=True)


def test_who_made_a_service_token_is_told_with_the_time(clean: Project) -> None:
    STRANGERS["a service token"].make(clean)
    (found,) = clean.plan().foreign
    assert found.made_by == EMAIL
    assert found.data["made_at"][:2] == "20"
    assert str(found.item).split("; ")[1] == f"made by {EMAIL} at {found.made_at}"


def test_two_of_one_name_are_accepted_by_their_id_alone(clean: Project) -> None:
    ids = [clean.make_identity("ci-runner") for _ in range(2)]
    clean.join(ids[0])
    what = "identity ci-runner with role viewer"
    clean.accepted.append({"what": what, "reason": "previews"})
    assert clean.told() == []
    clean.join(ids[1])
    plan = clean.plan()
    assert [each.what for each in plan.foreign] == [what, what]
    (note,) = plan.notes
    assert ids[0] in note
    assert ids[1] in note
    clean.accepted[0]["id"] = ids[0]
    assert [each.id for each in clean.plan().foreign] == [ids[1]]


def test_an_accepted_identity_of_another_role_is_told_and_its_entry_is_stale(
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
    assert plan.notes == [
        f"accepted: there is no {what.format('viewer')!r} any more: remove the entry"
    ]


def test_an_accepted_privilege_that_permits_something_else_is_told_again(clean: Project) -> None:
    stranger: Stranger = STRANGERS["a privilege of a person"]
    stranger.make(clean)
    (found,) = clean.plan().foreign
    clean.accepted.append({"what": found.what, "reason": "break glass"})
    assert clean.told() == []
    everything = [{"subject": "secrets", "action": ["delete"]}]
    path = f"/api/v1/user-project-additional-privilege/{found.id}"
    clean.by_password.patch(path, json={"permissions": everything})
    assert clean.told() != []
    assert clean.told() != [found.what]


def test_what_only_the_administrator_sees_is_noted_where_he_can_not_log_in(
    clean: Project,
) -> None:
    STRANGERS["a service token"].make(clean)
    STRANGERS["a person in the project"].make(clean)
    by_password, people = clean.by_password, dict(clean.people)
    token = {"what": "service token legacy to read /** in qa", "reason": "old site"}
    clean.accepted.append(token)
    # Who may not see them gets the same answer as the deployer.
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
    assert note.startswith("service tokens and privileges of persons were not looked at")


def test_people_are_left_as_they_are_where_the_administrator_can_not_log_in(
    clean: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> Client:
        raise NotBootstrapped("a second factor is demanded")

    STRANGERS["an identity in the project"].make(clean)
    path = f"{clean.path}/memberships/{clean.seat(ADA)}"
    clean.deployer.patch(path, json={"roles": [{"role": "viewer"}]})
    reached = clean.reached
    monkeypatch.setattr(clean, "reached", lambda: replace(reached(), admin=refuse))
    plan = clean.plan()
    assert plan.due == []
    assert [each.what for each in plan.foreign] == ["identity ci-runner with role viewer"]
    (note,) = plan.notes
    assert note.endswith("a second factor is demanded; people of the file are left as they are")
    monkeypatch.undo()
    assert clean.apply() == [f"~ person {ADA}: project role viewer → no-access"]


def test_a_secret_sync_is_told_accepted_and_pruned(clean: Project) -> None:
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
    assert clean.told() == [what]
    clean.accepted.append({"what": what, "reason": "a build"})
    assert clean.told() == []
    clean.accepted.clear()
    assert clean.apply(prune=True) == [f"- {what}: what it has sent stays where it is"]


def test_an_import_that_is_not_the_files_is_told_where_services_import_nothing(
    clean: Project,
) -> None:
    STRANGERS["an import into the folder of a service"].make(clean)
    (found,) = clean.plan().foreign
    assert (found.kind, found.why) == ("import", "may give services other values")
    assert clean.apply() == []


def test_privileges_are_told_where_isolation_rests_on_the_role_too(clean: Project) -> None:
    people = dict(clean.people)
    clean.people.clear()
    clean.isolation = "viewer"
    try:
        clean.apply(prune=True)
        assert clean.told() == []
        body = {"slug": "write-all", "type": {"isTemporary": False}, "permissions": [_WRITE_ALL]}
        body |= {"identityId": clean.identity(), "projectId": clean.memory.project}
        clean.deployer.post("/api/v2/identity-project-additional-privilege", json=body)
        STRANGERS["a privilege of another identity"].make(clean)
        assert _begin(
            clean.told(),
            (
                "privilege wide-open of ci-runner, permissions ",
                "privilege write-all of api-qa, permissions ",
                "identity ci-runner with role viewer",
            ),
        )
        assert "- privilege write-all of api-qa" in clean.apply(prune=True)
        assert clean.told() == []
    finally:
        clean.isolation = "privilege"
        clean.people.update(people)
        clean.apply()


def test_a_file_of_an_earlier_release_tells_the_deployers_own_client_secret_by_its_beginning(
    clean: Project,
) -> None:
    id = _deployer_identity(clean.deployer)
    path = f"/api/v1/auth/universal-auth/identities/{id}/client-secrets"
    (own,) = clean.deployer.get(path)["clientSecretData"]
    by_id, clean.secret_id = clean.secret_id, own["clientSecretPrefix"]
    try:
        assert clean.told() == []
        STRANGERS["a client secret of the deployer"].make(clean)
        whats = STRANGERS["a client secret of the deployer"].whats
        assert clean.told() == [*whats]
        assert clean.apply(prune=True) == [f"- {whats[0]}: with its tokens"]
        assert [each["id"] for each in clean.deployer.get(path)["clientSecretData"]] == [by_id]
    finally:
        clean.secret_id = by_id


def test_a_note_says_so_where_the_deployers_own_client_secret_can_not_be_told(
    clean: Project,
) -> None:
    by_id, clean.secret_id = clean.secret_id, ""
    try:
        assert clean.plan().notes == []  # the only one is its own
        STRANGERS["a client secret of the deployer"].make(clean)
        (note,) = clean.plan().notes
        assert note.startswith("client secrets of the deployer were not looked at")
        assert clean.told() == []
    finally:
        clean.secret_id = by_id


def test_prune_takes_effect_at_once(clean: Project) -> None:
    STRANGERS["token auth of a service"].make(clean)
    path = f"/api/v1/auth/token-auth/identities/{clean.identity()}"
    token = clean.deployer.post(f"{path}/tokens", json={})["accessToken"]
    holder = clean.deployer.with_token(token)
    holder.get("/api/v1/identities/details")
    clean.apply(prune=True)
    with pytest.raises(ApiError, match="401"):
        holder.get("/api/v1/identities/details")


def test_status_counts_what_members_made_for_themselves(
    clean: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = clean.commands(monkeypatch)["status"][1]
    assert "✓ Instance     " in before
    clean.make_identity("of-somebody")
    body = {"projectName": "Theirs", "slug": "theirs", "shouldCreateDefaultEnvs": False}
    clean.by_password.post("/api/v1/projects", json=body)
    clean.by_password.post("/api/v2/organizations", json={"name": "Theirs"})
    (line,) = (
        each for each in clean.commands(monkeypatch)["status"][1].splitlines() if "Instance" in each
    )
    assert "1 organization, 1 project, " in line
    assert line.endswith("besides what is declared")
