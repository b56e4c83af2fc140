"""Test that a plan reports manual changes inside Infisical, and an apply repairs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError
from infisical_iac.workspace.goal import Memory

from .items import Expected
from .project_changes import AUTH, EDITS, DeployedProject, expected_lines, second
from .world import EMAIL, World

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.real

# The fields that can be written, according to the server's own description of July 2026.
WRITABLE: dict[str, list[str]] = json.loads(
    (Path(__file__).parent / "writable.json").read_text(encoding="utf-8")
)

# The fields of this project's objects that deploys keep as people set them, each with the reason.
UNDECLARED: dict[str, dict[str, str]] = {
    "project": {
        "description": "a text for people",
        "pitVersionLimit": "the number of kept versions is a choice of cost, and hides no value",
        "secretSharing": "sharing links is a choice of the people who use the web interface",
        "showSnapshotsLegacy": "shows or hides a page of the web interface",
        "secretDetectionIgnoreValues": "what the scanner of the web interface passes over",
        "enforceEncryptedSecretManagerSecretMetadata": (
            "concerns metadata of secrets, which this project does not write"
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


# For each kind, the path that writes an object, and the fields that only select the object. The
# written fields of an import are below the field `import`.
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
# Kinds that other tests write: privileges of people, and the canary.
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
def project(client: Client, world: World) -> DeployedProject:
    """A deployed project, which each test leaves as the file says."""
    deployed = DeployedProject("by-hand", client, EMAIL, world.deployer_identity.client_id)
    deployed.apply()
    return deployed


@pytest.mark.parametrize(
    ("kind", "field"), [(kind, field) for kind in _WRITTEN for field in WRITABLE[kind]]
)
def test_a_written_field_is_reported_and_repaired_or_left_for_a_reason(
    project: DeployedProject, kind: str, field: str
) -> None:
    hand = EDITS[kind, field]
    hand.change(project)
    due = project.due()
    assert [str(each) for each in due] == expected_lines(project, hand)
    assert bool(due) != (field in UNDECLARED.get(kind, {}))
    assert [str(each) for each in project.apply()] == expected_lines(project, hand)
    assert project.due() == []
    project.remove_strays()


@pytest.mark.parametrize("kind", [*_WRITTEN, *_ELSEWHERE])
def test_each_writable_field_of_the_server_is_in_the_table(kind: str) -> None:
    text = (Path(__file__).parent / "openapi-subset.json").read_text(encoding="utf-8")
    path, place = (_WRITTEN | _ELSEWHERE)[kind]
    body = json.loads(text)["paths"][path]["patch"]["requestBody"]["content"]["application/json"]
    fields = body["schema"]["properties"]
    if kind == "import":
        assert fields.keys() - {*place} == {"import"}
        assert set(WRITABLE[kind]) == fields["import"]["properties"].keys()
    else:
        assert set(WRITABLE[kind]) == fields.keys() - {*place}


def test_reasons_are_given_only_for_fields_that_can_be_written() -> None:
    for kind, reasons in UNDECLARED.items():
        assert reasons.keys() <= set(WRITABLE[kind])


def _expect_renamed(path: str, names: str) -> Expected:
    """Return the change that gives a folder of `qa` its name again."""
    return Expected("~", f"folder {path} in qa", names)


def test_a_folder_renamed_by_hand_gets_its_name_and_keeps_its_secrets(
    project: DeployedProject,
) -> None:
    at = {"projectId": project.memory.project, "environment": "qa"}
    secret = {"secretKey": "A", "secretValue": "fake"}
    body = {**at, "secretPath": "/common/base", "mode": "upsert", "secrets": [secret]}
    project.client.patch("/api/v4/secrets/batch", json=body)
    before = project.folders()
    project.rename("/common/base", "foundation")
    project.rename("/common", "all")
    assert project.apply() == [
        _expect_renamed("/common", "all → common"),
        _expect_renamed("/common/base", "foundation → base"),
    ]
    assert project.folders() == before
    query = {**at, "secretPath": "/api", "includeImports": "true"}
    read = project.client.get("/api/v4/secrets", params=query)
    imported = [each["secretKey"] for one in read["imports"] for each in one["secrets"]]
    assert imported == ["A"]
    assert project.due() == []


def test_folders_with_swapped_names_are_swapped_back(project: DeployedProject) -> None:
    before = project.folders()
    for old, new in (("/shared", "aside"), ("/api", "shared"), ("/aside", "api")):
        project.rename(old, new)
    assert project.apply() == [
        _expect_renamed("/api", "shared → api"),
        _expect_renamed("/shared", "api → shared"),
    ]
    assert project.folders() == before
    assert project.due() == []


def test_only_the_renamed_folder_whose_name_is_taken_is_blocked(
    project: DeployedProject,
) -> None:
    project.rename("/api", "app")
    by_hand = project.client.post("/api/v2/folders", json={**project.place("/"), "name": "api"})
    EDITS["identity", "name"].change(project)
    due = project.due()
    assert [str(each) for each in due] == expected_lines(project, EDITS["identity", "name"])
    assert project.plan().blocked == [Expected("!", "folder /api in qa", "/app")]
    assert project.apply() == due
    assert project.due() == []
    project.client.delete(f"/api/v2/folders/{by_hand['folder']['id']}", json=project.place("/"))
    project.apply()


def test_a_folder_recreated_by_hand_is_adopted(project: DeployedProject) -> None:
    body = {**project.place("/"), "forceDelete": True}
    project.client.delete(project.folder("/api"), json=body)
    again = project.client.post("/api/v2/folders", json={**project.place("/"), "name": "api"})
    done = project.apply()
    assert [each for each in done if (each.kind, each.what.split()[0]) != ("+", "import")] == []
    assert project.folders()["/api"] == again["folder"]["id"]
    project.rename("/api", "app")
    assert project.apply() == [_expect_renamed("/api", "app → api")]


def test_imports_get_their_order_again(project: DeployedProject) -> None:
    sources = [each["importPath"] for each in project.imports()]
    assert sources == ["/shared", "/common/base"]
    EDITS["import", "position"].change(project)
    assert [each["importPath"] for each in project.imports()] == sources[::-1]
    project.apply()
    assert [each["importPath"] for each in project.imports()] == sources


def test_an_identity_renamed_by_hand_gets_its_name_and_stays_the_only_one(
    project: DeployedProject, world: World
) -> None:
    def ids() -> list[str]:
        query = {"orgId": world.org_id, "limit": 1000, "offset": 0}
        listed = project.client.get("/api/v1/identities", params=query)["identities"]
        return sorted(each["identity"]["id"] for each in listed)

    before, id = ids(), project.identity()
    body = {"name": "renamed", "metadata": [{"key": "team", "value": "blue"}]}
    project.client.patch(f"/api/v1/identities/{id}", json=body)
    name = f"{project.name}-api-qa"
    facts = (f"renamed → {name}", "metadata", "infisical-iac")
    assert project.apply() == [Expected("~", f"identity {name}", *facts)]
    assert (ids(), project.identity()) == (before, id)
    metadata = project.client.get(f"/api/v1/identities/{id}")["identity"]["metadata"]
    assert {(each["key"], each["value"]) for each in metadata} == {
        ("managed-by", "infisical-iac"),
        ("team", "blue"),
    }


def test_prune_ends_the_access_of_a_duplicate_of_an_earlier_run(project: DeployedProject) -> None:
    id = second(project)
    planned = project.plan()
    assert planned.due == []
    # Other tests leave identities of their own in this organization.
    of_project = [each for each in planned.foreign if project.name in each.what]
    assert [(each.kind, each.id) for each in of_project] == [("second identity", id)]
    (ended,) = (each for each in project.apply(prune=True) if project.name in each.what)
    assert (ended.kind, f"{project.name}-api-qa" in ended.what) == ("-", True)
    assert all(each in ended.detail for each in (id, "membership", "1 client secret"))
    assert project.client.get(f"{AUTH}/{id}/client-secrets")["clientSecretData"] == []
    with pytest.raises(ApiError, match="404"):
        project.client.get(f"{project.project}/memberships/identities/{id}")
    assert project.plan(prune=True).due == []


def test_a_project_whose_slug_is_taken_is_blocked(
    project: DeployedProject, client: Client, world: World
) -> None:
    EDITS["project", "slug"].change(project)
    body = {"projectName": "Usurper", "slug": project.name, "shouldCreateDefaultEnvs": False}
    usurper = world.deployer.post("/api/v1/projects", json=body).json()["project"]["id"]
    planned = project.plan()
    assert planned.blocked == [Expected("!", f"project {project.name}", "moved-elsewhere")]
    assert planned.due == []
    assert project.apply() == []
    client.patch(f"/api/v1/projects/{usurper}", json={"slug": "usurper"})
    repaired = Expected("~", f"project {project.name}", f"moved-elsewhere → {project.name}")
    assert project.apply() == [repaired]


def test_a_memory_of_an_earlier_release_is_completed(
    project: DeployedProject,
) -> None:
    whole = project.memory
    project.memory = Memory(whole.environments, whole.made)
    assert project.apply() == []
    assert project.memory == whole
