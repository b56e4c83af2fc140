"""Test a license: without its key, refused, in effect, and with a new key that is refused.

Only the stand-in gets it: a server of the test's own must not license the vendor's software.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import backing
from tests.e2e.conftest import assert_converged
from tests.e2e.inspection import administrator
from tests.e2e.running import Done, infisical_iac
from tests.license_server import LicenseServer, serving
from tests.staging.host import StagingHost

_KEY = "/etc/infisical/keys/given_license_key"
Run = Callable[..., Done]


@pytest.fixture
def server(deployed_host: StagingHost) -> Iterator[LicenseServer]:
    """A license server that the host reaches; the host is without a license again at the end."""
    features = ["auditLogs", "groups", "oidcSSO"]
    with serving(LicenseServer(host=backing.gateway(deployed_host), features=features)) as found:
        yield found
    assert infisical_iac(deployed_host.name, "apply", "--yes").returncode == 0
    assert deployed_host.run(f"test ! -e {_KEY}", check=False).returncode == 0
    assert_converged(deployed_host)


@pytest.fixture
def run(deployed_host: StagingHost, server: LicenseServer, tmp_path: Path) -> Run:
    """Run a command with the license's settings."""
    environment = {"LICENSE_SERVER_URL": server.url}

    def call(*arguments: str, key: str = "", **settings: Any) -> Done:
        values = {"license_key": "online", "infisical_environment": environment} | settings
        named = ("--inventory", backing.inventory(tmp_path, **values))
        given = {"LICENSE_KEY": key} if key else {}
        return infisical_iac(deployed_host.name, *arguments, *named, environment=given)

    return call


def _row(run: Run) -> dict[str, Any]:
    rows = json.loads(run("status", "--json").stdout)
    (found,) = [row for row in rows if row["name"] == "License"]
    row: dict[str, Any] = found
    return row


def test_a_license_without_its_key_changes_nothing(run: Run) -> None:
    done = run("apply", "--yes")
    assert (done.returncode, "LICENSE_KEY_FILE" in done.stderr) == (1, True)


def test_a_license_that_is_refused_leaves_the_free_edition(
    run: Run, deployed_host: StagingHost
) -> None:
    done = run("apply", "--yes", key="obviously-fake")
    assert done.returncode == 1
    assert "keys rotate license" in done.stderr
    assert "obviously-fake" not in done.stdout + done.stderr
    plan = run("plan")
    assert (plan.returncode, "! license: " in plan.stdout) == (1, True)
    assert not _row(run)["ok"]
    with administrator(deployed_host) as client:
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
