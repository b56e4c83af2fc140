"""Test `migrate` and `check` where each service and shared folder has a project of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .migrating import ENVIRONMENTS, Ran, Split, issue_credentials, number
from .world import make_identity, ok

if TYPE_CHECKING:
    from .world import World

pytestmark = pytest.mark.real

_SHARED = "shared/.env.production"
_CODE = """\
import { config } from "infisical-config/config.js";
connect(config.OWN);
"""

_LOADER = Path(__file__).resolve().parents[2] / "loaders" / "python"
_PRINT = (
    *(sys.executable, "-c"),
    "import json, os; names = {'OWN', 'COMMON'} & {*os.environ};"
    "print(json.dumps({each: os.environ[each] for each in names}))",
)


@pytest.fixture
def case(world: World, tmp_path: Path) -> Split:
    """Two services with a value in each environment, and a file that is shared in production."""
    named = number()
    services = (f"api-{named}", f"web-{named}")
    case = Split(world, f"move-{named}", tmp_path, services).prepare()
    for service in services:
        for environment in ENVIRONMENTS:
            case.write(f"{service}/.env.{environment}", f"OWN=fake-{service}-{environment}\n")
    return case


def _decide_shared(case: Split, folder: str) -> None:
    """Write a file's service and folder into the plan, as a person does."""
    case.write(_SHARED, "COMMON=fake-0f3a9c71\n")
    assert case.run("plan").exit_code == 2
    found = f"path: {_SHARED}"
    head, _, tail = case.plan_file.read_text(encoding="utf-8").partition(found)
    for before, after in (
        ("service: ''", f"service: {case.services[0]}"),
        ("folder: ''", f"folder: {folder}"),
        ("decision: undecided", "decision: store"),
    ):
        tail = tail.replace(before, after, 1)
    case.plan_file.write_text(f"{head}{found}{tail}", encoding="utf-8")


@pytest.fixture
def moved_case(case: Split) -> Split:
    """The case after its migration."""
    _decide_shared(case, "/shared")
    assert case.run("plan").exit_code == 2
    applied = case.run("apply")
    assert applied.exit_code == 0, applied.output
    assert "5 of 5 secrets" in applied.stdout
    return case


def _verify(case: Split, *arguments: str) -> Ran:
    return case.run("verify", "--credentials", str(case.root / "credentials"), *arguments)


def test_every_secret_arrives_in_the_project_of_its_folder(moved_case: Split) -> None:
    deployer = moved_case.world.deployer
    for service in moved_case.services:
        for environment in ENVIRONMENTS:
            there = moved_case.names_in(deployer, environment, f"/{service}")
            assert there == [f"OWN=fake-{service}-{environment}"]
    assert moved_case.names_in(deployer, "production", "/shared") == ["COMMON=fake-0f3a9c71"]
    assert moved_case.names_in(deployer, "development", "/shared") == []
    again = moved_case.run("apply")
    assert again.exit_code == 0
    assert "5 there already" in again.stdout
    assert moved_case.run("plan").exit_code == 0


def test_a_service_reads_exactly_its_own_secrets_and_those_that_it_imports(
    moved_case: Split,
) -> None:
    issue_credentials(moved_case, "projects")
    verified = _verify(moved_case, "--json")
    assert verified.exit_code == 0, verified.output
    read = {
        each["name"]: {(one["environment"], one["folder"], one["secrets"]) for one in each["reads"]}
        for each in json.loads(verified.stdout)["readers"]
        if each["part"] == "service"
    }
    api, web = moved_case.services
    assert read == {
        f"{api}-development": {("development", f"/{api}", 1)},
        f"{api}-production": {("production", f"/{api}", 1), ("production", "/shared", 1)},
        f"{web}-development": {("development", f"/{web}", 1)},
        f"{web}-production": {("production", f"/{web}", 1)},
    }
    assert moved_case.run("verify").exit_code == 0  # by roles, without credentials


def test_a_reader_is_reported_for_the_project_that_it_is_in(moved_case: Split) -> None:
    api, web = moved_case.services
    stranger = make_identity(
        moved_case.world.admin, moved_case.world.org_id, "ci-old", "no-access"
    ).id
    for id, key in (
        (moved_case.identities()[f"{web}-development"], f"{api}.production"),
        (stranger, f"{api}.production"),
        (stranger, f"{web}.production"),
    ):
        path = f"/api/v1/projects/{moved_case.id_of(key)}/memberships/identities/{id}"
        ok(moved_case.world.deployer.post(path, json={"roles": [{"role": "viewer"}]}))
    verified = moved_case.run("verify", "--json")
    assert verified.exit_code == 2
    output = json.loads(verified.stdout)
    own, *foreign = output["problems"]
    assert own.startswith(f"production/{api}/OWN ")
    assert f" {web}-development, " in own
    assert [each.partition(",")[0] for each in foreign] == [
        f"production/{each}" for each in moved_case.services
    ]
    assert len([each for each in output["readers"] if each["name"] == "ci-old"]) == 1


def test_a_folder_that_no_project_holds_is_refused_before_anything_is_written(case: Split) -> None:
    """A folder around a shared one is in each project below it, and belongs to none of them."""
    content = json.loads(case.workspace_file.read_text("utf-8"))
    content["shared_folders"].append("/teams/all")
    case.workspace_file.write_text(json.dumps(content), encoding="utf-8")
    case.deploy()
    _decide_shared(case, "/teams")
    for command in ("plan", "apply"):
        refused = case.error(command)
        assert refused.code == "error.no_project"
        assert "/teams in production" in str(refused)
        assert "project file" in str(refused)
    assert case.names_in(case.world.deployer, "production", f"/{case.services[0]}") == []


def test_values_of_deleted_files_are_searched_in_each_project(moved_case: Split) -> None:
    for file in moved_case.root.glob("*/.env.*"):
        file.unlink()
    moved_case.write("notes.txt", "fake-0f3a9c71\n")
    for command in (["init", "--quiet"], ["add", "notes.txt"]):
        subprocess.run(["git", "-C", moved_case.root, *command], check=True, capture_output=True)
    given = ["--plan", str(moved_case.plan_file), "--project-file", str(moved_case.workspace_file)]
    searched = moved_case.invoke("migrate", "history", str(moved_case.root), *given)
    assert searched.exit_code == 2, searched.output
    assert "1 of 5 values" in searched.stdout


def _local_file(case: Split, service: str) -> dict[str, Any]:
    return dict(json.loads((case.root / service / ".infisical.json").read_text("utf-8")))


def test_apply_writes_the_ids_of_the_projects_by_environment(moved_case: Split) -> None:
    api, web = moved_case.services
    domain = moved_case.world.standin.url
    assert _local_file(moved_case, web) == {
        "domain": domain,
        "defaultSecretPath": f"/{web}",
        "projects": {
            each: {"workspaceId": moved_case.id_of(f"{web}.{each}")} for each in ENVIRONMENTS
        },
    }
    assert _local_file(moved_case, api)["projects"] == {
        each: {
            "workspaceId": moved_case.id_of(f"{api}.{each}"),
            "imports": [
                {"workspaceId": moved_case.id_of(f"/shared.{each}"), "secretPath": "/shared"},
            ],
        }
        for each in ENVIRONMENTS
    }


def test_the_loader_reads_the_files_of_apply_and_gives_each_service_its_values(
    moved_case: Split,
) -> None:
    issue_credentials(moved_case, "projects")
    api, web = moved_case.services
    for service, environment, values in (
        (api, "production", {"OWN": f"fake-{api}-production", "COMMON": "fake-0f3a9c71"}),
        (api, "development", {"OWN": f"fake-{api}-development"}),
        (web, "production", {"OWN": f"fake-{web}-production"}),
    ):
        file = moved_case.root / "credentials" / f"{service}.{environment}.env"
        lines = file.read_text(encoding="utf-8").splitlines()
        given = dict(each.split("=", 1) for each in lines if not each.startswith("#"))
        ran = subprocess.run(
            [sys.executable, "-m", "infisical_config", "--", *_PRINT],
            cwd=moved_case.root / service,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(_LOADER), **given},
            check=True,
            capture_output=True,
            text=True,
        )
        assert json.loads(ran.stdout) == values


@pytest.fixture
def checked_case(case: Split) -> Split:
    """Services that start from Infisical, and have all that they read."""
    case.write(".gitignore", ".env\n.env.*\n")
    for service in case.services:
        case.write(f"{service}/package.json", '{"dependencies": {"infisical-config": "0.1.0"}}')
        case.write(f"{service}/app.js", _CODE)
        for environment in ENVIRONMENTS:
            (case.root / service / f".env.{environment}").unlink()
            case.put(environment, f"/{service}", OWN="fake-value")
    return case


def test_the_id_of_one_project_is_a_finding_and_fix_replaces_it(checked_case: Split) -> None:
    api, web = checked_case.services
    for service in checked_case.services:
        old = {"workspaceId": "fake-id", "domain": "https://secrets.example.com", "strict": True}
        text = json.dumps({**old, "defaultSecretPath": f"/{service}"})
        checked_case.write(f"{service}/.infisical.json", text)
    found = checked_case.check()
    assert found.exit_code == 2
    assert f"{api}/.infisical.json" in found.stdout
    assert "check --fix" in found.stdout
    assert checked_case.check("--fix").exit_code == 0
    fixed = _local_file(checked_case, web)
    assert "workspaceId" not in fixed
    assert fixed["strict"] is True
    assert fixed["projects"]["production"] == {
        "workspaceId": checked_case.id_of(f"{web}.production")
    }
    second = checked_case.check()
    assert second.exit_code == 0, second.output
    assert checked_case.check("--fix").stderr == ""


def test_an_identity_of_some_projects_compares_only_these(checked_case: Split) -> None:
    """Such an identity is a developer's, who sees only development."""
    assert checked_case.check("--fix").exit_code == 0
    before = [_local_file(checked_case, each) for each in checked_case.services]
    world = checked_case.world
    identity = make_identity(world.admin, world.org_id, "developer", "no-access")
    api, _ = checked_case.services
    for key in (f"{api}.development", "/shared.development"):
        path = f"/api/v1/projects/{checked_case.id_of(key)}/memberships/identities/{identity.id}"
        ok(world.deployer.post(path, json={"roles": [{"role": "viewer"}]}))
    seen = checked_case.invoke(
        *(
            "check",
            str(checked_case.root),
            "--project-file",
            str(checked_case.workspace_file),
            "--fix",
        ),
        INFISICAL_CLIENT_ID=identity.client_id,
        INFISICAL_CLIENT_SECRET=identity.client_secret,
    )
    assert seen.exit_code == 2
    lines = [each for each in seen.stdout.splitlines() if each[:1] == "✗"]
    kinds = {each.split()[2] for each in lines if len(each.split()) > 3}
    assert "not-seen:" in kinds
    assert kinds <= {"not-seen:"}
    assert [_local_file(checked_case, each) for each in checked_case.services] == before
