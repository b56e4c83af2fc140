"""The identity that deploys, made and kept by the bootstrap, against an Infisical at a URL."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infisical_iac.api import contents, identities, login
from infisical_iac.api.client import Client
from infisical_iac.api.identities import DEPLOYER
from infisical_iac.api.universal_auth import (
    attach_universal_auth,
    create_client_secret,
    universal_auth_path,
)
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
_WANTED = bootstrap.DesiredInstance("example", EMAIL, _PORT, _PROJECTS)


@pytest.fixture
def admin(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """The administrator, on a host whose deployer was made just now."""
    file: dict[str, str] = {}

    def write(_: str, text: str) -> None:
        pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
        file.update((name, value) for name, _, value in pairs)

    def deployer(_: int) -> Client:
        return login.universal(anyone, *file.values())

    monkeypatch.setattr(bootstrap, "write", write)
    monkeypatch.setattr(session, "read_env", lambda _: file)
    monkeypatch.setattr(session, "deployer", deployer)
    monkeypatch.setattr(session, "deployer_id", lambda _: file["INFISICAL_CLIENT_ID"])
    with Client(world.standin.url) as anyone:
        client = login.password(anyone, EMAIL, PASSWORD)
        bootstrap._make_deployer(client, _WANTED)
        yield client
        # It rules the organization, which it shares with what other tests make.
        client.delete(f"/api/v1/identities/{_id(client, world.org_id)}")


def _id(admin: Client, organization: str) -> str:
    found = identities.find(admin, organization, DEPLOYER)
    assert found is not None
    return found.id


@pytest.mark.parametrize(
    ("of_identity", "of_login", "told"),
    [
        (
            {"name": "renamed", "metadata": []},
            {},
            f"name renamed → {DEPLOYER}, metadata → managed by infisical-iac",
        ),
        ({"hasDeleteProtection": True}, {}, "delete protection on → off"),
        ({}, {"accessTokenNumUsesLimit": 50}, "accessTokenNumUsesLimit 50 → 0"),
        ({}, {"lockoutThreshold": 1}, "lockoutThreshold 1 → 3"),
        ({"role": "member"}, {}, "role in the organization member → admin"),
    ],
)
def test_what_differs_is_told_and_set_right_and_no_second_one_is_made(
    admin: Client,
    world: World,
    of_identity: dict[str, object],
    of_login: dict[str, object],
    told: str,
) -> None:
    id, there = _id(admin, world.org_id), len(identities.everybody(admin, world.org_id))
    assert bootstrap._deployer_drift(_PORT, _PROJECTS) == ""
    admin.patch(f"/api/v1/identities/{id}", json=of_identity)
    admin.patch(universal_auth_path(id), json=of_login)
    assert bootstrap._deployer_drift(_PORT, _PROJECTS) == told
    bootstrap._make_deployer(admin, _WANTED)
    assert bootstrap._deployer_drift(_PORT, _PROJECTS) == ""
    assert _id(admin, world.org_id) == id
    assert len(identities.everybody(admin, world.org_id)) == there


def test_one_without_a_role_is_told(admin: Client, world: World) -> None:
    id = _id(admin, world.org_id)
    admin.patch(f"/api/v1/identities/{id}", json={"role": "no-access"})
    assert bootstrap._deployer_drift(_PORT, _PROJECTS) == "role in the organization → admin"
    bootstrap._make_deployer(admin, _WANTED)
    assert bootstrap._deployer_drift(_PORT, _PROJECTS) == ""


def _projects(deployer: Client) -> dict[str, str]:
    """Make both projects as deploys make them; their ids by slug."""
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
    ("role", "told"),
    [("viewer", "viewer"), ("member", "member"), ("no-access", "none"), ("", "none")],
)
def test_a_role_in_a_project_that_was_taken_away_is_told_and_given_back(
    admin: Client, world: World, slug: str, is_known: bool, role: str, told: str
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
    assert (
        bootstrap._deployer_drift(_PORT, projects) == f"role in the project {slug} {told} → admin"
    )
    bootstrap._make_deployer(admin, replace(_WANTED, projects=projects))
    time.sleep(2 * CACHE_SECONDS)
    assert bootstrap._deployer_drift(_PORT, projects) == ""
    assert contents.project(session.deployer(_PORT), slug) is not None


def test_of_a_project_that_is_not_there_nothing_is_told(admin: Client, world: World) -> None:
    gone = {"never-made": "", "deleted-since": "00000000-0000-4000-8000-000000000000"}
    assert bootstrap.seats_drift(session.deployer(_PORT), _id(admin, world.org_id), gone) == []


def test_where_the_administrator_is_no_member_of_the_project_he_becomes_one(
    admin: Client, world: World
) -> None:
    id = _lose(admin, world, "lost-one")
    projects = {"lost-one": id}
    assert bootstrap._deployer_drift(_PORT, projects) == "role in the project lost-one none → admin"
    bootstrap._make_deployer(admin, replace(_WANTED, projects=projects))
    assert bootstrap._deployer_drift(_PORT, projects) == ""


def test_where_nobody_can_give_the_role_back_the_refusal_says_what_to_do(
    admin: Client, world: World
) -> None:
    _lose(admin, world, "unknown-one")
    # Only by its slug, which does not tell who is no member which project it is.
    projects = {"unknown-one": ""}
    with pytest.raises(UserError, match="make one of both an admin of it in Infisical"):
        bootstrap._make_deployer(admin, replace(_WANTED, projects=projects))


def _lose(admin: Client, world: World, slug: str) -> str:
    """Make a project that neither the deployer nor the administrator is in; its id."""
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
