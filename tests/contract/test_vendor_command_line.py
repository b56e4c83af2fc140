"""Test that the vendor's own command line works with an instance and the file of `check --fix`.

It runs the `infisical` on PATH, of any version, which is not among the packages of the tests: its
package for npm only downloads it. Without it the tests are skipped. Each test is a row of
docs/develop/infisical-run.md, which describes the source of 0.43.134. The tests passed with a build
of 0.43.121 that had only the commands used here, on the stand-in and on a real Infisical v0.165.16.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from infisical_iac.workspace import local_file
from infisical_iac.workspace.local_file import LocalFile

from .laptops import ANNA
from .world import PASSWORD, ok

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .laptops import Office

_PROGRAM = shutil.which("infisical")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(_PROGRAM is None, reason="the vendor's `infisical` is not on PATH"),
]
_SHOW = ("sh", "-c", 'printf %s "$A"')
_SECONDS = 60


@dataclass(frozen=True)
class Vendor:
    """A person's machine with the vendor's command line, in the directory of a service."""

    home: Path
    office: Office

    @property
    def service(self) -> Path:
        return self.home / "service"

    @property
    def organization(self) -> str:
        return self.office.world.org_id

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command, without telemetry and without a search for a newer version."""
        return subprocess.run(
            [str(_PROGRAM), *arguments[:1], "--telemetry=false", "--silent", *arguments[1:]],
            cwd=self.service,
            env={
                "HOME": str(self.home),
                "PATH": os.environ["PATH"],
                "INFISICAL_VAULT_FILE_PASSPHRASE": "fake-passphrase",
                "INFISICAL_DISABLE_UPDATE_CHECK": "true",
                **variables,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )

    def log_in(self, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
        """Log Anna in by password, at the address of the file."""
        who = ("--email", ANNA, "--password", password, "--organization-id", self.organization)
        return self.run("login", *who)

    def read(self, *options: str, **variables: str) -> str:
        """Return A of a program that the command starts; fail the test if it fails."""
        done = self.run("run", *options, "--", *_SHOW, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def vendor(office: Office, tmp_path: Path) -> Iterator[Vendor]:
    vendor = Vendor(tmp_path, office)
    vendor.service.mkdir()
    known = LocalFile(office.world.project_id, office.world.standin.url, "/backend")
    local_file.write(vendor.service, known)
    stored = vendor.run("vault", "set", "file")
    assert stored.returncode == 0, stored.stderr
    yield vendor
    vendor.run("reset")


_AT = ("--env=development", "--path=/backend")


def test_a_person_logs_in_and_starts_a_program_with_secrets(vendor: Vendor) -> None:
    made = vendor.log_in()
    assert made.returncode == 0, made.stderr
    assert vendor.read(*_AT) == "fake-development"
    token = vendor.run("user", "get", "token", "--plain").stdout.strip()
    assert token.count(".") == 2
    kept = [each.read_text() for each in vendor.home.rglob("*") if each.is_file()]
    assert not any(PASSWORD in each or token in each for each in kept)


def test_a_wrong_password_or_no_login_starts_nothing(vendor: Vendor) -> None:
    done = vendor.run("run", *_AT, "--", *_SHOW)  # asks for a login
    assert (done.returncode, "fake-development" in done.stdout) == (1, False)
    refused = vendor.log_in("not-the-password")
    assert refused.returncode == 1
    assert "not-the-password" not in refused.stdout + refused.stderr


def test_the_folder_of_the_file_is_not_read(vendor: Vendor) -> None:
    vendor.log_in()
    assert vendor.read("--env=development") == ""


def test_the_environment_is_that_of_the_option_or_the_file(vendor: Vendor) -> None:
    vendor.log_in()
    # Without either it is `dev`, which the project does not have.
    done = vendor.run("run", "--path=/backend", "--", *_SHOW, INFISICAL_ENVIRONMENT="development")
    assert (done.returncode, done.stdout) == (1, "")
    file = vendor.service / local_file.NAME
    own = json.loads(file.read_text()) | {"defaultEnvironment": "development"}
    file.write_text(json.dumps(own))
    assert vendor.read("--path=/backend") == "fake-development"
    # Anna has no access to production.
    done = vendor.run("run", "--env=production", "--path=/backend", "--", *_SHOW)
    assert "fake-production" not in done.stdout


def test_infisical_wins_over_a_variable_that_is_set(vendor: Vendor) -> None:
    vendor.log_in()
    assert vendor.read(*_AT, A="own") == "fake-development"


def test_references_are_expanded_and_few_names_are_withheld(vendor: Vendor) -> None:
    values = {"B": "${A}!", "NODE_OPTIONS": "--fake", "SHELL": "/fake", "LC_ALL": "fake"}
    world = vendor.office.world
    world.write("/backend", "development", **values)
    vendor.log_in()
    show = ("--", "sh", "-c", 'echo "$B $NODE_OPTIONS ${SHELL:-none} ${LC_ALL:-none}"')
    done = [vendor.run("run", *_AT, f"--expand={each}", *show) for each in ("true", "false")]
    # Other tests count the secrets of this folder.
    body = {**world.place("development", "/backend"), "secrets": [{"secretKey": k} for k in values]}
    ok(world.deployer.request("DELETE", "/api/v4/secrets/batch", json=body))
    expected = (0, "fake-development! --fake none none\n")
    assert [(each.returncode, each.stdout) for each in done] == [expected] * 2


def test_the_status_is_one_for_any_failure_of_the_program(vendor: Vendor) -> None:
    vendor.log_in()
    assert vendor.run("run", *_AT, "--", "sh", "-c", "exit 3").returncode == 1
    assert vendor.run("run", *_AT, "--", "no-such-program").returncode == 1


def test_the_last_values_are_used_while_infisical_is_down(vendor: Vendor) -> None:
    vendor.log_in()
    assert vendor.read(*_AT) == "fake-development"
    config = vendor.home / ".infisical" / "infisical-config.json"
    address = vendor.office.world.standin.url
    config.write_text(config.read_text().replace(address, "http://127.0.0.1:9"))
    file = vendor.service / local_file.NAME
    file.write_text(file.read_text().replace(address, "http://127.0.0.1:9"))
    assert vendor.read(*_AT) == "fake-development"


def test_a_machine_gives_its_token_and_the_project(vendor: Vendor) -> None:
    world = vendor.office.world
    identity = world.member()
    login = {"clientId": identity.client_id, "clientSecret": identity.client_secret}
    answer = world.standin.client().post("/api/v1/auth/universal-auth/login", json=login)
    token = ok(answer)["accessToken"]
    given = ("--method=universal-auth", "--plain", "--client-id", identity.client_id)
    made = vendor.run("login", *given, "--client-secret", identity.client_secret)
    assert (made.returncode, made.stdout.strip().count(".")) == (0, 2), made.stderr
    done = vendor.run("run", *_AT, "--token", token, "--", *_SHOW)
    assert done.returncode == 1
    assert "project" in done.stderr.lower()
