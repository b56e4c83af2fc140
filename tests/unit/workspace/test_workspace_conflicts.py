"""Test that a taken name blocks only one object, and all else is reported and repaired."""

import re
from contextlib import nullcontext
from dataclasses import replace

import pytest
from click.testing import CliRunner

from infisical_iac.cli import workspace as command
from infisical_iac.core.journal import Journal
from infisical_iac.workspace import reconcile
from infisical_iac.workspace.converge import difference
from infisical_iac.workspace.load import load
from infisical_iac.workspace.memory import remember
from tests.unit.deployment import TEXT, folder, update
from tests.unit.people_deployment import PeopleDeployment

_FOLDER = re.compile("! folder /services in staging: blocked: .* /older, .*")
_ENVIRONMENT = re.compile("! environment staging: blocked: .* uat, .*")


@pytest.fixture
def deployment() -> PeopleDeployment:
    deployment = PeopleDeployment()
    deployment.settle(TEXT)
    return deployment


def _folders(deployment: PeopleDeployment, slug: str = "staging") -> set[str]:
    return deployment.server.folders[deployment.server.environment(slug)["id"]]


def _take_folder_name(deployment: PeopleDeployment) -> None:
    """Rename a folder with a subfolder, and create a new folder with its former name."""
    id = deployment.server.environment("staging")["id"]
    deployment.server.rename_folder(id, "/services", "older")
    place = {"environment": "staging", "path": "/"}
    deployment.server._create_folder({**place, "name": "services"})


def _take_environment_slug(deployment: PeopleDeployment) -> None:
    deployment.server.environment("staging")["slug"] = "uat"
    deployment.server._create_environment({"slug": "staging", "name": "Another"})


def test_a_folder_whose_name_is_taken_is_blocked_and_all_else_is_repaired(
    deployment: PeopleDeployment,
) -> None:
    _take_folder_name(deployment)
    _folders(deployment).discard("/shared")
    _folders(deployment).discard("/older/python")
    deployment.server.identity("backend-staging")["name"] = "other"
    output = [str(each) for each in deployment.plan(TEXT)]
    assert _FOLDER.fullmatch(output[0])
    assert sorted(output[1:]) == [
        f"+ {folder('/shared', 'staging')}",
        update("identity backend-staging", "name", "other", "backend-staging"),
    ]
    assert deployment.settle(TEXT) == output[1:]
    (blocked,) = deployment.plan(TEXT)
    assert _FOLDER.fullmatch(str(blocked))
    # Nothing is made in the folder that now has the name.
    assert {each for each in _folders(deployment) if "older" in each or "services" in each} == {
        "/older",
        "/services",
    }


def test_a_folder_that_waits_for_a_blocked_one_is_blocked(
    deployment: PeopleDeployment,
) -> None:
    _take_folder_name(deployment)
    id = deployment.server.environment("staging")["id"]
    deployment.server.rename_folder(id, "/shared", "aside")
    deployment.server.rename_folder(id, "/older", "shared")
    output = [str(each) for each in deployment.plan(TEXT)]
    assert [each.partition(":")[0] for each in output] == [
        "! folder /services in staging",
        "! folder /shared in staging",
    ]
    assert deployment.settle(TEXT) == []


def test_an_environment_whose_slug_is_taken_is_blocked_and_all_else_is_repaired(
    deployment: PeopleDeployment,
) -> None:
    _take_environment_slug(deployment)
    _folders(deployment, "uat").discard("/shared")
    _folders(deployment, "production").discard("/shared")
    assert deployment.settle(TEXT) == ["+ folder /shared in production"]
    (blocked,) = deployment.plan(TEXT)
    assert _ENVIRONMENT.fullmatch(str(blocked))
    # Nothing is made in the environment that now has the slug.
    assert _folders(deployment) == set()


def test_environments_that_wait_for_a_blocked_one_are_not_parked(
    deployment: PeopleDeployment,
) -> None:
    _take_environment_slug(deployment)
    deployment.server.environment("production")["slug"] = "live"
    deployment.server.environment("uat")["slug"] = "production"
    output = [str(each).partition(":")[0] for each in deployment.plan(TEXT)]
    assert output == ["! environment production", "! environment staging"]
    assert deployment.settle(TEXT) == []


def test_a_blocked_object_is_remembered_and_repaired_once_its_name_is_free(
    deployment: PeopleDeployment,
) -> None:
    before = deployment.remembered
    _take_folder_name(deployment)
    _take_environment_slug(deployment)
    assert deployment.settle(TEXT) == []
    assert deployment.remembered.folders == before.folders
    assert before.environments.items() <= deployment.remembered.environments.items()
    _folders(deployment, "uat").discard("/services")
    deployment.server.environments.pop()
    assert deployment.settle(TEXT) == [
        update("environment staging", "slug", "uat", "staging"),
        update(folder("/services", "staging"), "name", "older", "services"),
    ]
    assert deployment.plan(TEXT) == []


def test_blocked_objects_are_not_pruned(deployment: PeopleDeployment) -> None:
    server = deployment.server
    made = {each["id"] for each in server.environments} | {each["id"] for each in server.imports}
    made |= {server.folder_id(id, path) for id, paths in server.folders.items() for path in paths}
    deployment.remembered = replace(deployment.remembered, made=frozenset(made))
    id = server.environment("staging")["id"]
    server.rename_folder(id, "/backend", "app")
    server._create_folder({"environment": "staging", "path": "/", "name": "backend"})
    planned = deployment.inspect(TEXT, prune=True)
    assert [each.what for each in planned.blocked] == ["folder /backend in staging"]
    assert planned.removals == []


def test_a_project_whose_slug_is_taken_blocks_nothing_else(
    deployment: PeopleDeployment,
) -> None:
    actual = deployment.actual(TEXT)
    assert actual.project
    moved = {**actual.project.fields, "slug": "moved", "name": "Other"}
    project = replace(actual.project, fields=moved)
    actual = replace(actual, project=project, slug_holder="project-9")
    goal = deployment.goal(load(TEXT))
    blocked, change = difference(goal, actual)
    assert (blocked.kind, blocked.what) == ("!", "project chainalign")
    assert "'moved'" in blocked.detail
    assert str(change) == update("project chainalign", "name", "Other", "ChainAlign")
    assert remember(goal, actual) == deployment.remembered


def test_a_deploy_reports_a_blocked_object_and_has_nothing_to_do(
    deployment: PeopleDeployment,
) -> None:
    _take_folder_name(deployment)
    run = Journal(goes_on=True)
    run.plan(
        "operation",
        "Workspace | Apply its file",
        lambda: reconcile.decide(deployment.goal(load(TEXT)), deployment.actual(TEXT), 8080),
    )
    (blocked,) = run.blocked_parts
    assert _FOLDER.fullmatch(str(blocked))
    assert (run.planned_changes, run.plans["operation"].commands) == ([], [])


@pytest.mark.parametrize("arguments", [["plan"], ["apply", "--yes"]])
def test_the_command_shows_a_blocked_object_and_ends_with_an_error(
    deployment: PeopleDeployment, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _take_folder_name(deployment)
    _folders(deployment).discard("/shared")
    reached = deployment.reach(TEXT)
    monkeypatch.setattr(command, "reach", lambda *_, **__: nullcontext(reached))
    ran = CliRunner().invoke(command.workspace, arguments)
    assert ran.exit_code == 1
    assert "+ folder /shared in staging" in ran.output
    assert "! folder /services in staging" in ran.output + f"! {ran.exception}"
