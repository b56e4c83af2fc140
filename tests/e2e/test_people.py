"""Test people of the project file: each gets one invitation link, and the declared access."""

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import assert_converged
from tests.e2e.inspection import ISOLATION, deployer, place
from tests.e2e.running import REPOSITORY, deploy, infisical_iac
from tests.staging.host import StagingHost

pytestmark = pytest.mark.real

_WORKSPACE = (REPOSITORY / "group_data" / "chainalign.yaml").read_text()
_BEN = "ben@example.com"
_PEOPLE = f"\npeople:\n  {_BEN}:\n    production: {{/backend: viewer}}\n"
_KEY = "OBVIOUSLY_FAKE"


@pytest.mark.skipif(ISOLATION == "viewer", reason="with isolation = viewer people are refused")
def test_a_deploy_invites_a_person_once_and_prune_removes_them(
    deployed_host: StagingHost, tmp_path: Path
) -> None:
    assert_converged(deployed_host)
    file = tmp_path / "workspace.yaml"
    file.write_text(_WORKSPACE + _PEOPLE)
    data = {"workspace_file": str(file)}
    joined = deploy(deployed_host.name, data=data).ok()
    assert len(joined.changed) == 1
    links = [line for line in joined.stderr.splitlines() if "invitation link for" in line]
    assert len(links) == 1
    again = deploy(deployed_host.name, data=data).ok()
    assert again.changed == []
    assert "invitation link" not in again.stderr

    given = ("--project-file", str(file), _BEN)
    renewed = infisical_iac(deployed_host.name, "workspace", "invite", *given)
    assert renewed.returncode == 0, renewed.stderr
    assert renewed.stdout.startswith(f"invitation link for {_BEN}: http")
    token = links[0].partition("token=")[2].partition("&")[0]
    log = deployed_host.run("cat /var/log/infisical-iac/audit.jsonl").stdout
    assert f"+ invitation of {_BEN}" in log
    assert len(token) > 10
    assert token not in log

    with deployer(deployed_host) as client:
        at = place(client, "/backend")
        client.post(f"/api/v4/secrets/{_KEY}", json={**at, "secretValue": "fake-value"})
    pruned = infisical_iac(deployed_host.name, "workspace", "apply", "--prune", "--yes", "--json")
    with deployer(deployed_host) as client:
        client.delete(f"/api/v4/secrets/{_KEY}", json=at)
    assert pruned.returncode == 0, pruned.stderr
    found = json.loads(pruned.stdout)
    where = " in chainalign-backend-production" if ISOLATION == "projects" else ""
    assert [each["what"] for each in found["changes"]] == [f"person {_BEN}{where}"]
    assert found["rotate"] == {_BEN: [f"production /backend {_KEY}"]}
    last = json.loads(infisical_iac(deployed_host.name, "audit", "--last", "1", "--json").stdout)[0]
    assert (last["event"], last["outcome"]) == ("workspace", "done")
    assert_converged(deployed_host)


def test_a_service_that_left_the_file_is_pruned_with_its_credentials(
    deployed_host: StagingHost, tmp_path: Path
) -> None:
    file = tmp_path / "workspace.yaml"
    file.write_text(_WORKSPACE.replace("services:\n", "services:\n  mailer: {folder: /mailer}\n"))
    deploy(deployed_host.name, data={"workspace_file": str(file)}).ok()
    credentials = "/etc/infisical/credentials"
    assert "mailer.staging.env" in deployed_host.run(f"ls {credentials}").stdout.split()
    output = infisical_iac(deployed_host.name, "workspace", "plan")
    assert output.returncode == 0
    assert "--prune removes them" in output.stderr
    pruned = infisical_iac(deployed_host.name, "workspace", "apply", "--prune", "--yes")
    assert pruned.returncode == 0, pruned.stderr
    assert "- identity mailer-staging" in pruned.stdout.splitlines()
    place_of_mailer = (
        "project chainalign-mailer-production"
        if ISOLATION == "projects"
        else "folder /mailer in production"
    )
    assert f"- {place_of_mailer}" in pruned.stdout.splitlines()
    assert "mailer.staging.env" not in deployed_host.run(f"ls {credentials}").stdout.split()
    assert_converged(deployed_host)
    assert infisical_iac(deployed_host.name, "workspace", "plan", "--prune").returncode == 0
