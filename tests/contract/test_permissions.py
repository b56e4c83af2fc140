"""Test permissions of people and identities."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from ..standin.permissions import Permissions, Rule, glob_pattern, role_rules
from .conftest import CACHE_SECONDS
from .world import ok

if TYPE_CHECKING:
    import httpx

    from .world import Document, World

READ = ["describeSecret", "readValue"]


def _read_secrets(
    client: httpx.Client, world: World, environment: str, path: str = "/"
) -> list[str]:
    answer = client.get("/api/v4/secrets", params=world.place(environment, path))
    return [secret["secretKey"] for secret in ok(answer)["secrets"]]


def _permission(actions: list[str], **conditions: object) -> Document:
    return {"subject": "secrets", "action": actions, "conditions": conditions}


@pytest.fixture(scope="module", autouse=True)
def _values(world: World) -> None:
    world.folder("/", "api")
    world.folder("/api", "deep")
    for path in ("/", "/api", "/api/deep"):
        world.write(path, "production", HERE=path)
    world.write("/", "development", HERE="development")


def test_a_privilege_opens_its_folder_and_nothing_else(world: World) -> None:
    identity = world.member()
    where = {"environment": {"$eq": "production"}, "secretPath": {"$glob": "/api/**"}}
    world.grant(identity, _permission(READ, **where))
    client = identity.client(world.standin)
    assert _read_secrets(client, world, "production", "/api") == ["HERE"]
    assert _read_secrets(client, world, "production", "/api/deep") == ["HERE"]
    assert _read_secrets(client, world, "production") == []
    assert _read_secrets(client, world, "development") == []
    recursive = {**world.place(), "recursive": "true"}
    shown = ok(client.get("/api/v4/secrets", params=recursive))["secrets"]
    assert [secret["secretPath"] for secret in shown] == ["/api", "/api/deep"]


def test_the_former_list_of_privileges_has_their_permissions(world: World) -> None:
    identity = world.member()
    id = world.grant(identity, _permission(READ, environment={"$eq": "production"}))
    project = ok(world.deployer.get(f"/api/v1/projects/{world.project_id}"))["project"]
    at = {"identityId": identity.id, "projectSlug": project["slug"]}
    (listed,) = ok(world.deployer.get("/api/v1/additional-privilege/identity", params=at))[
        "privileges"
    ]
    single = ok(world.deployer.get(f"/api/v2/identity-project-additional-privilege/{id}"))
    names = ("id", "slug", "isTemporary", "permissions", "createdAt")
    assert {name: listed[name] for name in names} == {
        name: single["privilege"][name] for name in names
    }


def test_description_without_reading_hides_the_value(world: World) -> None:
    identity = world.member()
    world.grant(identity, _permission(["describeSecret"], environment="production"))
    client = identity.client(world.standin)
    secret = ok(client.get("/api/v4/secrets", params=world.place(path="/api")))["secrets"][0]
    assert secret["secretValue"] == "<hidden-by-infisical>"
    assert secret["secretValueHidden"] is True


def test_a_reference_to_a_forbidden_place_is_refused(world: World) -> None:
    world.write("/api", POINTER="${development.HERE}")
    identity = world.member()
    world.grant(identity, _permission(READ, environment="production"))
    answer = identity.client(world.standin).get(
        "/api/v4/secrets/POINTER", params=world.place(path="/api")
    )
    assert answer.status_code == 403
    deployer = world.deployer.get("/api/v4/secrets/POINTER", params=world.place(path="/api"))
    assert ok(deployer)["secret"]["secretValue"] == "development"
    world.deployer.request("DELETE", "/api/v4/secrets/POINTER", json=world.place(path="/api"))


def test_permissions_of_an_identity_are_cached_for_a_while(
    world: World,
) -> None:
    identity = world.member()
    privilege = world.grant(identity, _permission(READ, environment="production"))
    client = identity.client(world.standin)
    assert _read_secrets(client, world, "production") != []
    ok(world.deployer.delete(f"/api/v2/identity-project-additional-privilege/{privilege}"))
    assert _read_secrets(client, world, "production") != []
    time.sleep(CACHE_SECONDS + 0.1)
    assert client.get("/api/v4/secrets", params=world.place()).status_code == 403


def test_a_viewer_reads_every_environment_and_writes_none(world: World) -> None:
    client = world.member("viewer").client(world.standin)
    assert _read_secrets(client, world, "production") != []
    assert _read_secrets(client, world, "development") != []
    write = client.post("/api/v4/secrets/X", json={**world.place(), "secretValue": "x"})
    assert (write.status_code, write.json()["error"]) == (403, "PermissionDenied")


def test_a_member_writes_secrets_and_manages_no_members(world: World) -> None:
    client = world.member("member").client(world.standin)
    ok(client.post("/api/v4/secrets/BY_MEMBER", json={**world.place(), "secretValue": "x"}))
    ok(client.request("DELETE", "/api/v4/secrets/BY_MEMBER", json=world.place()))
    url = f"/api/v1/projects/{world.project_id}/memberships"
    assert client.post(url, json={"emails": ["x@example.com"]}).status_code == 403


def test_an_identity_without_project_sees_no_project(world: World) -> None:
    url = f"/api/v1/projects/{world.project_id}/memberships/identities"
    identity = world.member("viewer")
    client = identity.client(world.standin)
    assert len(ok(client.get("/api/v1/projects"))["projects"]) == 1
    ok(world.deployer.delete(f"{url}/{identity.id}"))
    assert ok(client.get("/api/v1/projects"))["projects"] == []


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("/api/**", "/api/deep/er", True),
        ("/api/**", "/api", True),
        ("/api/**", "/apiary", False),
        ("/api/*", "/api/deep", True),
        ("/api/*", "/api/deep/er", False),
        ("/{api,web}", "/web", True),
        ("/{api,web}", "/other", False),
        ("**", "/any/where", True),
    ],
)
def test_a_glob_matches_paths_by_segment(glob: str, path: str, matches: bool) -> None:
    assert bool(glob_pattern(glob).match(path)) is matches


def test_the_last_rule_that_applies_decides() -> None:
    forbidden = Rule(("secrets",), ("readValue",), {"environment": "production"}, inverted=True)
    permissions = Permissions([*role_rules("viewer"), forbidden])
    assert permissions.can("readValue", "secrets", {"environment": "development"})
    assert not permissions.can("readValue", "secrets", {"environment": "production"})
    assert permissions.can("readValue", "secrets")


@pytest.mark.parametrize(
    ("condition", "value", "holds"),
    [
        ({"$eq": "a"}, "a", True),
        ({"$ne": "a"}, "a", False),
        ({"$in": ["a", "b"]}, "b", True),
        ({"$in": ["a", "b"]}, "c", False),
        ({"$all": ["a", "b"]}, ["b", "a", "c"], True),
        ({"$all": ["a", "b"]}, ["a"], False),
        ({"$glob": "a*", "$ne": "ab"}, "ab", False),
        ("a", "a", True),
    ],
)
def test_a_condition_compares_one_attribute(condition: object, value: object, holds: bool) -> None:
    rule = Rule(("secrets",), ("*",), {"it": condition})
    assert rule.holds_for({"it": value}) is holds
