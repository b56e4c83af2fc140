"""Test a license: without its key, refused, in effect, and with a new key that is refused.

Only the stand-in gets one that it accepts: the tests must not license the vendor's software.
"""

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import backing
from tests.e2e.conftest import assert_converged
from tests.e2e.inspection import administrator, deployer, write_secrets
from tests.e2e.running import Done, infisical_iac
from tests.license_server import LicenseServer, offline_keys, serving
from tests.staging.host import StagingHost

_KEYS = "/etc/infisical/keys/given_license_key*"
Run = Callable[..., Done]


@pytest.fixture
def host(deployed_host: StagingHost) -> Iterator[StagingHost]:
    """The host; it is without a license again at the end."""
    yield deployed_host
    assert infisical_iac(deployed_host.name, "apply", "--yes").returncode == 0
    assert deployed_host.run(f"ls {_KEYS}", check=False).returncode != 0
    assert_converged(deployed_host)


@pytest.fixture
def server(host: StagingHost) -> Iterator[LicenseServer]:
    """A license server that the host reaches."""
    features = ["auditLogs", "groups", "oidcSSO"]
    with serving(LicenseServer(host=backing.gateway(host), features=features)) as found:
        yield found


@pytest.fixture
def run(host: StagingHost, server: LicenseServer, tmp_path: Path) -> Run:
    """Run a command with the settings of an online license."""
    environment = {"LICENSE_SERVER_URL": server.url}
    settings = {"license_key": "online", "infisical_environment": environment}
    return _commands(host, tmp_path, "LICENSE_KEY", settings)


@pytest.fixture
def run_offline(host: StagingHost, tmp_path: Path) -> Run:
    """Run a command with the settings of an offline license."""
    return _commands(host, tmp_path, "LICENSE_KEY_OFFLINE", {"license_key": "offline"})


def _commands(host: StagingHost, directory: Path, variable: str, license: dict[str, Any]) -> Run:
    def call(*arguments: str, key: str = "", **settings: Any) -> Done:
        named = ("--inventory", backing.inventory(directory, **license | settings))
        given = {variable: key} if key else {}
        return infisical_iac(host.name, *arguments, *named, environment=given)

    return call


def _row(run: Run) -> dict[str, Any]:
    rows = json.loads(run("status", "--json").stdout)
    (found,) = [row for row in rows if row["name"] == "License"]
    row: dict[str, Any] = found
    return row


def test_a_license_without_its_key_changes_nothing(run: Run) -> None:
    done = run("apply", "--yes")
    assert (done.returncode, "LICENSE_KEY_FILE" in done.stderr) == (1, True)


def test_a_license_that_is_refused_leaves_the_free_edition(run: Run, host: StagingHost) -> None:
    done = run("apply", "--yes", key="obviously-fake")
    assert done.returncode == 1
    assert "keys rotate license" in done.stderr
    assert "obviously-fake" not in done.stdout + done.stderr
    plan = run("plan")
    assert (plan.returncode, "! license: " in plan.stdout) == (1, True)
    assert not _row(run)["ok"]
    with administrator(host) as client:
        assert client.get("/api/v1/organization")["organizations"]


def test_a_license_in_effect_is_described(run: Run, server: LicenseServer) -> None:
    done = run("apply", "--yes", key=server.key)
    assert done.returncode == 0, done.stdout + done.stderr
    plan = run("plan")
    assert plan.returncode == 0, plan.stdout + plan.stderr
    assert "OIDC" in plan.stderr
    row = _row(run)
    assert (row["ok"], "groups" in row["text"]) == (True, True)

    lacking = run("plan", login_methods=("email", "saml"))
    assert (lacking.returncode, "SAML" in lacking.stdout) == (1, True)
    assert run("plan", login_methods=("email", "oidc")).returncode == 2

    rotated = run("keys", "rotate", "license", key="obviously-fake")
    assert (rotated.returncode, "keys rotate license" in rotated.stderr) == (1, True)
    assert _row(run)["ok"]
    server.key = "another-fake-key"
    rotated = run("keys", "rotate", "license", key=server.key)
    assert rotated.returncode == 0, rotated.stderr
    assert _row(run)["ok"]


def test_the_audit_log_of_a_license_is_shown_where_it_answers(
    run: Run, host: StagingHost, server: LicenseServer
) -> None:
    assert run("apply", "--yes", key=server.key).returncode == 0
    # It began a moment ago, so it can't say what was done within a day, and no Caddy can.
    done = run("audit", "access")
    assert (done.returncode, "from before" in done.stderr) == (1, True)

    time.sleep(1)
    since = ("--since", time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()))
    write_secrets(host, "/python-services", {"WRITTEN_UNDER_A_LICENSE": "obviously-fake"})
    done = run("audit", "access", "--json", *since, "--environment", "production")
    assert (done.returncode, "own audit log" in done.stderr) == (0, True)
    (written,) = [
        each for each in json.loads(done.stdout) if each["event"].startswith("create-secret")
    ]
    assert (written["who"], written["secrets"]) == (
        "infisical-iac-deployer",
        ["WRITTEN_UNDER_A_LICENSE"],
    )
    assert (written["project"], written["environment"], written["folder"]) == (
        *("chainalign", "production"),
        "/python-services",
    )
    table = run("audit", "access", *since)
    assert "WRITTEN_UNDER_A_LICENSE" in table.stdout
    assert "obviously-fake" not in table.stdout + table.stderr

    server.features.clear()
    host.run("docker restart infisical-infisical-1")
    backing.until(host, "curl -fs http://127.0.0.1:8080/api/status >/dev/null")
    done = run("audit", "access", *since)
    assert (done.returncode, "no audit log" in done.stderr) == (1, True)
    # What was recorded can still be read.
    done = run("audit", "access", *since, "--source", "infisical")
    assert (done.returncode, "WRITTEN_UNDER_A_LICENSE" in done.stdout) == (0, True)
    print(table.stdout, table.stderr)


def test_a_group_is_listed_once_it_gives_access_to_the_project(
    run: Run, host: StagingHost, server: LicenseServer
) -> None:
    assert run("apply", "--yes", key=server.key).returncode == 0
    with deployer(host) as client:
        body = {"name": "auditors", "slug": "auditors", "role": "no-access"}
        group = client.post("/api/v1/groups", json=body)["id"]
        assert run("drift").returncode == 0
        known = json.loads(host.run("cat /etc/infisical/workspace.json").stdout)
        roles = {"roles": [{"role": "viewer", "isTemporary": False}]}
        path = f"/api/v1/projects/{known['project']}/memberships/groups/{group}"
        client.post(path, json=roles)
    drift = run("drift")
    assert (drift.returncode, "group auditors with role viewer" in drift.stdout) == (2, True)
    pruned = run("workspace", "apply", "--prune", "--yes")
    assert pruned.returncode == 0, pruned.stdout + pruned.stderr
    assert run("drift").returncode == 0


def test_an_offline_license_in_effect_is_described(run_offline: Run) -> None:
    done = run_offline("apply", "--yes", key=offline_keys()["in effect"])
    assert done.returncode == 0, done.stdout + done.stderr
    row = _row(run_offline)
    assert (row["ok"], "the audit log" in row["text"]) == (True, True)
    assert run_offline("plan").returncode == 0


@pytest.mark.real
@pytest.mark.parametrize("kind", ["forged", "expired", "no license"])
def test_an_offline_license_that_is_refused_leaves_the_free_edition(
    run_offline: Run, host: StagingHost, kind: str
) -> None:
    key = offline_keys().get(kind) or base64.b64encode(b"obviously-fake").decode()
    done = run_offline("apply", "--yes", key=key)
    assert done.returncode == 1
    assert "keys rotate license" in done.stderr
    assert key not in done.stdout + done.stderr
    row = _row(run_offline)
    assert (row["ok"], "free edition" in row["text"]) == (False, True)
    plan = run_offline("plan")
    assert (plan.returncode, "! license: " in plan.stdout) == (1, True)
    with administrator(host) as client:
        assert client.get("/api/v1/organization")["organizations"]

    # The container has it from the file that keeps it, and from Compose's variables.
    variable = "docker exec infisical-infisical-1 printenv LICENSE_KEY_OFFLINE"
    assert host.run(variable).stdout.strip() == key
    holding = "/etc/infisical/.env /etc/infisical/keys/given_license_key_offline"
    found = host.run(f"grep -rlF -- '{key}' /etc/infisical | sort").stdout
    assert found.split() == holding.split()
    assert host.run(f"stat -c %a:%U {holding}").stdout.split() == ["600:root", "600:root"]
