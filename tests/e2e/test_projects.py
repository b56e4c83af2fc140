"""Test upgrades, restores and first deploys that isolate services by projects, without privileges.

The tests of this module follow one another on one host.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from infisical_iac.agent import contents
from tests.e2e import inspection, upgrading
from tests.e2e.running import infisical_iac
from tests.e2e.upgrading import LOSES, NEWER, WAS, Upgrading
from tests.staging.host import StagingHost

pytestmark = pytest.mark.long

_SECRETS = {f"KEY_{number}": f"obviously-fake-{number}" for number in range(20)}
_BACKEND = f"{inspection.PROJECT}-backend-production"
_PROJECTS: dict[str, Any] = {"isolation": "projects"}


@pytest.fixture(scope="module")
def world(
    deployed_host: StagingHost, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Upgrading]:
    """The host with secrets in one project, and the image of a release without privileges."""
    inspection.reset_stack(deployed_host)
    made = Upgrading(deployed_host, tmp_path_factory.mktemp("projects"), NEWER)
    made.ok(WAS, "apply", "--yes")
    upgrading.make_later(deployed_host, LOSES)
    inspection.write_secrets(deployed_host, "/backend", _SECRETS)
    yield made
    inspection.reset_stack(deployed_host)
    upgrading.forget_releases(deployed_host)
    assert infisical_iac(deployed_host.name, "apply", "--yes").returncode == 0


def _read(host: StagingHost, slug: str) -> Mapping[str, Any] | None:
    """Return the secrets of `backend` in production in a project, or None without the project."""
    with inspection.deployer(host) as client:
        project = contents.project(client, slug)
        if project is None:
            return None
        listed = contents.secrets(client, project["id"], "production", folder="/backend")
    return {each["secretKey"]: each["secretValue"] for each in listed}


def test_a_release_without_privileges_is_refused_until_secrets_are_in_projects(
    world: Upgrading,
) -> None:
    refused = world.run(LOSES, "apply", "--yes")
    assert refused.returncode == 1
    assert "isolation apply --to projects" in refused.stderr
    assert upgrading.version(world.host) == WAS

    world.ok(WAS, "isolation", "apply", "--to", "projects", "--yes")
    world.ok(WAS, "apply", "--yes", **_PROJECTS)
    world.ok(WAS, "isolation", "finish", "--yes", **_PROJECTS)
    upgraded = world.ok(LOSES, "apply", "--yes", **_PROJECTS)
    assert "another project" in upgraded.stderr
    assert "Read as before: 20 secrets" in upgraded.stderr
    assert upgrading.version(world.host) == LOSES
    assert _read(world.host, _BACKEND) == _SECRETS
    assert world.run(LOSES, "plan", **_PROJECTS).returncode == 0
    verified = world.run(LOSES, "verify", **_PROJECTS)
    assert verified.returncode == 0, verified.stdout[-3000:]


def test_a_restore_brings_back_the_secrets_of_all_projects(world: Upgrading) -> None:
    world.ok(LOSES, "backup", "now", **_PROJECTS)
    with inspection.deployer(world.host) as client:
        project = contents.project(client, _BACKEND)
        assert project is not None
        at = {"projectId": project["id"], "environment": "production", "secretPath": "/backend"}
        client.delete("/api/v4/secrets/KEY_1", json=at)
    done = world.ok(LOSES, "restore", "--yes", **_PROJECTS)
    assert "20 secrets" in done.stderr
    assert _read(world.host, _BACKEND) == _SECRETS
    assert world.run(LOSES, "plan", **_PROJECTS).returncode == 0
    world.host.run(
        "docker volume ls --quiet --filter name=infisical_postgres_before | "
        "xargs docker volume rm && rm -r /var/lib/infisical-restore/aside"
    )


def test_a_first_deploy_of_such_a_release_gives_each_service_a_project(world: Upgrading) -> None:
    inspection.reset_stack(world.host)
    done = world.ok(LOSES, "apply", "--yes")
    assert "isolation = 'projects'" in done.stderr + done.stdout
    assert _read(world.host, inspection.PROJECT) is None
    assert _read(world.host, _BACKEND) == {}
    planned = world.run(LOSES, "plan")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "isolation = 'projects'" in planned.stdout + planned.stderr
    assert world.run(LOSES, "verify").returncode == 0
    assert "isolation =" not in world.ok(LOSES, "plan", **_PROJECTS).stdout
