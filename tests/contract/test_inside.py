"""Test that what somebody changes inside Infisical through its API is told, and set right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError
from infisical_iac.workspace.memory import Memory

from .inside import AUTH, HANDS, Inside, expected, second
from .world import EMAIL, World

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.real

# The fields that the server's own description lets somebody write, in July 2026.
WRITABLE: dict[str, list[str]] = json.loads(
    (Path(__file__).parent / "writable.json").read_text(encoding="utf-8")
)

# What can be set of an object that this project makes, and is left as people set it.
UNDECLARED: dict[str, dict[str, str]] = {
    "project": {
        "description": "a text for people",
        "pitVersionLimit": "how many versions are kept is a choice of cost, and hides no value",
        "secretSharing": "sharing links is a choice of the people who use the web interface",
        "showSnapshotsLegacy": "shows or hides a page of the web interface",
        "secretDetectionIgnoreValues": "what the scanner of the web interface passes over",
        "enforceEncryptedSecretManagerSecretMetadata": (
            "concerns metadata of secrets, of which this project writes none"
        ),
    },
    "environment": {},
    "folder": {"description": "a text for people"},
    "import": {},
    "identity": {},
    "universal auth": {},
    "membership": {},
    "privilege": {},
}


# Where each kind is written, and the fields that say which one is meant; those of an import are in
# the field `import`.
_WRITTEN = {
    "project": ("/api/v1/projects/{projectId}", ()),
    "environment": ("/api/v1/projects/{projectId}/environments/{id}", ()),
    "folder": ("/api/v2/folders/{folderId}", ("projectId", "environment", "path")),
    "import": ("/api/v2/secret-imports/{secretImportId}", ("projectId", "environment", "path")),
    "identity": ("/api/v1/identities/{identityId}", ()),
    "universal auth": ("/api/v1/auth/universal-auth/identities/{identityId}", ()),
    "membership": ("/api/v1/projects/{projectId}/memberships/identities/{identityId}", ()),
    "person": ("/api/v1/projects/{projectId}/memberships/{membershipId}", ()),
    "privilege": ("/api/v2/identity-project-additional-privilege/{id}", ()),
}
# Those that other tests write: of people, of the canary.
_ELSEWHERE = {
    "privilege of a person": ("/api/v1/user-project-additional-privilege/{privilegeId}", ()),
    "secret": ("/api/v4/secrets/{secretName}", ("projectId", "environment", "secretPath")),
}


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[Client]:
    with Client(world.standin.url) as anyone:
        deployer = world.deployer_identity
        yield login.universal(anyone, deployer.client_id, deployer.client_secret)


@pytest.fixture(scope="module")
def inside(client: Client, world: World) -> Inside:
    """A deployed workspace, which each test leaves as it should be."""
    deployed = Inside("by-hand", client, EMAIL, world.deployer_identity.client_id)
    deployed.apply()
    return deployed


@pytest.mark.parametrize(
    ("kind", "field"), [(kind, field) for kind in _WRITTEN for field in WRITABLE[kind]]
)
def test_a_field_that_was_written_is_told_and_set_right_or_left_for_a_reason(
    inside: Inside, kind: str, field: str
) -> None:
    hand = HANDS[kind, field]
    hand.change(inside)
    told = inside.told()
    assert told == expected(inside, hand)
    assert bool(told) != (field in UNDECLARED.get(kind, {}))
    assert inside.apply() == told
    assert inside.told() == []
    inside.remove_strays()


@pytest.mark.parametrize("kind", [*_WRITTEN, *_ELSEWHERE])
def test_each_field_that_the_server_lets_somebody_write_is_in_the_table(kind: str) -> None:
    text = (Path(__file__).parent / "openapi-subset.json").read_text(encoding="utf-8")
    path, place = (_WRITTEN | _ELSEWHERE)[kind]
    body = json.loads(text)["paths"][path]["patch"]["requestBody"]["content"]["application/json"]
    fields = body["schema"]["properties"]
    if kind == "import":
        assert fields.keys() - {*place} == {"import"}
        assert set(WRITABLE[kind]) == fields["import"]["properties"].keys()
    else:
        assert set(WRITABLE[kind]) == fields.keys() - {*place}


def test_a_reason_is_given_for_fields_that_can_be_written_alone() -> None:
    for kind, reasons in UNDECLARED.items():
        assert reasons.keys() <= set(WRITABLE[kind])


def test_a_renamed_folder_keeps_its_secrets_and_no_empty_one_is_made(inside: Inside) -> None:
    at = {"projectId": inside.memory.project, "environment": "qa"}
    secret = {"secretKey": "A", "secretValue": "fake"}
    body = {**at, "secretPath": "/common/base", "mode": "upsert", "secrets": [secret]}
    inside.client.patch("/api/v4/secrets/batch", json=body)
    before = inside.folders()
    inside.rename("/common/base", "foundation")
    inside.rename("/common", "all")
    assert inside.apply() == [
        "~ folder /common in qa: name all → common",
        "~ folder /common/base in qa: name foundation → base",
    ]
    assert inside.folders() == before
    query = {**at, "secretPath": "/api", "includeImports": "true"}
    read = inside.client.get("/api/v4/secrets", params=query)
    imported = [each["secretKey"] for one in read["imports"] for each in one["secrets"]]
    assert imported == ["A"]
    assert inside.told() == []


def test_folders_that_swapped_names_are_swapped_back(inside: Inside) -> None:
    before = inside.folders()
    for old, new in (("/shared", "aside"), ("/api", "shared"), ("/aside", "api")):
        inside.rename(old, new)
    assert inside.apply() == [
        "~ folder /api in qa: name shared → api",
        "~ folder /shared in qa: name api → shared",
    ]
    assert inside.folders() == before
    assert inside.told() == []


def test_a_renamed_folder_whose_name_was_given_away_needs_a_person_and_nothing_else_does(
    inside: Inside,
) -> None:
    inside.rename("/api", "app")
    by_hand = inside.client.post("/api/v2/folders", json={**inside.place("/"), "name": "api"})
    HANDS["identity", "name"].change(inside)
    told = inside.told()
    assert told == expected(inside, HANDS["identity", "name"])
    (blocked,) = inside.plan().blocked
    assert blocked.what == "folder /api in qa"
    assert "it is called /app now, and another folder has its name" in blocked.detail
    assert inside.apply() == told
    assert inside.told() == []
    inside.client.delete(f"/api/v2/folders/{by_hand['folder']['id']}", json=inside.place("/"))
    inside.apply()


def test_a_folder_made_again_by_hand_is_taken_over(inside: Inside) -> None:
    body = {**inside.place("/"), "forceDelete": True}
    inside.client.delete(inside.folder("/api"), json=body)
    again = inside.client.post("/api/v2/folders", json={**inside.place("/"), "name": "api"})
    assert [each for each in inside.apply() if not each.startswith("+ import")] == []
    assert inside.folders()["/api"] == again["folder"]["id"]
    inside.rename("/api", "app")
    assert inside.apply() == ["~ folder /api in qa: name app → api"]


def test_the_last_import_wins_again(inside: Inside) -> None:
    sources = [each["importPath"] for each in inside.imports()]
    assert sources == ["/shared", "/common/base"]
    HANDS["import", "position"].change(inside)
    assert [each["importPath"] for each in inside.imports()] == sources[::-1]
    inside.apply()
    assert [each["importPath"] for each in inside.imports()] == sources


def test_a_renamed_identity_keeps_its_credentials_and_no_second_one_is_made(
    inside: Inside, world: World
) -> None:
    def all_of_them() -> list[str]:
        query = {"orgId": world.org_id, "limit": 1000, "offset": 0}
        listed = inside.client.get("/api/v1/identities", params=query)["identities"]
        return sorted(each["identity"]["id"] for each in listed)

    before, id = all_of_them(), inside.identity()
    body = {"name": "renamed", "metadata": [{"key": "team", "value": "blue"}]}
    inside.client.patch(f"/api/v1/identities/{id}", json=body)
    assert inside.apply() == [
        f"~ identity {inside.name}-api-qa: name renamed → {inside.name}-api-qa, "
        "metadata → managed by infisical-iac"
    ]
    assert (all_of_them(), inside.identity()) == (before, id)
    metadata = inside.client.get(f"/api/v1/identities/{id}")["identity"]["metadata"]
    assert {(each["key"], each["value"]) for each in metadata} == {
        ("managed-by", "infisical-iac"),
        ("team", "blue"),
    }


def test_a_duplicate_of_an_earlier_run_loses_its_access_with_prune(inside: Inside) -> None:
    id = second(inside)
    planned = inside.plan()
    assert planned.due == []
    # Other tests leave identities of their own in this organization.
    of_project = [each for each in planned.foreign if inside.name in each.what]
    assert [(each.what, each.id) for each in of_project] == [
        (f"second identity {inside.name}-api-qa", id)
    ]
    assert [each for each in inside.apply(prune=True) if inside.name in each] == [
        f"- access of the duplicate {inside.name}-api-qa: membership and 1 client secret of {id}"
    ]
    assert inside.client.get(f"{AUTH}/{id}/client-secrets")["clientSecretData"] == []
    with pytest.raises(ApiError, match="404"):
        inside.client.get(f"{inside.project}/memberships/identities/{id}")
    assert inside.plan(prune=True).due == []


def test_a_project_whose_slug_was_given_away_needs_a_person(
    inside: Inside, client: Client, world: World
) -> None:
    HANDS["project", "slug"].change(inside)
    body = {"projectName": "Usurper", "slug": inside.name, "shouldCreateDefaultEnvs": False}
    usurper = world.deployer.post("/api/v1/projects", json=body).json()["project"]["id"]
    planned = inside.plan()
    assert [each.what for each in planned.blocked] == [f"project {inside.name}"]
    assert "another project has its slug" in planned.blocked[0].detail
    assert planned.due == []
    assert inside.apply() == []
    client.patch(f"/api/v1/projects/{usurper}", json={"slug": "usurper"})
    assert inside.apply() == [f"~ project {inside.name}: slug moved-elsewhere → {inside.name}"]


def test_a_host_that_only_an_earlier_release_deployed_to_learns_which_object_is_which(
    inside: Inside,
) -> None:
    whole = inside.memory
    inside.memory = Memory(whole.environments, whole.made)
    assert inside.apply() == []
    assert inside.memory == whole
