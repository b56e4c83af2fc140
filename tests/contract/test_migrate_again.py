"""Test a second migration after the files of the first one are deleted."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from infisical_iac.cli.main import main

from .migrating import ENV_FILE, VALUES, Case, backend, new
from .world import ok

if TYPE_CHECKING:
    from pathlib import Path

    from .world import World

_PERSONAL = "backend/.env.production.local"
_ADDED = {"/backend/ADDED": "fake-added-value-7"}


@pytest.fixture
def case(world: World, tmp_path: Path) -> Case:
    """A repository whose shared file was committed, moved and cleaned; a personal one stayed."""
    case = backend(world, tmp_path)
    case.deploy()
    case.write(_PERSONAL, "ADDED=fake-added-value-7\n")
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "before"]):
        author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        subprocess.run(["git", *author, *arguments], cwd=case.root, check=True)
    case.run("plan")
    case.decide("decision: undecided", "decision: skip")
    case.run("plan")
    assert case.run("apply").exit_code == 0
    assert case.run("verify").exit_code == 0
    assert "Deleted 1 file." in _clean(case).output
    return case


def _clean(case: Case) -> Result:
    given = ["migrate", "clean", str(case.plan_file), "--no-archive", "--yes"]
    return CliRunner().invoke(main, given)


def _history(case: Case) -> Result:
    given = [str(case.root), "--plan", str(case.plan_file)]
    given += ["--project-file", str(case.workspace_file), "--json"]
    return CliRunner(env=case.environment()).invoke(main, ["migrate", "history", *given])


def _list_findings(case: Case) -> set[str]:
    return {each["label"] for each in json.loads(_history(case).stdout)["rotate"]}


def _report(case: Case) -> dict[str, Any]:
    return dict(json.loads((case.root / "migration-report.json").read_text(encoding="utf-8")))


def test_a_second_migration_keeps_what_the_first_one_moved(case: Case) -> None:
    before = _list_findings(case)
    assert f"{ENV_FILE} DATABASE_URL" in before
    case.decide("decision: skip", "decision: store")
    planned = case.run("plan")
    assert f"{ENV_FILE} → production/backend: {len(VALUES)} keys " in planned.stdout
    assert "1 new, 0 the same, 0 changed, " in planned.stdout
    applied = case.run("apply")
    assert applied.exit_code == 0, applied.output
    assert f"{len(VALUES)} keys of 1 deleted file " in applied.stdout
    assert "1 of 1 secret " in applied.stdout
    assert case.values() == VALUES | _ADDED
    assert f"{len(VALUES) + 1} secrets, 0 problems" in case.run("verify").stdout
    assert _list_findings(case) == before | {f"{_PERSONAL} ADDED"}


def test_a_changed_secret_of_a_deleted_file_is_reported_after_a_second_migration(
    case: Case,
) -> None:
    case.run("plan")
    assert case.run("apply").exit_code == 0
    case.put("production", "/backend", HASH="fake-rotated")
    verified = case.run("verify")
    assert verified.exit_code == 2
    assert "✗ production/backend/HASH " in verified.stdout


def test_a_second_report_lists_the_deleted_files(case: Case) -> None:
    case.decide("decision: skip", "decision: store")
    case.run("plan")
    case.run("apply")
    report = _report(case)
    assert [each["path"] for each in report["sources"]] == [_PERSONAL]
    assert [(each["path"], len(each["keys"])) for each in report["deleted"]] == [
        (ENV_FILE, len(VALUES))
    ]
    html = (case.root / "migration-report.html").read_text(encoding="utf-8")
    assert f"{len(VALUES)} moved before" in html
    assert case.run("verify").exit_code == 0
    assert "Deleted 1 file." in _clean(case).output
    assert _clean(case).output.endswith("Nothing to do.\n")


def test_a_file_that_a_person_removed_from_the_plan_stays_removed(case: Case) -> None:
    case.run("plan")
    head, _, _ = case.plan_file.read_text(encoding="utf-8").partition(f"- path: {ENV_FILE}\n")
    case.plan_file.write_text(head, encoding="utf-8")
    assert f"{ENV_FILE} → " not in case.run("plan").stdout


def test_a_deleted_file_without_secrets_in_infisical_is_reported(case: Case) -> None:
    for key in (name.removeprefix("/backend/") for name in VALUES):
        place = case.place("production", "/backend")
        ok(case.world.deployer.request("DELETE", f"/api/v4/secrets/{key}", json=place))
    planned = case.run("plan")
    assert f"{ENV_FILE} → " not in planned.stdout
    assert f"Note: {ENV_FILE} " in planned.stderr


def test_a_second_plan_of_other_directories_names_the_files_that_it_lacks(
    case: Case, tmp_path: Path
) -> None:
    case.write(ENV_FILE, "DATABASE_URL=fake-database\n")
    case.run("plan")
    case.write("elsewhere/.env.production", "FAKE=fake-value\n")
    given = ["--output", str(case.plan_file), "--project-file", str(case.workspace_file)]
    planned = case.invoke("migrate", "plan", str(case.root / "elsewhere"), *given)
    assert str(tmp_path / ENV_FILE) in planned.stderr
    assert "--output FILE" in planned.stderr


def test_a_plan_of_another_directory_keeps_deleted_files(case: Case) -> None:
    case.write("worker/.env.production", "FAKE=fake-value\n")
    given = ["--output", str(case.plan_file), "--project-file", str(case.workspace_file)]
    planned = case.invoke("migrate", "plan", str(case.root / "worker"), *given)
    assert f"{ENV_FILE} → production/backend: " in planned.stdout
    assert "worker/.env.production → " in planned.stdout


def test_a_single_file_of_one_repository_keeps_those_of_others(
    world: World, tmp_path: Path
) -> None:
    case = new(world, tmp_path, "api", "web")
    case.write("services/api/.env.production", "API_TOKEN=fake-api-token-7\n")
    case.write("services/web/.env.production", "WEB_TOKEN=fake-web-token-7\n")
    case.write("services/web/.env.local", "MINE=fake-mine-7\n")
    for name in ("api", "web"):
        command = ["git", "init", "--quiet", str(case.root / "services" / name)]
        subprocess.run(command, check=True)
    case.run("plan")
    case.decide("decision: undecided", "decision: skip")
    case.run("plan")
    assert case.run("apply").exit_code == 0
    for name in ("api", "web"):
        (case.root / f"services/{name}/.env.production").unlink()
    case.decide("decision: skip", "decision: store")
    given = ["--output", str(case.plan_file), "--project-file", str(case.workspace_file)]
    personal = case.root / "services/web/.env.local"
    planned = case.invoke("migrate", "plan", str(personal), *given)
    for path in ("api/.env.production", "web/.env.production"):
        assert f"{path} → production/" in planned.stdout
    assert "0 to be decided" in planned.stdout
    assert case.run("apply").exit_code == 0
    assert case.values("development") == {"/web/MINE": "fake-mine-7"}
    case.deploy()
    assert "3 secrets, 0 problems" in case.run("verify").stdout


def test_a_plan_of_another_project_does_not_replace_one_of_deleted_files(case: Case) -> None:
    text = case.workspace_file.read_text(encoding="utf-8")
    case.workspace_file.write_text(text.replace(case.name, "another-one"), encoding="utf-8")
    before = case.plan_file.read_bytes()
    refused = case.error("plan")
    assert refused.code == "refused.earlier_migration"
    for fact in (str(case.plan_file), case.name, "another-one", "--output FILE"):
        assert fact in str(refused)
    assert case.plan_file.read_bytes() == before


def test_a_plan_without_its_key_does_not_replace_one_of_deleted_files(case: Case) -> None:
    (case.root / "migration.key").unlink()
    before = case.plan_file.read_bytes()
    refused = case.error("plan")
    assert refused.code == "refused.earlier_migration"
    assert str(case.root / "migration.key") in str(refused)
    assert case.plan_file.read_bytes() == before
    assert not (case.root / "migration.key").exists()
