"""Test `infisical-iac credentials` against an Infisical at a URL."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from infisical_iac.workspace.credential_file import parse, render

from .crediting import Case
from .world import ok

if TYPE_CHECKING:
    from pathlib import Path

    from .world import World


@pytest.fixture
def case(world: World, tmp_path: Path) -> Case:
    """A deployed project, without credentials yet."""
    made = Case(world, tmp_path)
    made.deploy()
    return made


def test_rotate_makes_the_first_credentials(case: Case) -> None:
    assert case.overview()["file"] == "missing"
    done = case.rotate("--overlap", "0").stdout
    assert done == f"+ credentials {case.service}.production\n"
    assert case.logs_in(case.read_credential())
    assert case.list_client_secrets() == [case.read_credential().secret_id]
    file = case.directory / f"{case.service}.production.env"
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_replaced_credentials_work_until_their_overlap_ends(case: Case) -> None:
    case.rotate()
    old = case.read_credential()
    made, replaced = case.rotate("--overlap", "1h").stdout.splitlines()
    assert made == f"+ credentials {case.service}.production"
    assert " until 20" in replaced
    assert case.logs_in(old)
    assert case.logs_in(case.read_credential())
    row = case.overview()
    left = datetime.fromisoformat(row["others_kept_until"]) - datetime.now().astimezone()
    assert (row["others"], timedelta(minutes=59) < left <= timedelta(hours=1)) == (1, True)


def test_a_rotation_without_delivery_names_the_command_that_shows_the_credentials(
    case: Case,
) -> None:
    show = f"`infisical-iac credentials show {case.service} --env production`"
    assert show in case.rotate("--overlap", "0").stderr


def test_a_rotation_without_overlap_ends_all_earlier_credentials(case: Case) -> None:
    case.rotate()
    first = case.read_credential()
    case.rotate()
    second = case.read_credential()
    case.rotate("--overlap", "0")
    assert case.list_client_secrets() == [case.read_credential().secret_id]
    assert not case.logs_in(first)
    assert not case.logs_in(second)
    assert case.read_credential().replaced is None


def test_list_shows_age_use_and_expiry_and_no_secret(case: Case) -> None:
    case.ttl = 10 * 86_400
    case.write()
    case.rotate()
    row = case.overview()
    assert (row["uses"], row["file"], row["others"]) == (1, "works", 0)
    made, ends = (datetime.fromisoformat(row[each]) for each in ("made", "ends"))
    assert ends - made == timedelta(days=10)
    assert datetime.fromisoformat(row["last_used"]) >= made
    shown = case.run("list")
    assert shown.exit_code == 0
    assert f"{ends:%Y-%m-%d}" in shown.stdout
    assert case.read_credential().client_secret not in shown.output
    assert case.read_credential().term is not None


def test_credentials_of_a_service_in_projects_are_rotated_and_listed(
    world: World, tmp_path: Path
) -> None:
    case = Case(world, tmp_path, isolation="projects")
    case.deploy()
    case.rotate()
    first = case.read_credential()
    case.rotate("--overlap", "0")
    second = case.read_credential()
    assert (case.logs_in(first), case.logs_in(second)) == (False, True)
    assert case.list_client_secrets() == [second.secret_id]
    row = case.overview()
    assert (row["service"], row["file"], row["others"]) == (case.service, "works", 0)
    login = {"clientId": second.client_id, "clientSecret": second.client_secret}
    with world.standin.client() as client:
        token = ok(client.post("/api/v1/auth/universal-auth/login", json=login))["accessToken"]
    with world.standin.client(token) as reader:
        seen = ok(reader.get("/api/v1/projects"))["projects"]
    assert [each["slug"] for each in seen] == [f"{case.service}-{case.service}-production"]


def test_list_at_a_url_needs_no_files(case: Case) -> None:
    ran = case.invoke("credentials", "list", "--json")
    assert ran.exit_code == 0
    assert {each["file"] for each in json.loads(ran.stdout)["credentials"]} == {"unknown"}
    refused = case.invoke("credentials", "rotate", case.service, "--env", "production")
    assert refused.exit_code == 1
    assert "--credentials" in refused.stderr


def test_show_prints_a_file_that_services_start_with(case: Case) -> None:
    assert case.run("rotate", case.service, "--env", "development").exit_code == 0
    shown = case.run("show", case.service, "--env", "development")
    assert shown.exit_code == 0
    held = case.read_credential("development")
    assert shown.stdout == render(held)
    assert [line.partition("=")[0] for line in shown.stdout.splitlines()[1:]] == [
        "INFISICAL_CLIENT_ID",
        "INFISICAL_CLIENT_SECRET",
        "INFISICAL_ENVIRONMENT",
        "NODE_ENV",
    ]
    assert shown.stderr == ""


def test_show_leaves_out_the_lines_of_a_rotation(case: Case) -> None:
    case.rotate()
    case.rotate()
    shown = case.run("show", case.service, "--env", "production", "--yes")
    assert parse(shown.stdout) == case.read_credential().without_rotation


def test_show_prints_no_credentials_of_production_without_yes(case: Case) -> None:
    case.rotate()
    refused = case.run("show", case.service, "--env", "production")
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert "--yes" in refused.stderr


def test_show_writes_a_file_that_nobody_else_can_read(case: Case, tmp_path: Path) -> None:
    case.rotate()
    file = tmp_path / ".env.local"
    arguments = ("show", case.service, "--env", "production", "--yes", "--output", str(file))
    for _ in range(2):  # the second run replaces the file of the first
        shown = case.run(*arguments)
        assert (shown.exit_code, shown.stdout) == (0, "")
        assert str(file) in shown.stderr
    assert file.read_text() == render(case.read_credential().without_rotation)
    assert file.stat().st_mode & 0o777 == 0o600


def test_show_does_not_overwrite_a_file_with_other_content(case: Case, tmp_path: Path) -> None:
    case.rotate()
    file = tmp_path / ".env.local"
    file.write_text("OTHER=obviously-fake\n")
    refused = case.run(
        *("show", case.service, "--env", "production", "--yes", "--output", str(file))
    )
    assert refused.exit_code == 1
    assert str(file) in refused.stderr
    assert file.read_text() == "OTHER=obviously-fake\n"


def test_show_keeps_a_developers_own_overrides(case: Case, tmp_path: Path) -> None:
    case.rotate()
    file = tmp_path / ".env.local"
    mine = "# Overrides\nLOG_LEVEL=debug\n"
    file.write_text(f"INFISICAL_CLIENT_ID=\n{mine}")
    show = ("show", case.service, "--env", "production", "--yes", "--output", str(file))
    for _ in range(2):
        assert case.run(*show).exit_code == 0
        assert file.read_text() == render(case.read_credential().without_rotation) + mine


def test_show_names_rotate_where_there_are_no_credentials(case: Case) -> None:
    refused = case.run("show", case.service, "--env", "development")
    assert refused.exit_code == 1
    assert f"infisical-iac credentials rotate {case.service} --env development" in refused.stderr


@pytest.mark.parametrize(
    ("service", "environment", "hint"),
    [("", "production", "no service"), ("backend", "prodction", "did you mean 'production'?")],
)
def test_an_unknown_service_or_environment_is_refused(
    case: Case, service: str, environment: str, hint: str
) -> None:
    name = case.service if service else "elsewhere"
    refused = case.run("rotate", name, "--env", environment)
    assert refused.exit_code == 1
    assert hint in refused.stderr


def test_revoke_ends_all_client_secrets_after_the_name_is_typed(case: Case) -> None:
    case.rotate()
    case.rotate()
    held = case.read_credential()
    name = f"{case.service}.production"
    refused = case.run("revoke", case.service, "--env", "production", answer="yes\n")
    assert refused.exit_code == 1
    assert name in refused.stderr
    assert case.logs_in(held)
    revoked = case.run("revoke", case.service, "--env", "production", answer=f"{name}\n")
    assert revoked.exit_code == 0
    assert revoked.stdout.startswith(f"Revoked 2 client secrets of {name};")
    assert case.list_client_secrets() == []
    assert case.overview()["file"] == "missing"
    again = case.run("revoke", case.service, "--env", "production", "--yes")
    assert (again.exit_code, again.stdout) == (0, "Nothing to revoke.\n")


def test_push_to_json_prints_all_credentials_with_yes(case: Case) -> None:
    case.rotate()
    refused = case.run("push", "--to", "json", "--env", "production")
    assert (refused.exit_code, refused.stdout) == (1, "")
    given = case.run("push", "--to", "json", "--env", "production", "--yes")
    held = case.read_credential()
    assert json.loads(given.stdout) == {
        f"{case.service}.production": {
            "INFISICAL_CLIENT_ID": held.client_id,
            "INFISICAL_CLIENT_SECRET": held.client_secret,
            "INFISICAL_ENVIRONMENT": "production",
            "NODE_ENV": "production",
        }
    }


@pytest.mark.parametrize("span", ["soon", "-1h", "1w", ""])
def test_an_overlap_that_is_not_a_duration_is_refused(case: Case, span: str) -> None:
    refused = case.run("rotate", case.service, "--env", "production", "--overlap", span)
    assert refused.exit_code == 1
    assert "--overlap" in refused.stderr
    assert repr(span) in refused.stderr
    assert case.list_client_secrets() == []


def test_failed_logins_with_an_old_secret_do_not_lock_out_the_service(case: Case) -> None:
    """By default Infisical locks an identity after three wrong secrets, also for the right one."""
    case.rotate()
    old = case.read_credential()
    case.rotate("--overlap", "0")
    assert [case.logs_in(old) for _ in range(5)] == [False] * 5
    assert case.logs_in(case.read_credential())
    assert not case.logs_in(old)
    assert case.logs_in(case.read_credential())
