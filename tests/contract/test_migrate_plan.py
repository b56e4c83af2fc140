"""Test `infisical-iac migrate plan`: its output, and the decisions in its file."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from .migrating import ENV_FILE, VALUES, Case, backend, new

if TYPE_CHECKING:
    from pathlib import Path

    from .world import World


@pytest.fixture
def case(world: World, tmp_path: Path) -> Case:
    return backend(world, tmp_path)


def _report(case: Case) -> dict[str, Any]:
    return dict(json.loads((case.root / "migration-report.json").read_text(encoding="utf-8")))


@pytest.fixture
def planned_case(case: Case) -> Case:
    assert case.run("plan").exit_code == 2
    return case


def test_a_plan_distinguishes_new_same_changed_and_remote_only_values(case: Case) -> None:
    case.put("production", "/backend", HASH=VALUES["/backend/HASH"], JSON="other", MORE="fake")
    output = json.loads(case.run("plan", "--json").stdout)
    name = "production/backend"
    assert output["new"] == [f"{name}/{key}" for key in ("DATABASE_URL", "PEM", "UNICODE", "EMPTY")]
    assert output["same"] == [f"{name}/HASH"]
    assert output["changed"] == [f"{name}/JSON"]
    assert output["only_in_infisical"] == [f"{name}/MORE"]
    assert f"~ production/backend/JSON ({ENV_FILE}:4)" in case.run("plan").stdout


def test_a_plan_without_its_key_is_refused(planned_case: Case) -> None:
    (planned_case.root / "migration.key").unlink()
    refused = planned_case.error("apply")
    assert refused.code == "file.no_plan_key"
    assert str(planned_case.root / "migration.key") in str(refused)


def test_values_that_infisical_would_change_are_undecided_and_not_stored(case: Case) -> None:
    case.write(ENV_FILE, "PADDED='  padded-fake  '\nGOOD=fake-value\n")
    planned = case.run("plan")
    assert planned.exit_code == 2
    assert f"? {ENV_FILE}:1 PADDED: " in planned.stdout
    undecided = case.error("apply")
    case.decide("decision: undecided", "decision: store")
    trimmed = case.error("apply")
    assert [each.code for each in (undecided, trimmed)] == ["error.plan_values"] * 2
    assert str(undecided).startswith(f"PADDED in {ENV_FILE}:1 is undecided")
    assert str(trimmed).startswith(f"PADDED in {ENV_FILE}:1 begins or ends ")
    assert case.values() == {}


def test_a_literal_reference_is_stored_if_it_is_allowed(case: Case) -> None:
    case.write(ENV_FILE, "LITERAL='fake ${NOT_A_NAME} fake'\n")
    case.run("plan")
    assert f"LITERAL in {ENV_FILE}:1 is undecided" in case.run("apply").error
    case.run("plan", "--allow-literal-references")
    applied = case.run("apply")
    assert applied.exit_code == 0, applied.output
    assert case.values() == {"/backend/LITERAL": "fake ${NOT_A_NAME} fake"}
    assert _report(case)["secrets"][0]["expanded"] == "differs"


def test_a_reference_that_the_app_resolves_is_stored_resolved(case: Case) -> None:
    case.write("backend/package.json", '{"dependencies": {"dotenv": "17", "dotenv-expand": "12"}}')
    case.write(ENV_FILE, "HOST=fake-host\nURL=http://${HOST}/fake\n")
    case.run("plan")
    assert "decision: store-resolved" in case.plan_file.read_text(encoding="utf-8")
    assert case.run("apply").exit_code == 0
    assert case.values()["/backend/URL"] == "http://fake-host/fake"


def test_two_differing_files_for_one_place_need_a_decision(case: Case) -> None:
    case.write(ENV_FILE, "SAME=fake-one\nOTHER=fake-two\n")
    case.write("backend/.env.production.local", "SAME=fake-one\nOTHER=fake-three\n")
    assert case.run("plan").exit_code == 2
    case.decide("decision: undecided", "decision: store")
    refused = case.run("apply").error
    assert f"OTHER in {ENV_FILE}:2 and {ENV_FILE}.local:2 are" in refused


def test_an_environment_written_into_the_plan_is_kept_by_the_next_plan(
    world: World, tmp_path: Path
) -> None:
    case = new(world, tmp_path)
    case.write("backend/.env", "FAKE=fake-value\n")
    case.run("plan")
    case.decide("environment: development", "environment: production")
    assert " → production/backend: 1 " in case.run("plan").stdout
    assert case.run("apply").exit_code == 0
    assert (case.values("development"), case.values()) == ({}, {"/backend/FAKE": "fake-value"})


def test_a_decision_is_kept_by_the_next_plan(case: Case) -> None:
    case.write(ENV_FILE, "PADDED='  padded-fake  '\nGOOD=fake-value\n")
    assert "plan again" not in case.run("plan").stdout.splitlines()[-1]
    case.decide("decision: undecided", "decision: skip")
    assert "0 to be decided" in case.run("plan").stdout
    applied = case.run("apply")
    assert applied.exit_code == 0
    assert "1 key left out " in applied.stdout
    assert case.values() == {"/backend/GOOD": "fake-value"}
    case.write(ENV_FILE, "PADDED='  changed-fake  '\nGOOD=fake-value\n")
    assert "1 to be decided" in case.run("plan").stdout


def test_a_file_of_no_service_is_undecided_and_can_be_left_out(case: Case) -> None:
    case.write("elsewhere/.env.production", "FAKE=fake-value\n")
    planned = case.run("plan").stdout
    assert "? elsewhere/.env.production: " in planned
    assert ", plan again, " in planned.splitlines()[-1]
    refused = case.error("apply")
    assert "elsewhere/.env.production" in str(refused)
    case.decide("decision: undecided", "decision: skip")
    assert case.run("apply").exit_code == 0
    assert case.values() == VALUES


def test_a_plan_for_another_project_is_refused(planned_case: Case) -> None:
    planned_case.decide(f"project: {planned_case.name}", "project: another-one")
    refused = planned_case.error("apply")
    assert refused.code == "error.other_project"
    assert " another-one, " in str(refused)
    assert f" {planned_case.name}: " in str(refused)


def test_a_missing_project_is_reported_with_the_remedy(case: Case) -> None:
    text = case.workspace_file.read_text(encoding="utf-8")
    case.workspace_file.write_text(text.replace(case.name, "not-there"), encoding="utf-8")
    refused = case.error("plan")
    assert refused.code == "error.no_project"
    assert " not-there " in str(refused)
    assert "`infisical-iac workspace apply`" in str(refused)


def test_a_grammar_written_into_the_plan_is_used_by_the_next_plan(case: Case) -> None:
    case.write(ENV_FILE, "GLUED=fake#value\n")
    case.run("plan")
    case.decide("grammar: dotenv", "grammar: compose")
    refused = case.error("apply")
    assert refused.code == "error.plan_values"
    assert str(refused).startswith(f"GLUED in {ENV_FILE}:1 is read ")
    assert " as compose " in case.run("plan").stdout
    assert case.run("apply").exit_code == 0
    assert case.values() == {"/backend/GLUED": "fake#value"}
    assert " as compose " in case.run("plan").stdout


def test_git_ignores_the_key_of_the_hashes(case: Case) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=case.root, check=True)
    assert "migration.key" in case.run("plan").stderr
    case.write(".gitignore", "migration.key\n")
    assert "Note" not in case.run("plan").stderr
    assert (case.root / "migration.key").stat().st_mode & 0o777 == 0o600


def test_several_directories_are_planned_together(world: World, tmp_path: Path) -> None:
    case = new(world, tmp_path, "backend", "worker")
    for service in case.services:
        case.write(f"services/{service}/.env.production", "FAKE=fake-value\n")
    worker = str(case.root / "services/worker")
    backend = Case(world, case.name, case.root / "services/backend", case.services)
    given = [worker, "--output", str(case.plan_file)]
    workspace = ["--project-file", str(case.workspace_file)]
    assert backend.run("plan", *given, *workspace).exit_code == 2
    assert "root: services\n" in case.plan_file.read_text(encoding="utf-8")
    assert case.run("apply").exit_code == 0
    assert case.values() == {"/backend/FAKE": "fake-value", "/worker/FAKE": "fake-value"}
