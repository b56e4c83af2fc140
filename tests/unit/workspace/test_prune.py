"""Test which objects `--prune` removes, and which it keeps."""

import pytest

from infisical_iac.agent import identities
from infisical_iac.agent.identities import attach_universal_auth, create_client_secret
from infisical_iac.workspace.goal import Memory
from tests.unit.deployment import folder, import_of, update
from tests.unit.remembering_deployment import (
    NO_BACKEND,
    NO_STAGING,
    RESTORABLE,
    WHOLE,
    RememberingDeployment,
    apply_whole,
    without,
)

STAGES = ("development", "staging", "production")


@pytest.fixture
def deployment() -> RememberingDeployment:
    return apply_whole()


def _read_only(deployment: RememberingDeployment) -> bool:
    return {method for method, _, _ in deployment.server.requests} == {"GET"}


def test_a_service_that_left_the_file_is_pruned_with_its_objects(
    deployment: RememberingDeployment,
) -> None:
    assert deployment.apply(NO_BACKEND, prune=True) == [
        "- identity backend-development",
        "- identity backend-production",
        "- identity backend-staging",
        *(f"- {import_of('/shared', '/backend', stage)}" for stage in STAGES),
        *(f"- {folder('/backend', stage)}" for stage in STAGES),
    ]
    assert deployment.plan(NO_BACKEND, prune=True).due == []
    assert deployment.plan(NO_BACKEND).unnamed == []


def test_nested_folders_are_pruned_before_their_parents(deployment: RememberingDeployment) -> None:
    left = without(services=["python-service"])
    done = deployment.apply(left, prune=True)
    assert [each for each in done if each.endswith("in staging")] == [
        f"- {folder('/services/python', 'staging')}",
        f"- {folder('/services', 'staging')}",
    ]


def test_an_environment_is_pruned_last_and_can_be_restored(
    deployment: RememberingDeployment,
) -> None:
    server, id = deployment.server, deployment.server.environment("staging")["id"]
    assert deployment.apply(NO_STAGING, prune=True) == [
        "- identity backend-staging",
        "- identity python-service-staging",
        f"- environment staging: {RESTORABLE}",
    ]
    assert [each["id"] for each in server.deleted] == [id]
    assert "staging" not in deployment.memory.environments
    assert deployment.plan(NO_STAGING, prune=True).due == []
    back = deployment.apply(WHOLE)
    assert back[0].startswith("~ environment staging: deleted → restored")
    assert server.environment("staging")["id"] == id
    assert deployment.plan(NO_STAGING).unnamed[-1].change.what == "environment staging"


def test_an_import_that_left_the_file_is_pruned(deployment: RememberingDeployment) -> None:
    done = deployment.apply(without(imports=False), prune=True)
    assert done[-3:] == [f"- {import_of('/shared', '/backend', stage)}" for stage in STAGES]
    assert deployment.server.imports == []


def test_nothing_is_pruned_without_the_option(deployment: RememberingDeployment) -> None:
    deployment.server.requests.clear()
    planned = deployment.plan(NO_STAGING)
    assert (planned.due, len(planned.foreign), len(planned.unnamed)) == ([], 2, 1)
    assert deployment.apply(NO_STAGING) == []
    assert _read_only(deployment)


def test_objects_from_before_the_first_run_stay() -> None:
    deployment = RememberingDeployment()
    deployment.deploy()
    assert deployment.memory == Memory()
    done = deployment.apply(NO_STAGING, prune=True)
    assert done == ["- identity backend-staging", "- identity python-service-staging"]
    assert deployment.server.environment("staging")


def test_our_folders_are_pruned_from_an_environment_of_others() -> None:
    deployment = RememberingDeployment()
    deployment.deploy()
    server = deployment.server
    staging = server.environment("staging")["id"]
    server.folders[staging].remove("/services/python")
    server.folders[staging].add("/by-hand")
    deployment.apply(WHOLE)
    done = deployment.apply(NO_STAGING, prune=True)
    assert done[2:] == [f"- {folder('/services/python', 'staging')}"]
    assert server.folders[staging] == {"/backend", "/by-hand", "/services", "/shared"}


def test_manually_made_objects_stay(deployment: RememberingDeployment) -> None:
    server = deployment.server
    staging = server.environment("staging")["id"]
    server.environments.append({"id": "qa", "slug": "qa", "name": "QA", "position": 9})
    server.folders["qa"] = {"/backend"}
    server.folders[staging].add("/by-hand")
    by_hand = {"id": "by-hand", "into": (staging, "/by-hand"), "importPath": "/backend"}
    server.imports.append({**by_hand, "importEnv": {"id": staging}, "position": 1})
    server.identities["theirs"] = {"id": "theirs", "name": "ci", "role": "admin", "metadata": []}
    server.members["theirs"] = [{"role": "admin"}]
    planned = deployment.plan(NO_BACKEND, prune=True)
    done = [each.split(" ci") for each in deployment.make(NO_BACKEND, planned) if " ci" in each]
    assert [each for each, _ in done] == ["~ organization admin identity", "- identity"]
    assert done[0][1].endswith("admin → no-access")
    assert server.folders["qa"] == {"/backend"}
    assert "/by-hand" in server.folders[staging]
    assert [each["id"] for each in server.imports] == ["by-hand"]
    assert "theirs" in server.identities


def _second(deployment: RememberingDeployment, name: str, *metadata: dict[str, str]) -> None:
    deployment.server.identities["second"] = {
        "id": "second",
        "name": name,
        "role": "no-access",
        "metadata": list(metadata),
    }
    deployment.server.members["second"] = [{"role": "no-access"}]


def test_an_identity_of_the_deployers_name_only_loses_its_membership(
    deployment: RememberingDeployment,
) -> None:
    _second(deployment, identities.DEPLOYER, identities.MARKER)
    (removed,) = deployment.apply(WHOLE, prune=True)
    assert removed.startswith(f"- identity {identities.DEPLOYER} with role no-access: membership")
    assert "second" in deployment.server.identities


def test_a_duplicate_is_reported_and_pruning_ends_its_access(
    deployment: RememberingDeployment,
) -> None:
    _second(deployment, "backend-staging", identities.MARKER)
    output = deployment.plan(WHOLE)
    assert output.due == []
    assert [each.what for each in output.foreign] == ["second identity backend-staging"]
    (removed,) = deployment.apply(WHOLE, prune=True)
    assert "backend-staging" in removed
    assert removed.endswith(": membership of second")
    assert "second" in deployment.server.identities
    assert "second" not in deployment.server.members
    assert deployment.plan(WHOLE, prune=True).due == []


def test_a_duplicate_without_a_mark_is_recognized_by_its_client_secret(
    deployment: RememberingDeployment,
) -> None:
    _second(deployment, "backend-staging")
    assert [each.kind for each in deployment.plan(WHOLE).foreign] == ["identity"]
    attach_universal_auth(deployment.client, "second", 600, 600)
    create_client_secret(deployment.client, "second", "infisical-iac: backend.staging")
    create_client_secret(deployment.client, "second", "of somebody else")
    (removed,) = deployment.apply(WHOLE, prune=True)
    assert "backend-staging" in removed
    assert "1 client secret of second" in removed
    assert [each["description"] for each in deployment.server.secrets["second"]] == [
        "of somebody else"
    ]


def test_an_identity_that_was_renamed_is_not_pruned(deployment: RememberingDeployment) -> None:
    deployment.server.identity("backend-staging")["name"] = "renamed"
    assert deployment.apply(WHOLE, prune=True) == [
        update("identity backend-staging", "name", "renamed", "backend-staging")
    ]


def test_an_identity_without_its_mark_is_pruned_once_its_service_left_the_file(
    deployment: RememberingDeployment,
) -> None:
    deployment.server.identity("backend-staging").update(name="renamed", metadata=[])
    assert "- identity renamed" in deployment.apply(NO_STAGING, prune=True)
    assert "backend-staging" not in deployment.memory.identities


def test_the_logged_in_identity_stays(deployment: RememberingDeployment) -> None:
    backend = deployment.server.identity("backend-staging")["id"]
    del deployment.server.identities["identity-of-the-deployer"]
    deployment.server.auths[backend]["clientId"] = "client-of-the-deployer"
    done = deployment.apply(NO_STAGING, prune=True)
    assert [each for each in done if "identity" in each] == ["- identity python-service-staging"]


def test_an_identity_of_another_project_stays(deployment: RememberingDeployment) -> None:
    del deployment.server.members[deployment.server.identity("backend-staging")["id"]]
    done = deployment.apply(NO_STAGING, prune=True)
    assert [each for each in done if "identity" in each] == ["- identity python-service-staging"]


def test_only_credentials_of_a_pruned_identity_are_removed_and_before_the_identity(
    deployment: RememberingDeployment,
) -> None:
    server = deployment.server
    paths = {
        name: f"/etc/infisical/credentials/{name.replace('-s', '.s', 1)}.env"
        for name in ("backend-staging", "backend-production")
    }
    deployment.credentials = {
        path: server.auths[server.identity(name)["id"]]["clientId"] for name, path in paths.items()
    }
    deployment.credentials["/etc/infisical/credentials/by-hand.env"] = "client-of-nobody"
    done = deployment.apply(NO_STAGING, prune=True)
    assert done[:2] == ["- credentials backend.staging", "- identity backend-staging"]
    assert set(deployment.credentials) == {
        paths["backend-production"],
        "/etc/infisical/credentials/by-hand.env",
    }
