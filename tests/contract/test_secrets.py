"""Test exchanges about secrets, folders, imports and environments that were not recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ..standin.expansion import expand
from ..standin.secret_values import trim
from .world import ok

if TYPE_CHECKING:
    from .world import Document, World

SECRETS = "/api/v4/secrets"


@pytest.fixture
def place(world: World, request: pytest.FixtureRequest) -> Document:
    """A folder for one test."""
    name = request.node.name.split("[")[0][:60]
    world.folder("/", name)
    return world.place(path=f"/{name}")


def test_a_list_that_has_not_changed_is_answered_with_304(world: World, place: Document) -> None:
    world.write(place["secretPath"], A="1")
    first = world.deployer.get(SECRETS, params=place)
    known = {"If-None-Match": first.headers["etag"]}
    again = world.deployer.get(SECRETS, params=place, headers=known)
    assert (again.status_code, again.content) == (304, b"")
    world.write(place["secretPath"], A="2")
    assert world.deployer.get(SECRETS, params=place, headers=known).status_code == 200


def test_a_secret_is_created_changed_and_deleted(world: World, place: Document) -> None:
    url = f"{SECRETS}/ONE"
    made = ok(world.deployer.post(url, json={**place, "secretValue": " 1 "}))["secret"]
    assert (made["secretValue"], made["version"]) == ("1", 1)
    again = world.deployer.post(url, json={**place, "secretValue": "1"})
    assert again.status_code == 400
    changed = ok(world.deployer.patch(url, json={**place, "secretValue": "2"}))["secret"]
    assert (changed["secretValue"], changed["version"]) == ("2", 2)
    old = ok(world.deployer.get(url, params={**place, "version": 1}))["secret"]
    assert old["secretValue"] == "1"
    ok(world.deployer.request("DELETE", url, json=place))
    assert world.deployer.get(url, params=place).status_code == 404


def test_a_refused_batch_writes_nothing(world: World, place: Document) -> None:
    world.write(place["secretPath"], TAKEN="1")
    secrets = [{"secretKey": key, "secretValue": "x"} for key in ("NEW", "TAKEN")]
    answer = world.deployer.post(f"{SECRETS}/batch", json={**place, "secrets": secrets})
    assert answer.status_code == 400
    shown = ok(world.deployer.get(SECRETS, params=place))["secrets"]
    assert [secret["secretKey"] for secret in shown] == ["TAKEN"]


def test_tags_and_comments_come_back_with_the_secret(world: World, place: Document) -> None:
    tag = {"slug": "from-test", "color": "#000000"}
    url = f"/api/v1/projects/{world.project_id}/tags"
    tag_id = ok(world.deployer.post(url, json=tag))["tag"]["id"]
    secret = {"secretKey": "A", "secretValue": "1", "secretComment": "why", "tagIds": [tag_id]}
    ok(world.deployer.post(f"{SECRETS}/batch", json={**place, "secrets": [secret]}))
    shown = ok(world.deployer.get(SECRETS, params=place))["secrets"][0]
    assert shown["secretComment"] == "why"
    assert shown["tags"] == [{"id": tag_id, **tag, "name": "from-test"}]


def test_imports_come_in_their_order_and_can_be_moved_and_deleted(
    world: World, place: Document
) -> None:
    path = place["secretPath"]
    where = {"projectId": world.project_id, "environment": "production", "path": path}
    sources = [f"{path}/{name}" for name in ("first", "second")]
    for source in sources:
        world.folder(path, source.rsplit("/", 1)[1])
        world.write(source, WHERE=source)
        body = {**where, "import": {"environment": "production", "path": source}}
        ok(world.deployer.post("/api/v2/secret-imports", json=body))
    assert _list_imported(world, place) == sources
    listed = ok(world.deployer.get("/api/v2/secret-imports", params=where))["secretImports"]
    url = f"/api/v2/secret-imports/{listed[1]['id']}"
    ok(world.deployer.patch(url, json={**where, "import": {"position": 1}}))
    assert _list_imported(world, place) == sources[::-1]
    ok(world.deployer.request("DELETE", url, json=where))
    assert _list_imported(world, place) == sources[:1]


def test_a_renamed_folder_keeps_its_contents(world: World, place: Document) -> None:
    path = place["secretPath"]
    where = {"projectId": world.project_id, "environment": "production", "path": path}
    folder = world.folder(path, "old")
    world.folder(f"{path}/old", "inner")
    world.write(f"{path}/old/inner", A="1")
    url = f"/api/v2/folders/{folder['id']}"
    renamed = ok(world.deployer.patch(url, json={**where, "name": "new"}))["folder"]
    assert renamed["path"] == f"{path}/new"
    moved = ok(world.deployer.get(SECRETS, params=world.place(path=f"{path}/new/inner")))
    assert [secret["secretValue"] for secret in moved["secrets"]] == ["1"]


def test_deleting_a_folder_deletes_its_contents(world: World, place: Document) -> None:
    path = place["secretPath"]
    where = {"projectId": world.project_id, "environment": "production", "path": path}
    world.folder(path, "gone")
    world.write(f"{path}/gone", A="1")
    ok(world.deployer.request("DELETE", "/api/v2/folders/gone", json=where))
    answer = world.deployer.get(SECRETS, params=world.place(path=f"{path}/gone"))
    assert answer.status_code == 404


def test_a_soft_deleted_environment_is_listed_separately_and_restored_with_its_secrets(
    world: World,
) -> None:
    project = f"/api/v1/projects/{world.project_id}"
    body = {"name": "Preview", "slug": "preview"}
    made = ok(world.deployer.post(f"{project}/environments", json=body))["environment"]
    world.write("/", "preview", A="1")
    ok(world.deployer.delete(f"{project}/environments/{made['id']}"))
    gone = ok(world.deployer.get(project))["project"]["deletedEnvironments"]
    assert [(each["slug"], each["deletedBy"]["type"]) for each in gone] == [("preview", "identity")]
    assert world.deployer.get(SECRETS, params=world.place("preview")).status_code == 404
    ok(world.deployer.post(f"{project}/environments/{made['id']}/restore", json={}))
    assert len(ok(world.deployer.get(SECRETS, params=world.place("preview")))["secrets"]) == 1
    ok(world.deployer.delete(f"{project}/environments/{made['id']}?hardDelete=true"))
    assert ok(world.deployer.get(project))["project"]["deletedEnvironments"] == []


def test_an_unknown_route_is_a_404_that_names_it(world: World) -> None:
    answer = world.deployer.get("/api/v9/nothing?x=1")
    assert answer.status_code == 404
    assert "GET:/api/v9/nothing?x=1" in answer.json()["message"]


@pytest.mark.parametrize(
    ("value", "stored"),
    [("  a ", "a"), ("a\n\n", "a\n"), ("\n", "\n"), ("", ""), (" a \n", "a\n")],
)
def test_a_value_is_trimmed_and_keeps_one_newline(value: str, stored: str) -> None:
    assert trim(value) == stored


@pytest.mark.parametrize(
    ("value", "expanded"),
    [
        ("${A}", "1"),
        ("${B}", "1"),
        ("${UNKNOWN}.", "."),
        ("${A:-x} $A ${{A}}", "${A:-x} $A ${{A}}"),
        ("${other.folder.C}", "elsewhere"),
        ("${LOOP}", ""),
    ],
)
def test_references_are_expanded(value: str, expanded: str) -> None:
    here = ("production", "/")
    values = {
        (here, "A"): "1",
        (here, "B"): "${A}",
        (here, "LOOP"): "${LOOP}",
        (("other", "/folder"), "C"): "elsewhere",
    }
    assert expand(value, here, lambda place, name: values.get((place, name))) == expanded


def _list_imported(world: World, place: Document) -> list[str]:
    imports = ok(world.deployer.get(SECRETS, params=place))["imports"]
    return [entry["secrets"][0]["secretValue"] for entry in imports]
