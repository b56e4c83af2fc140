"""Deploying a workspace twice, and after every kind of drift, against the fake in memory."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infisical_iac.workspace.apply import ApplyError, apply
from infisical_iac.workspace.document import WorkspaceError
from tests.unit.deployment import ADMIN, Deployment
from tests.unit.drifts import DRIFTS
from tests.unit.fake_state import Refused


@pytest.fixture
def deployed() -> Deployment:
    deployment = Deployment()
    deployment.deploy()
    deployment.server.requests.clear()
    return deployment


def test_a_first_deploy_makes_everything_and_a_second_finds_nothing_to_do() -> None:
    deployment = Deployment()
    done = deployment.deploy()
    assert done[:3] == [
        "+ project chainalign",
        f"+ project member {ADMIN}: role admin",
        "+ environment development",
    ]
    assert "+ folder /services in staging" in done
    assert "+ import of /shared into /backend in production" in done
    assert "+ identity backend-production" in done
    assert deployment.changes() == []


def test_a_settled_workspace_is_read_with_few_requests_and_no_writes(deployed: Deployment) -> None:
    assert deployed.changes() == []
    assert {method for method, _, _ in deployed.server.requests} == {"GET"}
    assert len(deployed.server.requests) <= 60


def test_a_service_may_read_its_own_and_its_imported_folders_only(deployed: Deployment) -> None:
    backend = deployed.server.identity("backend-production")["id"]
    (privilege,) = (
        each for each in deployed.server.privileges.values() if each["identityId"] == backend
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
    assert deployed.server.members[backend] == [{"role": "no-access", "isTemporary": False}]


def test_viewer_isolation_grants_the_role_and_leaves_the_privilege_api_alone() -> None:
    deployment = Deployment()
    deployment.deploy(isolation="viewer")
    backend = deployment.server.identity("backend-staging")["id"]
    assert deployment.server.members[backend] == [{"role": "viewer", "isTemporary": False}]
    assert not any("privilege" in path for _, path, _ in deployment.server.requests)
    assert deployment.changes(isolation="viewer") == []


@pytest.mark.parametrize("drift", DRIFTS)
def test_a_drift_is_found_named_and_repaired_in_one_pass(deployed: Deployment, drift: str) -> None:
    spoil, expected = DRIFTS[drift]
    spoil(deployed.server)
    if drift == "folder deleted":
        into = (deployed.server.environment("staging")["id"], "/backend")
        deployed.server.imports = [each for each in deployed.server.imports if each["into"] != into]
        expected = [*expected, "+ import of /shared into /backend in staging"]
    assert deployed.deploy() == expected
    assert deployed.changes() == []


@settings(max_examples=40)
@given(drifts=st.lists(st.sampled_from(sorted(DRIFTS)), unique=True, min_size=2))
def test_drifts_that_come_together_are_repaired_too(drifts: list[str]) -> None:
    deployment = Deployment()
    deployment.deploy()
    for drift in drifts:
        # One may have taken away what the next would spoil.
        with suppress(Refused, StopIteration, LookupError):
            DRIFTS[drift][0](deployment.server)
    assert deployment.converge()
    assert deployment.changes() == []


def test_two_environments_that_swapped_slugs_are_swapped_back(deployed: Deployment) -> None:
    staging, production = (deployed.server.environment(s) for s in ("staging", "production"))
    staging["slug"], production["slug"] = production["slug"], staging["slug"]
    assert deployed.deploy() == [
        "~ environment staging: slug production → staging",
        "~ environment production: slug staging → production",
    ]
    assert (staging["slug"], production["slug"]) == ("staging", "production")
    assert deployed.changes() == []


def test_a_renamed_environment_whose_slug_is_taken_needs_a_person(deployed: Deployment) -> None:
    deployed.server.environment("staging")["slug"] = "stage"
    deployed.server.environments.append(
        {"id": "new", "slug": "staging", "name": "Staging", "position": 9}
    )
    deployed.server.folders["new"] = set()
    with pytest.raises(WorkspaceError, match=r"'staging' of the last run is called 'stage' now"):
        deployed.changes()


def test_an_environment_renamed_and_then_deleted_comes_back_with_its_slug(
    deployed: Deployment,
) -> None:
    id = deployed.server.environment("staging")["id"]
    deployed.server.environment("staging")["slug"] = "stage"
    deployed.server.delete_environment("stage")
    deployed.deploy()
    assert deployed.server.environment("staging")["id"] == id


def test_a_project_whose_slug_was_changed_is_not_made_a_second_time(deployed: Deployment) -> None:
    assert deployed.server.project is not None
    deployed.server.project["slug"] = "renamed"
    with pytest.raises(WorkspaceError, match=r"has the slug 'renamed' now: set it back"):
        deployed.changes()


def test_a_restored_environment_gets_what_it_lacks_in_the_next_pass(deployed: Deployment) -> None:
    staging = deployed.server.environment("staging")["id"]
    deployed.server.delete_environment("staging")
    deployed.server.folders[staging].remove("/shared")
    told = deployed.converge()
    assert told[-1] == "+ folder /shared in staging"
    assert deployed.changes() == []


def test_what_the_project_did_not_make_is_left_alone(deployed: Deployment) -> None:
    server = deployed.server
    server.identities["theirs"] = {
        "id": "theirs",
        "name": "backend-staging",
        "role": "admin",
        "metadata": [],
    }
    server.folders[server.environment("staging")["id"]].add("/theirs")
    server.environments.append({"id": "qa", "slug": "qa", "name": "QA", "position": 2})
    server.folders["qa"] = {"/backend"}
    assert deployed.changes() == []


def test_an_unmarked_identity_of_the_same_name_is_not_taken_over() -> None:
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


def test_an_identity_beyond_the_first_page_is_found(deployed: Deployment) -> None:
    server = deployed.server
    others = {
        f"other-{n}": {"id": f"other-{n}", "name": f"other-{n}", "role": "member", "metadata": []}
        for n in range(120)
    }
    server.identities = {**others, **server.identities}
    assert deployed.changes() == []


def test_a_run_that_died_half_way_is_taken_up_by_the_next(deployed: Deployment) -> None:
    whole = len(Deployment().changes())
    for died_after in range(whole):
        deployment = Deployment()
        made = apply(deployment.client, deployment.changes())
        for _ in range(died_after):
            next(made)
        deployment.deploy()
        assert deployment.changes() == []


def test_a_failing_change_is_named_with_its_reason() -> None:
    deployment = Deployment()

    def refuse(*_: Any) -> dict[str, Any]:
        raise Refused(400, "BadRequest", 'A project with the slug "chainalign" already exists')

    deployment.server.routes[2] = ("POST", "/v1/projects", refuse)
    with pytest.raises(ApplyError, match=r"could not make project chainalign: .*admin of that"):
        deployment.deploy()
