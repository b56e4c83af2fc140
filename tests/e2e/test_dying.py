"""Test that a run completes the work of a killed run, and makes nothing twice."""

from collections import Counter

import pytest

from infisical_iac.agent.api import all_of
from tests.e2e import dying, inspection
from tests.e2e.conftest import assert_converged
from tests.e2e.inspection import administrator, deployer, reset_stack
from tests.e2e.running import deploy
from tests.staging.host import StagingHost

pytestmark = pytest.mark.real

_SECRETS_PER_IDENTITY = 1


def test_runs_killed_one_after_another_are_completed_by_the_next_run(
    deployed_host: StagingHost,
) -> None:
    reset_stack(deployed_host)
    deployed_host.run("docker images --quiet | xargs docker rmi --force")
    for point in dying.POINTS:  # in the order of the run, so that no point is passed already
        died = deploy(deployed_host.name, program=("-m", "tests.e2e.dying", point))
        assert died.status == dying.KILLED, f"{point}: {died.stderr[-2000:]}"
    deploy(deployed_host.name).ok()
    assert_converged(deployed_host)
    assert_nothing_exists_twice(deployed_host)


def assert_nothing_exists_twice(host: StagingHost) -> None:
    """Assert that no object has a duplicate, and that files hold all client secrets."""
    with administrator(host) as client:
        users = all_of(client, "/api/v1/admin/user-management/users", "users")
        organizations = all_of(
            client, "/api/v1/admin/organization-management/organizations", "organizations"
        )
    assert [user["username"] for user in users] == ["admin@example.com"]
    assert len(organizations) == 1
    with deployer(host) as client:
        projects = client.get("/api/v1/projects", params={"type": "secret-manager"})["projects"]
        listed = all_of(
            client, "/api/v1/identities", "identities", {"orgId": organizations[0]["id"]}
        )
        ours = {
            each["identity"]["id"]: each["identity"]["name"]
            for each in listed
            if "universal-auth" in each["identity"]["authMethods"]
        }
        secrets = {
            name: client.get(f"/api/v1/auth/universal-auth/identities/{id}/client-secrets")
            for id, name in ours.items()
        }
    slugs = sorted(each["slug"] for each in projects)
    assert slugs == sorted([*inspection.slugs(), "infisical-iac-canary"])
    assert set(Counter(ours.values()).values()) == {1}
    assert len(ours) == 7, "the deployer, and two services in three environments"
    for name, answer in secrets.items():
        valid = [s for s in answer["clientSecretData"] if not s["isClientSecretRevoked"]]
        assert len(valid) == _SECRETS_PER_IDENTITY, name
