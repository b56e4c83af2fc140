"""Test `infisical-iac workspace plan|apply --prune` against an Infisical at a URL.

The fixture `on_host` gives the command a memory, as a deployed host has one.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from infisical_iac.workspace.goal import Memory
from infisical_iac.workspace.reach import reach

from .items import Expected, parse
from .pruning import Case
from .world import World, ok

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infisical_iac.workspace.goal import Reached

_numbers = count(1)


@pytest.fixture
def case(world: World, tmp_path: Path) -> Case:
    """A file with two services in two environments, not deployed yet."""
    made = Case(world, f"pruned-{next(_numbers)}", tmp_path / "workspace.yaml")
    made.write("api", "web")
    return made


@pytest.fixture
def on_host(case: Case, monkeypatch: pytest.MonkeyPatch) -> Case:
    """A deployed case, with a memory of the objects that were made."""
    case.memory = Memory()

    @contextmanager
    def remembering(*given: Any, **options: Any) -> Iterator[Reached]:
        with reach(*given, **options) as reached:
            assert case.memory is not None
            yield replace(reached, memory=case.memory, remember=remember)

    def remember(memory: Memory) -> None:
        case.memory = memory

    monkeypatch.setattr("infisical_iac.cli.workspace.reach", remembering)
    case.run_and_list_changes("apply")
    return case


def test_a_service_that_left_the_file_is_reported_and_pruned_only_with_prune(case: Case) -> None:
    case.run_and_list_changes("apply")
    case.write("api")
    reported = case.run("plan")
    assert reported.exit_code == 0
    lines = reported.stdout.splitlines()
    assert lines[0] == "Nothing to change."
    assert [parse(each) for each in lines[1:]] == [
        Expected("*", f"identity {case.name}-web-{stage} with role no-access", "the file", "id ")
        for stage in ("production", "qa")
    ]
    assert reported.stderr.startswith("Note: ")
    planned = case.run("plan", "--prune")
    assert planned.exit_code == 2
    assert planned.stdout.splitlines() == [
        f"- identity {case.name}-web-production",
        f"- identity {case.name}-web-qa",
    ]
    assert "INFISICAL_API_URL" in planned.stderr
    pruned = case.run("apply", "--prune", "--yes")
    assert pruned.exit_code == 0
    assert pruned.stdout == f"{planned.stdout}2 changes made.\n"
    settled = case.run("plan")
    assert (settled.exit_code, settled.output) == (0, "Nothing to change.\n")
    assert "/web" in case.folders()


def test_json_lists_foreign_access_separately_from_changes(case: Case) -> None:
    case.run_and_list_changes("apply")
    case.write("api", environments=("production",))
    planned = case.run("plan", "--json")
    assert planned.exit_code == 0
    found = json.loads(planned.stdout)
    assert found["changes"] == []
    assert found["unnamed"] == []
    names = [f"identity {case.name}-{each}" for each in ("api-qa", "web-production", "web-qa")]
    assert [each["what"] for each in found["foreign"]] == [
        f"{name} with role no-access" for name in names
    ]
    pruned = json.loads(case.run("apply", "--prune", "--yes", "--json").stdout)
    assert [each["what"] for each in pruned["changes"]] == names
    assert pruned["foreign"] == []
    assert len(pruned["notes"]) == 1


def test_apply_without_prune_reports_and_keeps_foreign_access(case: Case) -> None:
    case.run_and_list_changes("apply")
    case.write("api")
    applied = case.run("apply")
    assert applied.exit_code == 0
    assert applied.stdout.startswith("Nothing to change.\n* identity ")
    assert len(json.loads(case.run("plan", "--json").stdout)["foreign"]) == 2


def test_identities_of_another_project_of_the_organization_are_kept(
    case: Case, tmp_path: Path
) -> None:
    case.run_and_list_changes("apply")
    other = Case(case.world, f"{case.name}-other", tmp_path / "other.yaml")
    other.write("api")
    other.run_and_list_changes("apply")
    assert case.run("plan", "--prune").exit_code == 0
    assert other.run("plan", "--prune").exit_code == 0


def test_answering_no_prunes_nothing(case: Case) -> None:
    case.run_and_list_changes("apply")
    case.write("api")
    refused = case.run("apply", "--prune", answer="n\n")
    assert refused.exit_code == 1
    assert f"- identity {case.name}-web-qa" in refused.stderr
    assert "web-qa" in case.identities()


def test_a_service_is_pruned_with_its_folders_and_imports(on_host: Case) -> None:
    on_host.write("api")
    whats = [
        *(f"identity {on_host.name}-web-{stage}" for stage in ("production", "qa")),
        *(f"import of /shared into /web in {stage}" for stage in ("production", "qa")),
        *(f"folder /web in {stage}" for stage in ("production", "qa")),
    ]
    changes = on_host.run_and_list_changes("apply", "--prune")
    assert changes == [Expected("-", each) for each in whats]
    assert on_host.folders() == ["/api", "/shared"]
    settled = on_host.run("plan", "--prune")
    assert (settled.exit_code, settled.stdout) == (0, "Nothing to change.\n")


def test_nested_folders_are_pruned_deepest_first(on_host: Case) -> None:
    on_host.write("api", "web/deep/inside")
    on_host.run_and_list_changes("apply")
    on_host.write("api")
    done = on_host.run_and_list_changes("apply", "--prune")
    folders = [each for each in done if each.what.startswith("folder ") and "in qa" in each.what]
    assert folders == [
        Expected("-", f"folder {path} in qa") for path in ("/web/deep/inside", "/web/deep", "/web")
    ]


def test_an_environment_without_secrets_is_pruned_without_its_name_and_can_be_restored(
    on_host: Case,
) -> None:
    on_host.write("api", "web", environments=("production",))
    done = on_host.run_and_list_changes("apply", "--prune")
    assert done[-1] == Expected("-", "environment qa", "grace period")
    assert "secret" not in done[-1].detail
    assert on_host.environments() == ["production"]
    assert [each["slug"] for each in on_host.project()["deletedEnvironments"]] == ["qa"]
    assert on_host.run("plan", "--prune").exit_code == 0
    on_host.write("api", "web")
    restored = Expected("~", "environment qa", "deleted → restored")
    assert restored in on_host.run_and_list_changes("apply")
    assert on_host.folders() == ["/api", "/shared", "/web"]


@pytest.mark.parametrize("given", [(), ("--confirm", "production")])
def test_an_environment_with_secrets_is_not_pruned_without_its_name(
    on_host: Case, given: tuple[str, ...]
) -> None:
    on_host.write_secrets("/web", "A", "B")
    on_host.write_secrets("/", "C")
    on_host.write("api", "new", environments=("production",))
    refused = on_host.run("apply", "--prune", "--yes", *given)
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert "3 secrets" in refused.stderr
    assert "--confirm qa" in refused.stderr
    assert on_host.environments() == ["production", "qa"]
    assert "/new" not in on_host.folders("production")
    assert on_host.identities() == ["api-production", "api-qa", "web-production", "web-qa"]


def test_an_environment_with_secrets_is_pruned_with_its_name(on_host: Case) -> None:
    on_host.write_secrets("/web", "A")
    on_host.write("api", "web", environments=("production",))
    done = on_host.run_and_list_changes("apply", "--prune", "--confirm", "qa")
    assert done[-1] == Expected("-", "environment qa", "1 secret", "grace period")
    assert on_host.environments() == ["production"]


@pytest.mark.parametrize(("typed", "left"), [("qa", []), ("qq", ["qa"])])
def test_the_question_asks_for_the_name(on_host: Case, typed: str, left: list[str]) -> None:
    on_host.write_secrets("/web", "A", "B")
    on_host.write("api", "web", environments=("production",))
    asked = on_host.run("apply", "--prune", answer=f"y\n{typed}\n")
    assert "the name qa " in asked.stderr
    assert "2 secrets" in asked.stderr
    assert (asked.exit_code, on_host.environments()) == (int(bool(left)), ["production", *left])


def test_a_folder_with_secrets_is_pruned_only_with_environment_and_path_confirmed(
    on_host: Case,
) -> None:
    on_host.write_secrets("/web", "A")
    on_host.write("api")
    refused = on_host.run("apply", "--prune", "--yes")
    assert refused.exit_code == 1
    assert "1 secret" in refused.stderr
    assert "--confirm qa/web" in refused.stderr
    pruned = on_host.run_and_list_changes("apply", "--prune", "--confirm", "qa/web")
    assert Expected("-", "folder /web in qa", "1 secret") in pruned
    assert on_host.folders() == ["/api", "/shared"]


def test_objects_made_by_hand_are_never_pruned(on_host: Case) -> None:
    project = on_host.project()["id"]
    deployer = on_host.world.deployer
    body = {"projectId": project, "environment": "qa", "path": "/", "name": "by-hand"}
    ok(deployer.post("/api/v2/folders", json=body))
    environments = f"/api/v1/projects/{project}/environments"
    ok(deployer.post(environments, json={"slug": "theirs", "name": "Theirs"}))
    on_host.run_and_list_changes("apply", "--prune")
    assert on_host.run("plan", "--prune").exit_code == 0
    assert on_host.folders() == ["/api", "/by-hand", "/shared", "/web"]
    assert "theirs" in on_host.environments()
