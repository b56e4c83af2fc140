"""Test that `infisical-iac migrate verify` proves values unchanged and private to their service."""

from __future__ import annotations

import json
import re
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from infisical_iac.core import remote
from infisical_iac.workspace import credential_file
from infisical_iac.workspace.reach import reach

from .conftest import CACHE_SECONDS
from .migrating import ENVIRONMENTS, OF_IDENTITIES, Case, Ran, deploy_case, grant, issue_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infisical_iac.workspace.goal import Reached
    from tests.token_issuer import TokenIssuer

    from .world import World


@pytest.fixture
def case(world: World, tmp_path: Path) -> Case:
    """Two deployed services with secrets, and their credentials in files."""
    case = deploy_case(world, tmp_path)
    issue_credentials(case)
    return case


def _verify(case: Case, *arguments: str) -> Ran:
    return case.run("verify", "--credentials", str(case.root / "credentials"), *arguments)


def _is_without_credentials(line: str, identity: str) -> bool:
    problem = f"✗ {identity}: "
    return line.startswith(problem) and "credentials file is missing" in line


def test_verification_succeeds_although_the_files_are_gone(case: Case) -> None:
    for file in case.root.glob("*/.env.*"):
        file.unlink()
    verified = _verify(case)
    assert verified.exit_code == 0, verified.output
    assert verified.output.splitlines()[0] == "✓ 4 secrets, 0 problems"


def test_changed_or_missing_values_are_reported(case: Case) -> None:
    api, web = case.services
    case.put("production", f"/{api}", FAKE="changed-fake")
    place = case.place("production", f"/{web}")
    case.world.deployer.request("DELETE", "/api/v4/secrets/FAKE", json=place).raise_for_status()
    verified = _verify(case, "--json")
    assert verified.exit_code == 2
    output = json.loads(verified.stdout)
    assert (output["secrets"], output["access_checked"], output["notes"]) == (4, True, [])
    assert output["problems"] == [
        f"production/{api}/FAKE has another value",
        f"production/{web}/FAKE is not in Infisical",
    ]
    assert "changed-fake" not in verified.output


def test_an_identity_that_reads_other_folders_is_reported(case: Case) -> None:
    api, web = case.services
    identity = case.identities()[f"{web}-development"]
    project = str(case.place("production", "/")["projectId"])
    grant(case.world.deployer, OF_IDENTITIES, identityId=identity, projectId=project)
    verified = _verify(case)
    assert verified.exit_code == 2
    line = f"✗ production/{api}/FAKE can be read by {web}-development, "
    assert verified.stdout.count(line) == 1


def test_a_service_that_cannot_log_in_is_reported(case: Case) -> None:
    api, web = case.services
    (case.root / f"credentials/{api}.production.env").unlink()
    file = case.root / f"credentials/{web}.production.env"
    other = credential_file.parse(file.read_text(encoding="utf-8"))
    assert other is not None
    wrong = replace(other, client_secret="fake-and-wrong")
    file.write_text(credential_file.render(wrong), encoding="utf-8")
    verified = _verify(case)
    assert verified.exit_code == 2
    lines = verified.stdout.splitlines()
    assert [each for each in lines if _is_without_credentials(each, f"{api}-production")]
    login = f"{web}-production: "
    assert [each for each in lines if login in each and ": POST /api/" in each]
    assert "fake-and-wrong" not in verified.output


def test_binary_credentials_are_reported_as_missing(case: Case) -> None:
    api, _ = case.services
    (case.root / f"credentials/{api}.production.env").write_bytes(b"\xff\xfe")
    output = _verify(case)
    assert output.exit_code == 2
    lines = output.stdout.splitlines()
    assert [each for each in lines if _is_without_credentials(each, f"{api}-production")]


def test_on_a_host_the_credentials_are_read_from_its_files(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    @contextmanager
    def on_host(*given: Any, **options: Any) -> Iterator[Reached]:
        with reach(*given, **options) as reached:
            yield replace(reached, remember=lambda memory: None)

    def run(command: str, *, doing: str) -> str:
        asked.append(command)
        name = Path(command.split()[1]).name
        text = (case.root / "credentials" / name).read_text(encoding="utf-8")
        return text.removesuffix("\n")  # as pyinfra hands the output on

    monkeypatch.setattr("infisical_iac.cli.migrate_apply.reach", on_host)
    monkeypatch.setattr(remote, "run", run)
    verified = case.run("verify")
    assert (verified.exit_code, verified.stderr) == (0, "")
    assert len(asked) == len(case.services) * len(ENVIRONMENTS)


def test_a_service_that_logs_in_by_a_platforms_token_is_named_as_not_proven(
    case: Case, issuer: TokenIssuer
) -> None:
    api, _ = case.services
    content = json.loads(case.workspace_file.read_text(encoding="utf-8"))
    auth = {"issuer": issuer.url, "subject": "pod", "ca_certificate": issuer.authority}
    content["services"][api]["auth"] = {"production": {"oidc": auth}}
    case.workspace_file.write_text(json.dumps(content), encoding="utf-8")
    case.deploy()
    (case.root / f"credentials/{api}.production.env").unlink()
    verified = _verify(case)
    first = verified.stdout.splitlines()[0]
    assert (verified.exit_code, first) == (0, "✓ 4 secrets, 0 problems")
    (note,) = re.findall(rf"{api}-production: its access[^:]*", " ".join(verified.stderr.split()))
    assert f"issuer {issuer.url}".split(":")[0] in note
    identity = case.identities()[f"{api}-production"]
    project = str(case.place("production", "/")["projectId"])
    grant(case.world.deployer, OF_IDENTITIES, identityId=identity, projectId=project)
    assert _verify(case).exit_code == 2


def _rename(case: Case, folder: str, former: str | None) -> str:
    """Rename the first service in the project file, and return its new name."""
    api, _ = case.services
    content = json.loads(case.workspace_file.read_text(encoding="utf-8"))
    content["services"].pop(api, None)
    content["services"][f"new-{api}"] = {"folder": folder, "renamed_from": former}
    case.workspace_file.write_text(json.dumps(content), encoding="utf-8")
    return f"new-{api}"


@pytest.mark.parametrize("moves", [True, False], ids=["with-its-folder", "without"])
def test_verification_follows_a_renamed_service(case: Case, moves: bool) -> None:
    api, _ = case.services
    new = _rename(case, "/postman" if moves else f"/{api}", api)
    for before in (_verify(case), case.run("verify")):
        assert before.exit_code == 0, before.output
    case.deploy()
    time.sleep(2 * CACHE_SECONDS)  # The server caches what an identity may read.
    for file in (case.root / "credentials").glob(f"{api}.*"):
        file.rename(file.with_name(file.name.replace(api, new)))
    verified = _verify(case)
    assert verified.output.splitlines()[0] == "✓ 4 secrets, 0 problems", verified.output
    assert verified.exit_code == 0
    report = json.loads((case.root / "migration-report.json").read_text(encoding="utf-8"))
    assert report["verified_at"]
    applied = case.run("apply")
    assert applied.exit_code == 0, applied.output
    assert "4 there already" in applied.stdout
    assert _verify(case).exit_code == 0
    planned = case.run("plan")
    assert "0 new, 4 the same" in planned.stdout


def test_without_renamed_from_a_note_names_the_unknown_service(case: Case) -> None:
    api, _ = case.services
    _rename(case, "/postman", api)
    case.deploy()
    _rename(case, "/postman", None)
    verified = _verify(case)
    assert verified.exit_code == 2
    assert f"`renamed_from: {api}`" in " ".join(verified.stderr.split())
