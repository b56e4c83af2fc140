"""`infisical-iac credentials` against an Infisical at a URL."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from infisical_iac.workspace.credential_file import parse, render

from .crediting import Case

if TYPE_CHECKING:
    from pathlib import Path

    from .world import World


@pytest.fixture
def case(world: World, tmp_path: Path) -> Case:
    """Deployed, with no credentials yet."""
    made = Case(world, tmp_path)
    made.deploy()
    return made


def test_a_service_gets_what_it_logs_in_with(case: Case) -> None:
    assert case.overview()["file"] == "missing"
    told = case.rotate("--overlap", "0").stdout
    assert told == f"+ credentials {case.service}.production\n"
    assert case.logs_in(case.held())
    assert case.listed() == [case.held().secret_id]
    file = case.directory / f"{case.service}.production.env"
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_old_one_works_until_its_time_has_come(case: Case) -> None:
    case.rotate()
    old = case.held()
    told = case.rotate("--overlap", "1h").stdout.splitlines()
    assert told[0] == f"+ credentials {case.service}.production"
    assert "that were replaced: work until 20" in told[1]
    assert case.logs_in(old)
    assert case.logs_in(case.held())
    row = case.overview()
    left = datetime.fromisoformat(row["others_kept_until"]) - datetime.now().astimezone()
    assert (row["others"], timedelta(minutes=59) < left <= timedelta(hours=1)) == (1, True)


def test_a_second_rotation_at_once_leaves_the_new_one_alone(case: Case) -> None:
    case.rotate()
    first = case.held()
    case.rotate()
    second = case.held()
    case.rotate("--overlap", "0")
    assert case.listed() == [case.held().secret_id]
    assert not case.logs_in(first)
    assert not case.logs_in(second)
    assert case.held().replaced is None


def test_list_tells_age_use_and_expiry_and_no_secret(case: Case) -> None:
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
    assert case.held().client_secret not in shown.output
    assert case.held().term is not None


def test_list_at_a_url_needs_no_files(case: Case) -> None:
    ran = case.invoke("credentials", "list", "--json")
    assert ran.exit_code == 0
    assert {each["file"] for each in json.loads(ran.stdout)["credentials"]} == {"unknown"}
    refused = case.invoke("credentials", "rotate", case.service, "--env", "production")
    assert refused.exit_code == 1
    assert "give --credentials with a directory" in refused.stderr


def test_show_prints_a_file_that_services_start_with(case: Case) -> None:
    assert case.run("rotate", case.service, "--env", "development").exit_code == 0
    shown = case.run("show", case.service, "--env", "development")
    assert shown.exit_code == 0
    held = case.held("development")
    assert shown.stdout == render(held)
    assert [line.partition("=")[0] for line in shown.stdout.splitlines()[1:]] == [
        "INFISICAL_CLIENT_ID",
        "INFISICAL_CLIENT_SECRET",
        "NODE_ENV",
    ]
    assert shown.stderr == ""


def test_show_leaves_out_what_concerns_a_rotation(case: Case) -> None:
    case.rotate()
    case.rotate()
    shown = case.run("show", case.service, "--env", "production", "--yes")
    assert parse(shown.stdout) == case.held().without_rotation


def test_show_gives_none_of_production_away_without_yes(case: Case) -> None:
    case.rotate()
    refused = case.run("show", case.service, "--env", "production")
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert "give --yes" in refused.stderr


def test_show_writes_a_file_that_nobody_else_can_read(case: Case, tmp_path: Path) -> None:
    case.rotate()
    file = tmp_path / ".env.local"
    arguments = ("show", case.service, "--env", "production", "--yes", "--output", str(file))
    for _ in range(2):  # what it wrote before, it replaces
        shown = case.run(*arguments)
        assert (shown.exit_code, shown.output) == (0, "")
    assert file.read_text() == render(case.held().without_rotation)
    assert file.stat().st_mode & 0o777 == 0o600


def test_show_leaves_a_file_alone_that_holds_something_else(case: Case, tmp_path: Path) -> None:
    case.rotate()
    file = tmp_path / ".env.local"
    file.write_text("OTHER=obviously-fake\n")
    refused = case.run(
        *("show", case.service, "--env", "production", "--yes", "--output", str(file))
    )
    assert refused.exit_code == 1
    assert f"{file} holds something else" in refused.stderr
    assert file.read_text() == "OTHER=obviously-fake\n"


def test_show_says_what_to_do_where_nothing_works(case: Case) -> None:
    refused = case.run("show", case.service, "--env", "development")
    assert refused.exit_code == 1
    assert f"infisical-iac credentials rotate {case.service} --env development" in refused.stderr


@pytest.mark.parametrize(
    ("service", "environment", "hint"),
    [("", "production", "no service"), ("backend", "prodction", "did you mean 'production'?")],
)
def test_a_name_that_is_not_there_is_told(
    case: Case, service: str, environment: str, hint: str
) -> None:
    name = case.service if service else "elsewhere"
    refused = case.run("rotate", name, "--env", environment)
    assert refused.exit_code == 1
    assert hint in refused.stderr


def test_revoke_ends_all_there_is(case: Case) -> None:
    case.rotate()
    case.rotate()
    held = case.held()
    name = f"{case.service}.production"
    refused = case.run("revoke", case.service, "--env", "production", answer="yes\n")
    assert refused.exit_code == 1
    assert f"that is not {name}: nothing was changed" in refused.stderr
    assert case.logs_in(held)
    revoked = case.run("revoke", case.service, "--env", "production", answer=f"{name}\n")
    assert revoked.exit_code == 0
    assert (
        revoked.stdout == f"2 client secrets of {name} revoked; the next apply makes a new one.\n"
    )
    assert case.listed() == []
    assert case.overview()["file"] == "missing"
    again = case.run("revoke", case.service, "--env", "production", "--yes")
    assert (again.exit_code, again.stdout) == (0, "Nothing to revoke.\n")


def test_json_is_for_platforms_of_other_kinds(case: Case) -> None:
    case.rotate()
    refused = case.run("push", "--to", "json", "--env", "production")
    assert (refused.exit_code, refused.stdout) == (1, "")
    given = case.run("push", "--to", "json", "--env", "production", "--yes")
    held = case.held()
    assert json.loads(given.stdout) == {
        f"{case.service}.production": {
            "INFISICAL_CLIENT_ID": held.client_id,
            "INFISICAL_CLIENT_SECRET": held.client_secret,
            "NODE_ENV": "production",
        }
    }


@pytest.mark.parametrize("span", ["soon", "-1h", "1w", ""])
def test_an_overlap_that_is_no_span_of_time_is_refused(case: Case, span: str) -> None:
    refused = case.run("rotate", case.service, "--env", "production", "--overlap", span)
    assert refused.exit_code == 1
    assert "is no span of time" in refused.stderr
    assert case.listed() == []


def test_an_instance_with_the_old_secret_keeps_no_other_one_out(case: Case) -> None:
    """Infisical's default locks the identity after three wrong ones, for the right one too."""
    case.rotate()
    old = case.held()
    case.rotate("--overlap", "0")
    assert [case.logs_in(old) for _ in range(5)] == [False] * 5
    assert case.logs_in(case.held())
    assert not case.logs_in(old)
    assert case.logs_in(case.held())
