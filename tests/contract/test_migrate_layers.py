"""Test migrating files that a loader reads together, and files that are named one by one."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from infisical_iac.cli.main import main

from .migrating import Case, backend

if TYPE_CHECKING:
    from pathlib import Path

    from .world import World


@pytest.fixture
def case(world: World, tmp_path: Path) -> Case:
    made = backend(world, tmp_path)
    made.write("backend/package.json", '{"dependencies": {"vite": "8"}}')
    made.write("backend/.env", "URL=https://$HOST/fake\nHOST=fake-base\n")
    made.write("backend/.env.production", "HOST=fake-live\n")
    made.write("backend/.env.local", "HOST=fake-mine\n")
    return made


def test_each_environment_gets_the_values_that_vite_would_load(case: Case) -> None:
    planned = json.loads(case.run("plan", "--json").stdout)
    findings = {
        (source["path"], finding["kind"]): finding["message"]
        for source in planned["plan"]["sources"]
        for finding in source.get("findings", ())
    }
    for fact in ("Vite ", " production ", " URL."):
        assert fact in findings["backend/.env", "lacking"]
    assert ("backend/.env.local", "personal-file") in findings
    assert "? backend/.env.local: " in case.run("plan").stdout
    case.write("backend/.env.production", "HOST=fake-live\nURL=https://$HOST/fake\n")
    assert "1 to be decided" in case.run("plan").stdout
    case.decide("decision: undecided", "decision: store")
    assert "0 to be decided" in case.run("plan").stdout
    assert case.run("apply").exit_code == 0
    assert case.values() == {"/backend/HOST": "fake-live", "/backend/URL": "https://fake-live/fake"}
    assert case.values("development") == {
        "/backend/HOST": "fake-mine",
        "/backend/URL": "https://fake-mine/fake",
    }
    assert case.run("plan").exit_code == 0


def test_a_single_file_is_planned_and_applied_with_its_layers(case: Case) -> None:
    subprocess.run(["git", "init", "--quiet", case.root], check=True)
    files = [str(case.root / "backend" / name) for name in (".env", ".env.local")]
    given = [*files, "--output", str(case.plan_file), "--project-file", str(case.workspace_file)]
    command = ["migrate", "plan", *given, "--json"]
    planned = CliRunner(env=case.environment()).invoke(main, command)
    (first, second) = json.loads(planned.stdout)["plan"]["sources"]
    assert (first["path"], second["path"]) == ("backend/.env", "backend/.env.local")
    case.decide("decision: undecided", "decision: store")
    assert case.run("apply").exit_code == 0
    assert case.values("development")["/backend/URL"] == "https://fake-mine/fake"
    assert case.values() == {}
