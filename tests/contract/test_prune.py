"""`infisical-iac workspace plan|apply --prune` against an Infisical at a URL.

Where a test speaks of a host, the command is given a memory as a host has one.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from infisical_iac.workspace.memory import Memory
from infisical_iac.workspace.reach import reach

from .pruning import Case
from .world import World, ok

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infisical_iac.workspace.reach import Reached

_numbers = count(1)


@pytest.fixture
def case(world: World, tmp_path: Path) -> Case:
    """Two services in two environments, not deployed yet."""
    made = Case(world, f"pruned-{next(_numbers)}", tmp_path / "workspace.yaml")
    made.write("api", "web")
    return made


@pytest.fixture
def on_host(case: Case, monkeypatch: pytest.MonkeyPatch) -> Case:
    """The same, deployed, with a memory of what was made."""
    case.memory = Memory()

    @contextmanager
    def remembering(*given: Any, **options: Any) -> Iterator[Reached]:
        with reach(*given, **options) as reached:
            assert case.memory is not None
            yield replace(reached, memory=case.memory, remember=remember)

    def remember(memory: Memory) -> None:
        case.memory = memory

    monkeypatch.setattr("infisical_iac.cli.workspace.reach", remembering)
    case.lines("apply")
    return case


def test_a_service_that_left_the_file_is_told_of_and_pruned_when_asked_for(case: Case) -> None:
    case.lines("apply")
    case.write("api")
    told = case.run("plan")
    assert told.exit_code == 0
    lines = told.stdout.splitlines()
    assert lines[0] == "Nothing to change."
    assert [each.split(";")[0] for each in lines[1:]] == [
        f"* identity {case.name}-web-{stage} with role no-access: the file names it no more"
        for stage in ("production", "qa")
    ]
    assert told.stderr.startswith("Note: access that the file does not give (*) stays")
    planned = case.run("plan", "--prune")
    assert planned.exit_code == 2
    assert planned.stdout.splitlines() == [
        f"- identity {case.name}-web-production",
        f"- identity {case.name}-web-qa",
    ]
    assert "at a URL only access is pruned" in planned.stderr
    pruned = case.run("apply", "--prune", "--yes")
    assert pruned.exit_code == 0
    assert pruned.stdout == f"{planned.stdout}2 changes made.\n"
    settled = case.run("plan")
    assert (settled.exit_code, settled.output) == (0, "Nothing to change.\n")
    assert "/web" in case.folders()


def test_json_tells_what_is_unnamed_apart(case: Case) -> None:
    case.lines("apply")
    case.write("api", environments=("production",))
    told = case.run("plan", "--json")
    assert told.exit_code == 0
    found = json.loads(told.stdout)
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


def test_an_apply_that_is_not_asked_to_prune_tells_and_leaves_it(case: Case) -> None:
    case.lines("apply")
    case.write("api")
    applied = case.run("apply")
    assert applied.exit_code == 0
    assert applied.stdout.startswith("Nothing to change.\n* identity ")
    assert len(json.loads(case.run("plan", "--json").stdout)["foreign"]) == 2


def test_identities_of_another_project_of_the_organization_stay(case: Case, tmp_path: Path) -> None:
    case.lines("apply")
    other = Case(case.world, f"{case.name}-other", tmp_path / "other.yaml")
    other.write("api")
    other.lines("apply")
    assert case.run("plan", "--prune").exit_code == 0
    assert other.run("plan", "--prune").exit_code == 0


def test_no_to_the_question_prunes_nothing(case: Case) -> None:
    case.lines("apply")
    case.write("api")
    refused = case.run("apply", "--prune", answer="n\n")
    assert refused.exit_code == 1
    assert f"- identity {case.name}-web-qa" in refused.stderr
    assert "web-qa" in case.identities()


def test_a_service_is_pruned_with_its_folders_and_imports(on_host: Case) -> None:
    on_host.write("api")
    assert on_host.lines("apply", "--prune") == [
        f"- identity {on_host.name}-web-production",
        f"- identity {on_host.name}-web-qa",
        "- import of /shared into /web in production",
        "- import of /shared into /web in qa",
        "- folder /web in production",
        "- folder /web in qa",
    ]
    assert on_host.folders() == ["/api", "/shared"]
    settled = on_host.run("plan", "--prune")
    assert (settled.exit_code, settled.stdout) == (0, "Nothing to change.\n")


def test_folders_inside_each_other_are_pruned(on_host: Case) -> None:
    on_host.write("api", "web/deep/inside")
    on_host.lines("apply")
    on_host.write("api")
    done = on_host.lines("apply", "--prune")
    assert [each for each in done if each.endswith("in qa") and "folder" in each] == [
        "- folder /web/deep/inside in qa",
        "- folder /web/deep in qa",
        "- folder /web in qa",
    ]


def test_an_environment_without_secrets_needs_no_name_and_can_be_had_back(on_host: Case) -> None:
    on_host.write("api", "web", environments=("production",))
    done = on_host.lines("apply", "--prune")
    assert done[-1] == "- environment qa: restorable until the server's grace period ends"
    assert on_host.environments() == ["production"]
    assert [each["slug"] for each in on_host.project()["deletedEnvironments"]] == ["qa"]
    assert on_host.run("plan", "--prune").exit_code == 0
    on_host.write("api", "web")
    assert "~ environment qa: deleted → restored, with all that it held" in on_host.lines("apply")
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
    assert "nothing was changed" in refused.stderr
    assert "environment qa with 3 secrets" in refused.stderr
    assert "add --confirm qa" in refused.stderr
    assert on_host.environments() == ["production", "qa"]
    assert "/new" not in on_host.folders("production")
    assert on_host.identities() == ["api-production", "api-qa", "web-production", "web-qa"]


def test_an_environment_with_secrets_is_pruned_with_its_name(on_host: Case) -> None:
    on_host.write_secrets("/web", "A")
    on_host.write("api", "web", environments=("production",))
    done = on_host.lines("apply", "--prune", "--confirm", "qa")
    assert done[-1].startswith("- environment qa: with 1 secret, restorable")
    assert on_host.environments() == ["production"]


@pytest.mark.parametrize(("typed", "left"), [("qa", []), ("qq", ["qa"])])
def test_the_name_is_asked_for(on_host: Case, typed: str, left: list[str]) -> None:
    on_host.write_secrets("/web", "A", "B")
    on_host.write("api", "web", environments=("production",))
    asked = on_host.run("apply", "--prune", answer=f"y\n{typed}\n")
    assert "Type the name qa to delete it with its 2 secrets: " in asked.stderr
    assert (asked.exit_code, on_host.environments()) == (int(bool(left)), ["production", *left])


def test_a_folder_with_secrets_is_pruned_with_its_environment_and_path_as_name(
    on_host: Case,
) -> None:
    on_host.write_secrets("/web", "A")
    on_host.write("api")
    refused = on_host.run("apply", "--prune", "--yes")
    assert refused.exit_code == 1
    assert "folder /web in qa with 1 secret: add --confirm qa/web" in refused.stderr
    assert "- folder /web in qa: with 1 secret" in on_host.lines(
        "apply", "--prune", "--confirm", "qa/web"
    )
    assert on_host.folders() == ["/api", "/shared"]


def test_what_was_made_by_hand_is_never_pruned(on_host: Case) -> None:
    project = on_host.project()["id"]
    deployer = on_host.world.deployer
    body = {"projectId": project, "environment": "qa", "path": "/", "name": "by-hand"}
    ok(deployer.post("/api/v2/folders", json=body))
    environments = f"/api/v1/projects/{project}/environments"
    ok(deployer.post(environments, json={"slug": "theirs", "name": "Theirs"}))
    on_host.lines("apply", "--prune")
    assert on_host.run("plan", "--prune").exit_code == 0
    assert on_host.folders() == ["/api", "/by-hand", "/shared", "/web"]
    assert "theirs" in on_host.environments()
