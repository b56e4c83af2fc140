"""Test `infisical-iac destroy`: it needs the name, makes a backup first, and can be reversed."""

import json

import pytest

from tests.e2e.conftest import assert_converged
from tests.e2e.inspection import deployer
from tests.e2e.running import infisical_iac
from tests.staging.host import StagingHost

pytestmark = pytest.mark.long

_KEY = "OBVIOUSLY_FAKE"
_BACKUPS = "/var/backups/infisical-iac"


def _list_remains(host: StagingHost) -> tuple[list[str], list[str]]:
    """Return the names of all containers and volumes."""
    containers = host.run("docker ps --all --format '{{.Names}}'").stdout.split()
    return containers, host.run("docker volume ls --quiet").stdout.split()


def test_destroy_with_another_name_than_the_hosts_changes_nothing(
    deployed_host: StagingHost,
) -> None:
    before = _list_remains(deployed_host)
    for arguments, answer in ((("--confirm", "production"), ""), ((), "production\n")):
        refused = infisical_iac(deployed_host.name, "destroy", *arguments, answer=answer)
        assert refused.returncode == 1
        assert "'production' is not" in refused.stderr
        assert "staging" in refused.stderr
    assert _list_remains(deployed_host) == before
    assert_converged(deployed_host)


def test_destroy_removes_nothing_if_its_backup_fails(deployed_host: StagingHost) -> None:
    deployed_host.run("docker stop infisical-postgres-1")
    refused = infisical_iac(deployed_host.name, "destroy", "--confirm", "staging")
    assert refused.returncode == 1
    assert "--no-backup" in refused.stderr
    assert len(_list_remains(deployed_host)[0]) == 3
    assert infisical_iac(deployed_host.name, "apply", "--yes").returncode == 0
    assert_converged(deployed_host)


def test_destroy_fails_and_keeps_the_keys_while_docker_does_not_run(
    deployed_host: StagingHost,
) -> None:
    deployed_host.run("systemctl stop docker.socket docker.service")
    arguments = ("--volumes", "--no-backup", "--confirm", "staging")
    refused = infisical_iac(deployed_host.name, "destroy", *arguments)
    assert refused.returncode == 1
    assert deployed_host.run("ls /etc/infisical/keys").stdout.split()
    assert infisical_iac(deployed_host.name, "apply", "--yes").returncode == 0
    assert_converged(deployed_host)


def test_apply_after_destroy_restores_the_secrets_unless_volumes_were_destroyed_too(
    deployed_host: StagingHost,
) -> None:
    with deployer(deployed_host) as client:
        project = client.get("/api/v1/projects/slug/chainalign")["id"]
        place = {"projectId": project, "environment": "staging", "secretPath": "/backend"}
        client.post(f"/api/v4/secrets/{_KEY}", json={**place, "secretValue": "fake-value"})
    _, there = _list_remains(deployed_host)
    destroyed = infisical_iac(deployed_host.name, "destroy", answer="staging\n")
    assert destroyed.returncode == 0, destroyed.stderr
    containers, volumes = _list_remains(deployed_host)
    assert containers == []
    assert volumes == there
    assert {"infisical_postgres", "infisical_redis"} <= set(volumes)
    assert infisical_iac(deployed_host.name, "apply", "--yes").returncode == 0
    with deployer(deployed_host) as client:
        secret = client.get(f"/api/v4/secrets/{_KEY}", params=place)["secret"]
    assert secret["secretValue"] == "fake-value"

    gone = infisical_iac(deployed_host.name, "destroy", "--volumes", "--confirm", "staging")
    assert gone.returncode == 0, gone.stderr
    assert _list_remains(deployed_host) == ([], [])
    assert deployed_host.run("ls /etc/infisical", check=False).returncode != 0
    backup = deployed_host.run(f"ls -d {_BACKUPS}/* | tail -n 1").stdout.strip()
    assert f"A backup is in {backup} on the host" in gone.stdout
    assert deployed_host.run(f"stat --format=%a {backup}").stdout.strip() == "700"
    listed = deployed_host.run(f"tar --list --file {backup}/etc-infisical.tar").stdout
    assert "etc/infisical/keys/encryption_key" in listed
    assert deployed_host.run(f"head -c 5 {backup}/database.dump").stdout == "PGDMP"
    again = infisical_iac(deployed_host.name, "destroy", "--volumes", "--confirm", "staging")
    assert again.returncode == 0
    assert again.stdout.startswith("Nothing of Infisical ")
    verified = infisical_iac(deployed_host.name, "verify")
    assert verified.returncode == 1
    (error,) = verified.stderr.splitlines()
    assert "nothing is deployed" in error
    assert "infisical-iac apply" in error
    assert error.removeprefix("Error: ") in infisical_iac(deployed_host.name, "status").stdout
    last = json.loads(infisical_iac(deployed_host.name, "audit", "--last", "1", "--json").stdout)[0]
    assert (last["event"], last["outcome"]) == ("destroy", "done")
    assert "- volumes, keys and credentials" in last["changes"]

    assert infisical_iac(deployed_host.name, "apply", "--yes").returncode == 0
    assert_converged(deployed_host)
