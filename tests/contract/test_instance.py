"""Test that drift of the instance and of the deployer is reported and repaired, at a URL."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from infisical_iac.agent import contents, identities
from infisical_iac.agent.identities import (
    DEPLOYER,
    attach_universal_auth,
    create_client_secret,
    universal_auth_path,
)
from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, UserError
from infisical_iac.stack import session
from infisical_iac.workspace import bootstrap, canary

from .conftest import CACHE_SECONDS
from .world import EMAIL, PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .world import World

_PORT = 8080
_SLUG = "of-the-deployer"
_PROJECTS = {_SLUG: "", canary.SLUG: ""}
_DESIRED = bootstrap.DesiredInstance("example", EMAIL, _PORT, _PROJECTS)


@pytest.fixture
def admin(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """The administrator of a host whose deployer has just been made."""
    file: dict[str, str] = {}

    def write(_: str, text: str) -> None:
        pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
        file.update((name, value) for name, _, value in pairs)

    def deployer(_: int) -> Client:
        return login.universal(anyone, *file.values())

    monkeypatch.setattr(bootstrap, "state", SimpleNamespace(is_executing=True))
    monkeypatch.setattr(bootstrap, "perform", lambda *_, **__: None)
    monkeypatch.setattr(bootstrap, "write", write)
    monkeypatch.setattr(session, "forget", lambda: None)
    monkeypatch.setattr(session, "read_env", lambda _: file)
    monkeypatch.setattr(session, "deployer", deployer)
    monkeypatch.setattr(session, "deployer_id", lambda _: file["INFISICAL_CLIENT_ID"])
    with Client(world.standin.url) as anyone:
        client = login.password(anyone, EMAIL, PASSWORD)
        monkeypatch.setattr(session, "api", lambda _: anyone)
        monkeypatch.setattr(session, "administrator", lambda _: client)
        bootstrap._make_deployer(client, _DESIRED)
        yield client
        # The deployer is an admin of the organization, which other tests use too.
        client.delete(f"/api/v1/identities/{_id(client, world.org_id)}")


def _id(admin: Client, organization: str) -> str:
    found = identities.find(admin, organization, DEPLOYER)
    assert found is not None
    return found.id


@pytest.mark.real
@pytest.mark.parametrize(
    ("of_identity", "of_login", "field", "change"),
    [
        (
            {"name": "renamed", "metadata": []},
            {},
            "name",
            f"renamed → {DEPLOYER}, metadata → managed by infisical-iac",
        ),
        ({"hasDeleteProtection": True}, {}, "delete protection", "on → off"),
        ({}, {"accessTokenNumUsesLimit": 50}, "accessTokenNumUsesLimit", "50 → 0"),
        ({}, {"lockoutThreshold": 1}, "lockoutThreshold", "1 → 3"),
        ({"role": "member"}, {}, "role in the organization", "member → admin"),
    ],
)
def test_drift_of_the_deployer_is_repaired_and_no_second_one_is_made(
    admin: Client,
    world: World,
    of_identity: dict[str, object],
    of_login: dict[str, object],
    field: str,
    change: str,
) -> None:
    id, there = _id(admin, world.org_id), len(identities.everybody(admin, world.org_id))
    assert bootstrap._deployer_drift(_PORT, _PROJECTS) == ""
    for path, body in (
        (f"/api/v1/identities/{id}", of_identity),
        (universal_auth_path(id), of_login),
    ):
        if body:
            admin.patch(path, json=body)
    assert bootstrap._deployer_drift(_PORT, _PROJECTS) == f"{field} {change}"
    bootstrap._make_deployer(admin, _DESIRED)
    assert bootstrap._deployer_drift(_PORT, _PROJECTS) == ""
    assert _id(admin, world.org_id) == id
    assert len(identities.everybody(admin, world.org_id)) == there


@pytest.mark.real
def test_a_deployer_without_a_role_is_reported_and_gets_it_back(
    admin: Client, world: World
) -> None:
    id = _id(admin, world.org_id)
    admin.patch(f"/api/v1/identities/{id}", json={"role": "no-access"})
    assert bootstrap._deployer_drift(_PORT, _PROJECTS).endswith("organization → admin")
    bootstrap._make_deployer(admin, _DESIRED)
    assert bootstrap._deployer_drift(_PORT, _PROJECTS) == ""


def _projects(deployer: Client) -> dict[str, str]:
    """Make both projects as deploys do, and return their ids by slug."""
    found = {}
    for slug in _PROJECTS:
        if contents.project(deployer, slug) is None:
            body = {"projectName": slug, "slug": slug, "shouldCreateDefaultEnvs": False}
            id = deployer.post("/api/v1/projects", json=body)["project"]["id"]
            person = {"usernames": [EMAIL], "emails": [], "roleSlugs": ["admin"]}
            deployer.post(f"/api/v1/projects/{id}/memberships", json=person)
        project = contents.project(deployer, slug)
        assert project is not None
        found[slug] = str(project["id"])
    return found


@pytest.mark.parametrize("slug", _PROJECTS)
@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize(
    ("role", "shown"),
    [
        ("viewer", "viewer"),
        ("member", "member"),
        ("no-access", "none"),
        pytest.param("", "none", marks=pytest.mark.real),
    ],
)
def test_a_lost_role_in_a_project_is_reported_and_given_back(
    admin: Client, world: World, slug: str, is_known: bool, role: str, shown: str
) -> None:
    deployer, own = session.deployer(_PORT), _id(admin, world.org_id)
    ids = _projects(deployer)
    projects = ids if is_known else _PROJECTS
    assert bootstrap.seats_drift(deployer, own, projects) == []
    seat = f"/api/v1/projects/{ids[slug]}/memberships/identities/{own}"
    if role:
        admin.patch(seat, json={"roles": [{"role": role, "isTemporary": False}]})
    else:
        admin.delete(seat)
    time.sleep(2 * CACHE_SECONDS)
    assert bootstrap._deployer_drift(_PORT, projects).endswith(f" {slug} {shown} → admin")
    bootstrap._make_deployer(admin, replace(_DESIRED, projects=projects))
    time.sleep(2 * CACHE_SECONDS)
    assert bootstrap._deployer_drift(_PORT, projects) == ""
    assert contents.project(session.deployer(_PORT), slug) is not None


@pytest.mark.real
def test_a_project_that_does_not_exist_is_not_drift(admin: Client, world: World) -> None:
    gone = {"never-made": "", "deleted-since": "00000000-0000-4000-8000-000000000000"}
    assert bootstrap.seats_drift(session.deployer(_PORT), _id(admin, world.org_id), gone) == []


@pytest.mark.real
def test_the_administrator_joins_a_project_to_give_the_role_back(
    admin: Client, world: World
) -> None:
    id = _make_project_without_members(admin, world, "lost-one")
    projects = {"lost-one": id}
    assert bootstrap._deployer_drift(_PORT, projects).endswith(" lost-one none → admin")
    bootstrap._make_deployer(admin, replace(_DESIRED, projects=projects))
    assert bootstrap._deployer_drift(_PORT, projects) == ""


@pytest.mark.real
def test_a_role_that_cannot_be_restored_is_refused(admin: Client, world: World) -> None:
    _make_project_without_members(admin, world, "unknown-one")
    # Only members can find the project by its slug.
    projects = {"unknown-one": ""}
    with pytest.raises(UserError, match="unknown-one"):
        bootstrap._make_deployer(admin, replace(_DESIRED, projects=projects))


# The fields of the organization and of the instance that deploys keep as people set them: the value
# that the test sets, and the reason.
_OF_A_PRODUCT = (False, "shows or hides a product of the web interface")
_OF_SHARING = "concerns links by which people share a text; this project makes none"
_OF_LOGINS = "a way for people to log in that this project does not set up"
_OF_A_TOOL = ("fake", "an app of the web interface that this project does not use")
LEFT: dict[str, dict[str, tuple[object, str]]] = {
    "organization": {
        "slug": ("moved-elsewhere", "the server chooses it, and nothing here uses it"),
        "defaultMembershipRoleSlug": (
            "no-access",
            "for people without an invitation, who are reported as members",
        ),
        "selectedMfaMethod": ("totp", "people choose their second factor"),
        "allowSecretSharingOutsideOrganization": (False, _OF_SHARING),
        "bypassOrgAuthEnabled": (True, _OF_LOGINS),
        "userTokenExpiration": ("10d", "people choose how long they stay logged in"),
        "secretsProductEnabled": _OF_A_PRODUCT,
        "pkiProductEnabled": _OF_A_PRODUCT,
        "kmsProductEnabled": _OF_A_PRODUCT,
        "sshProductEnabled": _OF_A_PRODUCT,
        "scannerProductEnabled": _OF_A_PRODUCT,
        "shareSecretsProductEnabled": _OF_A_PRODUCT,
        "maxSharedSecretLifetime": (3600, _OF_SHARING),
        "maxSharedSecretViewLimit": (1, _OF_SHARING),
        "blockDuplicateSecretSyncDestinations": (True, "each secret sync is reported"),
        "allowCrossProjectSecretSharing": (
            True,
            "each import is reported, from any project",
        ),
    },
    "instance": {
        "allowedSignUpDomain": ("example.com", "nobody signs up at all"),
        "trustSamlEmails": (True, _OF_LOGINS),
        "trustLdapEmails": (True, _OF_LOGINS),
        "trustOidcEmails": (True, _OF_LOGINS),
        "defaultAuthOrgId": (None, "which organization a login page proposes"),
        "enabledLoginMethods": (["email", "oidc"], "the server keeps one for the administrator"),
        "slackClientId": _OF_A_TOOL,
        "slackClientSecret": _OF_A_TOOL,
        "microsoftTeamsAppId": _OF_A_TOOL,
        "microsoftTeamsClientSecret": _OF_A_TOOL,
        "microsoftTeamsBotId": _OF_A_TOOL,
        "gitHubAppConnectionClientId": _OF_A_TOOL,
        "gitHubAppConnectionClientSecret": _OF_A_TOOL,
        "gitHubAppConnectionSlug": _OF_A_TOOL,
        "gitHubAppConnectionId": _OF_A_TOOL,
        "gitHubAppConnectionPrivateKey": _OF_A_TOOL,
        "authConsentContent": ("fake words", "a text for people"),
        "pageFrameContent": ("fake words", "a text for people"),
        "envOverrides": ({}, "keys of apps that this project does not use"),
    },
}
# The fields that the server refuses without a license, whatever the value.
LICENSED = (
    "authEnforced",
    "googleSsoAuthEnforced",
    "scimEnabled",
    "enforceMfa",
    "secretShareBrandConfig",
)
REPAIRED = {
    ("organization", "name"): ("Other", "~ organization example: name Other → example"),
    ("instance", "allowSignUp"): (True, "~ sign-up: open → closed"),
}
_PATHS = {
    "organization": "/api/v1/organization/{organizationId}",
    "instance": "/api/v1/admin/config",
}
_TABLES = Path(__file__).parent
_WRITABLE = json.loads((_TABLES / "writable.json").read_text(encoding="utf-8"))


def _due() -> list[str]:
    return [str(each) for each in bootstrap.due(_DESIRED, bootstrap._observe(_DESIRED))]


@pytest.mark.real
@pytest.mark.parametrize(("kind", "field"), [(kind, each) for kind in LEFT for each in LEFT[kind]])
def test_fields_set_by_people_are_kept(admin: Client, world: World, kind: str, field: str) -> None:
    bootstrap._bootstrap(_DESIRED)
    path = _PATHS[kind].format(organizationId=world.org_id)
    value: object = LEFT[kind][field][0]
    if field == "defaultAuthOrgId":
        value = world.org_id
    admin.patch(path, json={field: value})
    assert _due() == []


@pytest.mark.real
@pytest.mark.parametrize(("kind", "field"), REPAIRED)
def test_a_written_field_is_reported_and_repaired(
    admin: Client, world: World, kind: str, field: str
) -> None:
    bootstrap._bootstrap(_DESIRED)
    assert _due() == []
    value, line = REPAIRED[kind, field]
    admin.patch(_PATHS[kind].format(organizationId=world.org_id), json={field: value})
    assert _due() == [line]
    bootstrap._bootstrap(_DESIRED)
    assert _due() == []


@pytest.mark.real
@pytest.mark.parametrize("field", LICENSED)
def test_a_field_that_needs_a_license_is_refused(admin: Client, world: World, field: str) -> None:
    path = _PATHS["organization"].format(organizationId=world.org_id)
    value: object = {} if field == "secretShareBrandConfig" else True
    with pytest.raises(ApiError, match="due to plan restriction"):
        admin.patch(path, json={field: value})


@pytest.mark.parametrize("kind", _PATHS)
def test_each_writable_field_of_the_server_is_in_a_table(kind: str) -> None:
    text = (_TABLES / "openapi-subset.json").read_text(encoding="utf-8")
    content = json.loads(text)["paths"][_PATHS[kind]]["patch"]["requestBody"]["content"]
    fields = content["application/json"]["schema"]["properties"]
    repaired = {field for of, field in REPAIRED if of == kind}
    licensed = {*LICENSED} if kind == "organization" else set()
    assert set(_WRITABLE[kind]) == fields.keys()
    assert repaired | licensed | LEFT[kind].keys() == fields.keys()


def _make_project_without_members(admin: Client, world: World, slug: str) -> str:
    """Make a project without the deployer and the administrator as members; return its id."""
    deployer, own = session.deployer(_PORT), _id(admin, world.org_id)
    body = {"projectName": slug, "slug": slug, "shouldCreateDefaultEnvs": False}
    id = str(deployer.post("/api/v1/projects", json=body)["project"]["id"])
    path = f"/api/v1/projects/{id}/memberships/identities"
    with pytest.raises(ApiError, match="You can't delete your own membership"):
        deployer.delete(f"{path}/{own}")
    other = identities.create(admin, world.org_id, f"other-of-{slug}")
    client_id = attach_universal_auth(admin, other.id, 600, 3600).client_id
    secret = create_client_secret(admin, other.id, "test").value
    deployer.post(f"{path}/{other.id}", json={"roles": [{"role": "admin", "isTemporary": False}]})
    login.universal(admin.with_token(""), client_id, secret).delete(f"{path}/{own}")
    time.sleep(2 * CACHE_SECONDS)
    return id
