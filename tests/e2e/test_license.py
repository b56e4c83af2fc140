"""Test a license: without its key, refused, in effect, and with a new key that is refused.

Only the stand-in gets it: a server of the test's own must not license the vendor's software. The
tests of this module follow one another on one host.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e import backing
from tests.e2e.configured import ConfiguredHost, take_back
from tests.e2e.inspection import administrator, deployer, write_secrets
from tests.e2e.running import Done
from tests.license_server import LicenseServer, offline_keys
from tests.serving import serving
from tests.staging.host import StagingHost

pytestmark = pytest.mark.long

_OFFLINE = "LICENSE_KEY_OFFLINE"


@dataclass
class _World(ConfiguredHost):
    """A host, and a license server that it reaches."""

    server: LicenseServer

    def rotate(self, key: str, variable: str = "LICENSE_KEY") -> Done:
        return self.run("keys", "rotate", "license", given={variable: key})


@pytest.fixture(scope="module")
def world(deployed_host: StagingHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_World]:
    """The world before the license is set."""
    features = ["auditLogs", "groups", "oidcSSO"]
    with serving(LicenseServer(host=backing.gateway(deployed_host), features=features)) as server:
        environment = {"LICENSE_SERVER_URL": server.url}
        settings = {"license_key": "online", "infisical_environment": environment}
        directory = tmp_path_factory.mktemp("license")
        made = _World(deployed_host, directory, settings, server)
        with take_back(made):
            yield made


def test_a_license_without_its_key_changes_nothing(world: _World) -> None:
    world.assert_refused("LICENSE_KEY_FILE")


def test_a_license_that_is_refused_leaves_the_free_edition(world: _World) -> None:
    done = world.apply({"LICENSE_KEY": "obviously-fake"})
    assert done.returncode == 1
    assert "keys rotate license" in done.stderr
    assert "obviously-fake" not in done.stdout + done.stderr
    plan = world.run("plan")
    assert (plan.returncode, "! license: " in plan.stdout) == (1, True)
    assert not world.row("License")["ok"]
    with administrator(world.host) as client:
        assert client.get("/api/v1/organization")["organizations"]


def test_a_license_in_effect_is_described(world: _World) -> None:
    rotated = world.rotate(world.server.key)
    assert rotated.returncode == 0, rotated.stderr
    plan = world.assert_unchanged()
    assert "OIDC" in plan.stderr
    row = world.row("License")
    assert (row["ok"], "groups" in row["text"]) == (True, True)


def test_a_login_method_that_the_license_lacks_is_refused(world: _World) -> None:
    lacking = world.run("plan", login_methods=("email", "oidc", "saml"))
    found = [each for each in ("OIDC", "SAML") if f"has no {each}" in lacking.stdout]
    assert (lacking.returncode, found) == (1, ["SAML"])


def test_a_key_is_rotated_and_a_refused_one_is_not_used(world: _World) -> None:
    rotated = world.rotate("obviously-fake")
    assert (rotated.returncode, "keys rotate license" in rotated.stderr) == (1, True)
    assert world.row("License")["ok"]
    world.server.key = "another-fake-key"
    rotated = world.rotate(world.server.key)
    assert rotated.returncode == 0, rotated.stderr


def test_a_group_is_listed_once_it_gives_access_to_the_project(world: _World) -> None:
    with deployer(world.host) as client:
        body = {"name": "auditors", "slug": "auditors", "role": "no-access"}
        group = client.post("/api/v1/groups", json=body)["id"]
        assert world.run("drift").returncode == 0
        known = json.loads(world.host.run("cat /etc/infisical/workspace.json").stdout)
        roles = {"roles": [{"role": "viewer", "isTemporary": False}]}
        path = f"/api/v1/projects/{known['project']['id']}/memberships/groups/{group}"
        client.post(path, json=roles)
    drift = world.run("drift")
    assert (drift.returncode, "group auditors " in drift.stdout) == (2, True)
    pruned = world.run("workspace", "apply", "--prune", "--yes")
    assert pruned.returncode == 0, pruned.stdout + pruned.stderr
    assert world.run("drift").returncode == 0


def test_the_audit_log_of_a_license_is_shown_where_it_answers(world: _World) -> None:
    # The log began a moment ago, so it does not cover a day, and there is no log of a Caddy.
    done = world.run("audit", "access")
    assert (done.returncode, "from before" in done.stderr) == (1, True)

    time.sleep(1)
    since = ("--since", time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()))
    write_secrets(world.host, "/python-services", {"WRITTEN_UNDER_A_LICENSE": "obviously-fake"})
    done = world.run("audit", "access", "--json", *since, "--environment", "production")
    assert (done.returncode, "own audit log" in done.stderr) == (0, True)
    listed = json.loads(done.stdout)
    (written,) = [each for each in listed if each["event"].startswith("create-secret")]
    assert written["who"] == "infisical-iac-deployer"
    assert written["secrets"] == ["WRITTEN_UNDER_A_LICENSE"]
    place = (written["project"], written["environment"], written["folder"])
    assert place == ("chainalign", "production", "/python-services")
    table = world.run("audit", "access", *since)
    assert "WRITTEN_UNDER_A_LICENSE" in table.stdout
    assert "obviously-fake" not in table.stdout + table.stderr

    world.server.features.clear()
    world.host.run("docker restart infisical-infisical-1")
    backing.until(world.host, "curl -fs http://127.0.0.1:8080/api/status >/dev/null")
    done = world.run("audit", "access", *since)
    assert (done.returncode, "no audit log" in done.stderr) == (1, True)
    # What was recorded can still be read.
    done = world.run("audit", "access", *since, "--source", "infisical")
    assert (done.returncode, "WRITTEN_UNDER_A_LICENSE" in done.stdout) == (0, True)


@pytest.fixture(scope="module")
def offline(world: _World) -> _World:
    world.settings.clear()
    world.settings["license_key"] = "offline"
    return world


@pytest.mark.real
def test_an_offline_license_that_is_refused_leaves_the_free_edition(offline: _World) -> None:
    """Other refused ones are in tests/contract/test_license.py."""
    key = offline_keys()["forged"]
    done = offline.apply({_OFFLINE: key})
    assert done.returncode == 1
    assert "keys rotate license" in done.stderr
    assert key not in done.stdout + done.stderr
    row = offline.row("License")
    assert (row["ok"], "free edition" in row["text"]) == (False, True)
    plan = offline.run("plan")
    assert (plan.returncode, "! license: " in plan.stdout) == (1, True)
    with administrator(offline.host) as client:
        assert client.get("/api/v1/organization")["organizations"]

    # The container has it from the file that keeps it, and from Compose's variables.
    assert offline.variable(_OFFLINE) == key
    holding = "/etc/infisical/.env /etc/infisical/keys/given_license_key_offline"
    found = offline.host.run(f"grep -rlF -- '{key}' /etc/infisical | sort").stdout
    assert found.split() == holding.split()
    owners = offline.host.run(f"stat -c %a:%U {holding}").stdout.split()
    assert owners == ["600:root", "600:root"]


def test_an_offline_license_in_effect_is_described(offline: _World) -> None:
    rotated = offline.rotate(offline_keys()["in effect"], _OFFLINE)
    assert rotated.returncode == 0, rotated.stderr
    row = offline.row("License")
    assert (row["ok"], "the audit log" in row["text"]) == (True, True)
    offline.assert_unchanged()
