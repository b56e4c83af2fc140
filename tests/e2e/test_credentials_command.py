"""Test `infisical-iac credentials` and `check` on the inventory's host."""

import json
import shutil
from pathlib import Path

import pytest

from infisical_iac.api import login
from infisical_iac.core.errors import ApiError
from tests.e2e.conftest import assert_converged
from tests.e2e.inspection import ISOLATION, api, env_file
from tests.e2e.running import REPOSITORY, Done, infisical_iac, plan_changes
from tests.staging.host import StagingHost

pytestmark = pytest.mark.real

_FILE = "/etc/infisical/credentials/backend.development.env"
_NAMES = ("INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET", "INFISICAL_ENVIRONMENT", "NODE_ENV")


def _credentials(host: StagingHost, command: str, *arguments: str) -> Done:
    done = infisical_iac(host.name, "credentials", command, *arguments)
    assert "Traceback" not in done.stderr
    return done


def _logs_in(host: StagingHost, variables: dict[str, str]) -> bool:
    with api(host) as client:
        try:
            login.universal(
                client, variables["INFISICAL_CLIENT_ID"], variables["INFISICAL_CLIENT_SECRET"]
            )
        except ApiError as error:
            if error.status != 401:
                raise
            return False
    return True


def test_credentials_are_listed_and_shown_as_in_their_file(deployed_host: StagingHost) -> None:
    listed = json.loads(_credentials(deployed_host, "list", "--json").stdout)
    assert len(listed["credentials"]) == 6
    shown = _credentials(deployed_host, "show", "backend", "--env", "development")
    assert shown.returncode == 0, shown.stderr
    lines = (line.split("=", 1) for line in shown.stdout.splitlines() if line[0] != "#")
    assert dict(lines) == env_file(deployed_host, _FILE)
    (*_, last) = json.loads(infisical_iac(deployed_host.name, "audit", "--json").stdout)
    assert (last["event"], last["changes"]) == ("credentials", ["shown: backend.development"])
    refused = _credentials(deployed_host, "show", "backend", "--env", "production")
    assert refused.returncode == 1
    assert not any(name in refused.stdout for name in _NAMES)


def test_a_rotation_keeps_the_old_secret_for_the_overlap_and_ends_it_then(
    deployed_host: StagingHost,
) -> None:
    old = env_file(deployed_host, _FILE)
    rotated = _credentials(deployed_host, "rotate", "backend", "--env", "development")
    assert rotated.returncode == 0, rotated.stderr
    new = env_file(deployed_host, _FILE)
    assert new["INFISICAL_CLIENT_SECRET"] != old["INFISICAL_CLIENT_SECRET"]
    assert _logs_in(deployed_host, old)
    assert _logs_in(deployed_host, new)
    assert_converged(deployed_host)
    again = _credentials(
        deployed_host, "rotate", "backend", "--env", "development", "--overlap", "0"
    )
    assert again.returncode == 0, again.stderr
    last = env_file(deployed_host, _FILE)
    # A container that restarts with the old secret must not lock out those with the new one.
    assert [_logs_in(deployed_host, each) for each in (*[new] * 5, last)] == [*[False] * 5, True]
    assert_converged(deployed_host)
    done = json.loads(infisical_iac(deployed_host.name, "audit", "--last", "9", "--json").stdout)
    assert any(each["event"] == "rotation" for each in done)


def test_revoked_credentials_no_longer_log_in_and_the_next_run_makes_new_ones(
    deployed_host: StagingHost,
) -> None:
    old = env_file(deployed_host, _FILE)
    revoked = _credentials(deployed_host, "revoke", "backend", "--env", "development", "--yes")
    assert revoked.returncode == 0, revoked.stderr
    assert not _logs_in(deployed_host, old)
    assert plan_changes(deployed_host.name) == (2, ["+ credentials backend.development"])
    applied = infisical_iac(deployed_host.name, "apply", "--yes")
    assert applied.returncode == 0, applied.stderr
    assert _logs_in(deployed_host, env_file(deployed_host, _FILE))


def test_check_completes_a_repository_and_names_secrets_that_infisical_lacks(
    deployed_host: StagingHost, tmp_path: Path
) -> None:
    repository = tmp_path / "chainalign"
    made = shutil.ignore_patterns("node_modules", "vendor", ".venv")
    shutil.copytree(REPOSITORY / "examples/chainalign/after", repository, ignore=made)
    local = repository / "backend" / ".infisical.json"
    local.write_text('{"defaultSecretPath": "/backend"}')
    checked = infisical_iac(deployed_host.name, "check", str(repository), "--fix", "--json")
    assert checked.returncode == 2, checked.stderr
    written = json.loads(local.read_text())
    own = written["projects"]["production"] if ISOLATION == "projects" else written
    assert len(own["workspaceId"]) == 36
    assert written["domain"].startswith("http")
    output = checked.stdout
    assert "DATABASE_URL" in output
    assert "production" in output


def test_secrets_are_written_and_deleted_on_the_host_with_its_audit_log(
    deployed_host: StagingHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key of the fingerprints is made where the command runs."""

    def secrets(*arguments: str, given: str = "") -> Done:
        done = infisical_iac(deployed_host.name, "secrets", *arguments, answer=given)
        assert "Traceback" not in done.stderr
        return done

    place = ("backend/WRITTEN", "--env", "production")
    made = secrets("set", *place, given="fake-value\n")
    assert made.returncode == 0, made.stderr
    assert "version 1, 10 bytes" in made.stdout
    assert secrets("set", *place, "--if-version", "0", given="fake").returncode == 1
    compared = secrets("diff", "development", "production", "backend", "--json")
    states = {each["key"]: each["state"] for each in json.loads(compared.stdout)["secrets"]}
    assert states["WRITTEN"] == "only in production"
    removed = secrets("unset", *place, "--yes")
    assert removed.returncode == 0, removed.stderr
    logged = json.loads(infisical_iac(deployed_host.name, "audit", "--json", "--last", "2").stdout)
    assert [(each["event"], each["changes"]) for each in logged] == [
        ("secrets", [f"{sign} secret /backend/WRITTEN in production"]) for sign in "+-"
    ]


def test_check_reports_when_the_access_log_begins(
    deployed_host: StagingHost, tmp_path: Path
) -> None:
    file = tmp_path / "project.yaml"
    text = (REPOSITORY / "group_data/chainalign.yaml").read_text()
    file.write_text(text + "\nhygiene: {unread_days: 1}\n")
    (tmp_path / "services/backend").mkdir(parents=True)
    given = (str(tmp_path / "services"), "--project-file", str(file), "--json")
    checked = infisical_iac(deployed_host.name, "check", *given)
    assert checked.returncode in (0, 2), checked.stderr
    notes = [each for each in json.loads(checked.stdout)["notes"] if each["place"] == "hygiene"]
    assert [each["kind"] for each in notes] == ["not-checked"]
