"""Test deploying a project twice, and after every kind of drift, with a fake in memory."""

from contextlib import suppress
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infisical_iac.agent.identities import MARKER
from infisical_iac.core.errors import UserError
from infisical_iac.workspace.converge import apply
from infisical_iac.workspace.goal import Memory
from tests.unit.deployment import (
    ADMIN,
    TEXT,
    Deployment,
    folder,
    import_of,
    make_deployment,
    order_of_imports,
    update,
)
from tests.unit.drifts import DRIFTS
from tests.unit.fake_state import Refused


@pytest.fixture
def deployment() -> Deployment:
    made = make_deployment()
    made.server.requests.clear()
    return made


def test_a_first_deploy_makes_everything_and_a_second_changes_nothing() -> None:
    deployment = Deployment()
    done = deployment.deploy()
    assert done[:3] == [
        "+ project chainalign",
        f"+ project member {ADMIN}: role admin",
        "+ environment development",
    ]
    assert f"+ {folder('/services', 'staging')}" in done
    assert f"+ {import_of('/shared', '/backend', 'production')}" in done
    assert "+ identity backend-production" in done
    assert deployment.changes() == []


def test_an_up_to_date_project_is_read_with_few_requests_and_no_writes(
    deployment: Deployment,
) -> None:
    assert deployment.changes() == []
    assert {method for method, _, _ in deployment.server.requests} == {"GET"}
    assert len(deployment.server.requests) <= 60


def test_privileges_are_read_one_by_one_where_no_list_has_their_permissions(
    deployment: Deployment,
) -> None:
    def refuse(_: Any) -> Any:
        raise Refused(404, "NotFound", "Route not found")

    deployment.server.routes.insert(0, ("GET", "/v1/additional-privilege/identity", refuse))
    assert deployment.changes() == []
    single = "/api/v2/identity-project-additional-privilege/"
    assert [path for _, path, _ in deployment.server.requests if path.startswith(single)]


def test_a_service_may_read_its_own_and_its_imported_folders_only(deployment: Deployment) -> None:
    backend = deployment.server.identity("backend-production")["id"]
    (privilege,) = (
        each for each in deployment.server.privileges.values() if each["identityId"] == backend
    )
    assert privilege["slug"] == "read-own-folder"
    assert privilege["permissions"] == [
        {
            "subject": "secrets",
            "action": ["describeSecret", "readValue"],
            "conditions": {"environment": {"$eq": "production"}, "secretPath": {"$eq": folder}},
        }
        for folder in ("/backend", "/shared")
    ]
    assert deployment.server.members[backend] == [{"role": "no-access", "isTemporary": False}]


def test_viewer_isolation_grants_the_role_and_avoids_the_privilege_api() -> None:
    deployment = Deployment()
    deployment.deploy(isolation="viewer")
    backend = deployment.server.identity("backend-staging")["id"]
    assert deployment.server.members[backend] == [{"role": "viewer", "isTemporary": False}]
    assert not any("privilege" in path for _, path, _ in deployment.server.requests)
    assert deployment.changes(isolation="viewer") == []


@pytest.mark.parametrize("drift", DRIFTS)
def test_a_drift_is_found_named_and_repaired_in_one_pass(
    deployment: Deployment, drift: str
) -> None:
    spoil, expected = DRIFTS[drift]
    spoil(deployment.server)
    if drift == "folder deleted":
        into = (deployment.server.environment("staging")["id"], "/backend")
        deployment.server.imports = [
            each for each in deployment.server.imports if each["into"] != into
        ]
        expected = [*expected, "+ import of /shared into /backend in staging"]
    assert deployment.deploy() == expected
    assert deployment.changes() == []


@settings(max_examples=settings().max_examples // 2)
@given(drifts=st.lists(st.sampled_from(sorted(DRIFTS)), unique=True, min_size=2))
def test_simultaneous_drifts_are_repaired(drifts: list[str]) -> None:
    deployment = make_deployment()
    for drift in drifts:
        # An earlier drift may have removed the object of the next.
        with suppress(Refused, StopIteration, LookupError):
            DRIFTS[drift][0](deployment.server)
    assert deployment.converge()
    assert deployment.changes() == []


def test_two_environments_that_swapped_slugs_are_swapped_back(deployment: Deployment) -> None:
    staging, production = (deployment.server.environment(s) for s in ("staging", "production"))
    staging["slug"], production["slug"] = production["slug"], staging["slug"]
    assert deployment.deploy() == [
        update("environment staging", "slug", "production", "staging"),
        update("environment production", "slug", "staging", "production"),
    ]
    assert (staging["slug"], production["slug"]) == ("staging", "production")
    assert deployment.changes() == []


def test_a_renamed_environment_whose_slug_is_taken_is_blocked(deployment: Deployment) -> None:
    deployment.server.environment("staging")["slug"] = "stage"
    deployment.server.environments.append(
        {"id": "new", "slug": "staging", "name": "Staging", "position": 9}
    )
    deployment.server.folders["new"] = set()
    (blocked,) = deployment.changes()
    assert (blocked.kind, blocked.what) == ("!", "environment staging")
    assert "slug is now stage" in blocked.detail


def test_a_renamed_and_deleted_environment_is_restored_with_its_slug(
    deployment: Deployment,
) -> None:
    id = deployment.server.environment("staging")["id"]
    deployment.server.environment("staging")["slug"] = "stage"
    deployment.server.delete_environment("stage")
    deployment.deploy()
    assert deployment.server.environment("staging")["id"] == id


def test_a_project_of_an_earlier_release_is_not_made_twice(
    deployment: Deployment,
) -> None:
    assert deployment.server.project is not None
    deployment.server.project["slug"] = "renamed"
    deployment.remembered = Memory(deployment.remembered.environments)
    (blocked,) = deployment.changes()
    assert blocked.kind == "!"
    assert all(each in blocked.detail for each in ("slug 'renamed'", "'chainalign'"))


def test_a_file_that_names_another_project_does_not_rename_the_project_of_the_last_run(
    deployment: Deployment,
) -> None:
    (blocked,) = deployment.changes(TEXT.replace("slug: chainalign", "slug: another"))
    assert blocked.kind == "!"
    assert all(each in blocked.detail for each in ("slug 'chainalign'", "'another'"))


@pytest.mark.parametrize("folder", ["/backend", "/shared", "/services", "/services/python"])
def test_a_renamed_folder_gets_its_name_back_and_keeps_its_contents(
    deployment: Deployment, folder: str
) -> None:
    staging = deployment.server.environment("staging")["id"]
    before = {
        path: deployment.server.folder_id(staging, path)
        for path in deployment.server.folders[staging]
    }
    deployment.server.rename_folder(staging, folder, "renamed")
    name = folder.rpartition("/")[2]
    assert deployment.deploy() == [f"~ folder {folder} in staging: name renamed → {name}"]
    after = {
        path: deployment.server.folder_id(staging, path)
        for path in deployment.server.folders[staging]
    }
    assert after == before
    assert deployment.changes() == []


def test_a_folder_and_its_parent_get_their_names_back(deployment: Deployment) -> None:
    staging = deployment.server.environment("staging")["id"]
    deployment.server.rename_folder(staging, "/services/python", "snake")
    deployment.server.rename_folder(staging, "/services", "all")
    assert deployment.deploy() == [
        update(folder("/services", "staging"), "name", "all", "services"),
        update(folder("/services/python", "staging"), "name", "snake", "python"),
    ]
    assert deployment.changes() == []


def test_two_folders_that_swapped_names_are_swapped_back(deployment: Deployment) -> None:
    server, staging = deployment.server, deployment.server.environment("staging")["id"]
    shared = server.folder_id(staging, "/shared")
    for old, new in (("/shared", "aside"), ("/backend", "shared"), ("/aside", "backend")):
        server.rename_folder(staging, old, new)
    assert deployment.deploy() == [
        update(folder("/backend", "staging"), "name", "shared", "backend"),
        update(folder("/shared", "staging"), "name", "backend", "shared"),
    ]
    assert server.folder_id(staging, "/shared") == shared
    assert deployment.changes() == []


def test_a_renamed_folder_whose_name_is_taken_is_blocked(deployment: Deployment) -> None:
    staging = deployment.server.environment("staging")["id"]
    deployment.server.rename_folder(staging, "/backend", "be")
    deployment.server.folders[staging].add("/backend")
    deployment.server.kept_ids[staging, "/backend"] = "by-hand"
    (blocked,) = deployment.changes()
    assert (blocked.kind, blocked.what) == ("!", folder("/backend", "staging"))
    assert "its name is now /be" in blocked.detail


def test_a_manually_re_created_folder_is_adopted(deployment: Deployment) -> None:
    staging = deployment.server.environment("staging")["id"]
    deployment.server.kept_ids[staging, "/services/python"] = "by-hand"
    assert deployment.deploy() == []
    assert deployment.remembered.folders[staging]["/services/python"] == "by-hand"
    deployment.server.rename_folder(staging, "/services/python", "snake")
    assert deployment.deploy() == [
        update(folder("/services/python", "staging"), "name", "snake", "python")
    ]


def test_a_folder_renamed_in_a_renamed_environment_is_found(deployment: Deployment) -> None:
    staging = deployment.server.environment("staging")
    deployment.server.rename_folder(staging["id"], "/backend", "be")
    staging["slug"] = "stage"
    assert deployment.deploy() == [
        update("environment staging", "slug", "stage", "staging"),
        update(folder("/backend", "staging"), "name", "be", "backend"),
    ]
    assert deployment.changes() == []


IMPORTING = TEXT.replace("[/shared]", "[/shared, /common, /more]")


@pytest.mark.parametrize("order", list(permutations(range(1, 4)))[1:])
@pytest.mark.parametrize("foreign", [None, 1, 2, 3, 4])
def test_the_order_of_imports_is_restored_among_foreign_imports(
    order: tuple[int, ...], foreign: int | None
) -> None:
    deployment = make_deployment(IMPORTING)
    staging = deployment.server.environment("staging")["id"]
    into = [each for each in deployment.server.imports if each["into"] == (staging, "/backend")]
    for each, position in zip(into, order, strict=True):
        each["position"] = position + (foreign is not None and position >= foreign)
    if foreign:
        theirs = {"id": "theirs", "into": (staging, "/backend"), "importPath": "/theirs"}
        deployment.server.imports.append(
            {**theirs, "importEnv": {"id": staging}, "position": foreign}
        )
    (output,) = deployment.deploy(IMPORTING)
    assert output.startswith(f"~ {order_of_imports('/backend', 'staging')}: order ")
    assert output.endswith(" → /shared, /common, /more")
    assert deployment.changes(IMPORTING) == []
    assert bool(foreign) == ("theirs" in {each["id"] for each in deployment.server.imports})


def test_a_deleted_import_is_restored_at_its_position(deployment: Deployment) -> None:
    deployment.deploy(IMPORTING)
    deployment.server.imports = [
        each for each in deployment.server.imports if each["importPath"] != "/shared"
    ]
    output = deployment.deploy(IMPORTING)
    assert output[:2] == [
        f"+ {import_of('/shared', '/backend', 'development')}",
        update(
            order_of_imports("/backend", "development"),
            *("order", "/common, /more, /shared", "/shared, /common, /more"),
        ),
    ]
    assert deployment.changes(IMPORTING) == []


def test_a_renamed_identity_is_kept_and_no_second_identity_is_created(
    deployment: Deployment,
) -> None:
    server = deployment.server
    server.identity("backend-staging").update(name="renamed", metadata=[])
    theirs = {"id": "theirs", "name": "backend-staging", "role": "member", "metadata": [MARKER]}
    server.identities["theirs"] = theirs
    (done,) = deployment.deploy()
    name, metadata = done.split(", ")
    assert name == update("identity backend-staging", "name", "renamed", "backend-staging")
    assert metadata.startswith("metadata → managed by")
    assert deployment.changes() == []


def test_metadata_of_others_are_kept_when_the_mark_is_set_again(deployment: Deployment) -> None:
    identity = deployment.server.identity("backend-staging")
    identity["metadata"] = [{"key": "team", "value": "blue"}]
    deployment.deploy()
    assert identity["metadata"] == [MARKER, {"key": "team", "value": "blue"}]


def test_a_restored_environment_is_completed_in_the_next_pass(deployment: Deployment) -> None:
    staging = deployment.server.environment("staging")["id"]
    deployment.server.delete_environment("staging")
    deployment.server.folders[staging].remove("/shared")
    output = deployment.converge()
    assert output[-1] == "+ folder /shared in staging"
    assert deployment.changes() == []


def test_objects_of_others_are_not_changed(deployment: Deployment) -> None:
    server = deployment.server
    server.identities["theirs"] = {
        "id": "theirs",
        "name": "backend-staging",
        "role": "admin",
        "metadata": [],
    }
    server.folders[server.environment("staging")["id"]].add("/theirs")
    server.environments.append({"id": "qa", "slug": "qa", "name": "QA", "position": 2})
    server.folders["qa"] = {"/backend"}
    assert deployment.changes() == []


def test_an_unmarked_identity_of_the_same_name_is_not_adopted() -> None:
    deployment = Deployment()
    deployment.server.identities["theirs"] = {
        "id": "theirs",
        "name": "backend-staging",
        "role": "admin",
        "metadata": [{"key": "managed-by", "value": "somebody"}],
    }
    assert "+ identity backend-staging" in deployment.deploy()
    assert deployment.server.identities["theirs"]["role"] == "admin"
    assert deployment.changes() == []


def test_an_identity_beyond_the_first_page_is_found(deployment: Deployment) -> None:
    server = deployment.server
    others = {
        f"other-{n}": {"id": f"other-{n}", "name": f"other-{n}", "role": "member", "metadata": []}
        for n in range(120)
    }
    server.identities = {**others, **server.identities}
    assert deployment.changes() == []


def test_a_killed_run_is_completed_by_the_next() -> None:
    killed = Deployment()
    planned = killed.changes()
    made = apply(killed.client, planned)
    for _ in planned:
        deployment = Deployment()
        deployment.server.take_state(killed.server)
        deployment.deploy()
        assert deployment.changes() == []
        next(made)


def test_a_failing_change_is_named_with_its_reason() -> None:
    deployment = Deployment()

    def refuse(*_: Any) -> dict[str, Any]:
        raise Refused(400, "BadRequest", 'A project with the slug "chainalign" already exists')

    deployment.server.routes.insert(0, ("POST", "/v1/projects", refuse))
    with pytest.raises(UserError, match=r"make project chainalign: .*admin of that"):
        deployment.deploy()
