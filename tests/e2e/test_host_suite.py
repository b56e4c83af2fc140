"""Test that the shipped host suite passes on every kind of deployed host."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest

from infisical_iac.core.host_keys import VARIABLE, read_key
from tests.e2e.conftest import assert_converged
from tests.e2e.running import deploy, infisical_iac, production_settings
from tests.e2e.suite import verify
from tests.staging.host import StagingHost


@pytest.fixture(scope="module")
def bookworm() -> Iterator[StagingHost]:
    """A Debian 12 whose user is not root but may use sudo."""
    host = StagingHost("e2e-bookworm", "bookworm", "deploy")
    host.down()
    host.up()
    yield host
    host.down()


@pytest.mark.long
def test_the_host_suite_passes_on_debian_12_as_a_user_with_sudo(
    bookworm: StagingHost, tmp_path: Path
) -> None:
    run = deploy(bookworm.name).ok()
    assert len(run.changed) >= 10
    assert_converged(bookworm)
    verify(bookworm)
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    kit = ("recovery-kit", "--recipient", recipient, "--output", str(tmp_path / "kit"))
    for command in (("backup", "now"), kit, ("plan",), ("status",), ("audit",)):
        done = infisical_iac(bookworm.name, *command)
        assert done.returncode == 0, done.stdout + done.stderr
    destroyed = infisical_iac(bookworm.name, "destroy", "--confirm", "staging")
    assert destroyed.returncode == 0, destroyed.stderr
    assert "A backup is in " in destroyed.stdout


@pytest.mark.real
def test_the_host_suite_passes_on_debian_13_as_root(deployed_host: StagingHost) -> None:
    verify(deployed_host)


def test_the_production_inventory_reaches_a_host_by_the_environment(
    deployed_host: StagingHost, tmp_path: Path
) -> None:
    known = json.loads((deployed_host.directory / "host.json").read_text())
    variables = {
        "INFISICAL_HOST": "127.0.0.1",
        "INFISICAL_SSH_PORT": str(known["port"]),
        "INFISICAL_SSH_KEY": known["key"],
        "HOME": str(tmp_path),
    }
    refused = deploy(
        inventory="inventory/hetzner.py", environment=variables, data=production_settings()
    )
    key = read_key("127.0.0.1", known["port"])
    assert refused.status == 1
    assert key.fingerprint in refused.stderr
    assert (tmp_path / ".ssh" / "known_hosts").read_text() == ""
    variables[VARIABLE] = key.fingerprint
    run = deploy(
        inventory="inventory/hetzner.py", environment=variables, data=production_settings()
    ).ok()
    assert run.changed == []
    assert len(run.unchanged) == 37
    assert key.base64 in (tmp_path / ".ssh" / "known_hosts").read_text()
