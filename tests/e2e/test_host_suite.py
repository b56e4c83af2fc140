"""The shipped host tests pass on what the deploy made, on every kind of host."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest

from tests.e2e.conftest import settled
from tests.e2e.looking import deployer
from tests.e2e.running import deploy, infisical_iac, production_settings
from tests.e2e.suite import host_suite
from tests.staging.host import StagingHost

_LEAST_CHECKS = 60
_KEY = "OBVIOUSLY_FAKE"


def _verify(host: StagingHost) -> None:
    with deployer(host) as client:
        project = client.get("/api/v1/projects/slug/chainalign")["id"]
        places = [
            {"projectId": project, "environment": environment, "secretPath": folder}
            for environment in ("development", "staging", "production")
            for folder in ("/", "/backend", "/python-services", "/shared")
        ]
        # Without secrets, whoever reads too much would see as little as whoever may not.
        for place in places:
            client.post(f"/api/v4/secrets/{_KEY}", json={**place, "secretValue": "fake-value"})
    done = host_suite(host.name)
    with deployer(host) as client:
        for place in places:
            client.delete(f"/api/v4/secrets/{_KEY}", json=place)
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= _LEAST_CHECKS
    assert "skipped" not in done.stdout


@pytest.fixture(scope="module")
def bookworm() -> Iterator[StagingHost]:
    """A Debian 12 whose user is not root but may use sudo."""
    host = StagingHost("e2e-bookworm", "bookworm", "deploy")
    host.down()
    host.up()
    yield host
    host.down()


def test_debian_12_as_a_user_with_sudo(bookworm: StagingHost, tmp_path: Path) -> None:
    run = deploy(bookworm.name).ok()
    assert len(run.changed) >= 10
    settled(bookworm)
    _verify(bookworm)
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    kit = ("recovery-kit", "--recipient", recipient, "--output", str(tmp_path / "kit"))
    for command in (("backup", "now"), kit, ("plan",), ("status",), ("audit",)):
        done = infisical_iac(bookworm.name, *command)
        assert done.returncode == 0, done.stdout + done.stderr
    destroyed = infisical_iac(bookworm.name, "destroy", "--confirm", "staging")
    assert destroyed.returncode == 0, destroyed.stderr
    assert "A backup is in " in destroyed.stdout


def test_debian_13_as_root(deployed: StagingHost) -> None:
    _verify(deployed)


def test_the_production_inventory_reaches_a_host_by_the_environment(
    deployed: StagingHost, tmp_path: Path
) -> None:
    known = json.loads((deployed.directory / "host.json").read_text())
    variables = {
        "INFISICAL_HOST": "127.0.0.1",
        "INFISICAL_SSH_PORT": str(known["port"]),
        "INFISICAL_SSH_KEY": known["key"],
        "HOME": str(tmp_path),
    }
    run = deploy(
        inventory="inventory/hetzner.py", environment=variables, data=production_settings()
    ).ok()
    assert run.changed == []
    assert len(run.unchanged) == 27
    assert "127.0.0.1" in (tmp_path / ".ssh" / "known_hosts").read_text()
