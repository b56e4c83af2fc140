"""Test `infisical-iac secrets` against an Infisical at a URL, with each method of isolation."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click
import pytest
from click.testing import CliRunner

from infisical_iac.agent import contents
from infisical_iac.api.client import Client
from infisical_iac.cli.main import main
from infisical_iac.core.errors import UserError
from infisical_iac.migrate.apply import LONGEST_ITEM
from tests.on_terminal import run_on_terminal

from .migrating import Case, Ran, add_reader_of_names, new
from .projects import on

pytestmark = pytest.mark.real

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .projects import Projects
    from .world import World

_PEM = "-----BEGIN FAKE KEY-----\n  bm90LWEta2V5\n-----END FAKE KEY-----\n"


@pytest.fixture
def case(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.chdir(tmp_path)  # where the key of the fingerprints is made
    return new(world, tmp_path, "backend", "web")


def _run(case: Case, *arguments: str, given: str | bytes = "") -> Ran:
    command = ("secrets", *arguments, "--project-file", str(case.workspace_file))
    result = CliRunner(env=case.environment()).invoke(main, command, input=given)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


def _fail(case: Case, *arguments: str, given: str | bytes = "") -> UserError:
    command = ("secrets", *arguments, "--project-file", str(case.workspace_file))
    runner = CliRunner(env=case.environment())
    result = runner.invoke(main, command, input=given, standalone_mode=False)
    assert isinstance(result.exception, click.ClickException), result.output
    error = result.exception.__context__
    assert isinstance(error, UserError), result.output
    return error


def _listed(case: Case, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_run(case, "list", "--json", *arguments).stdout)[
        "secrets"
    ]
    return found


def test_a_new_secret_is_written_and_listed_by_name_and_fingerprint(case: Case) -> None:
    ran = _run(case, "set", "backend/TOKEN", "--env", "production", given="fake-value-1\n")
    assert ran.exit_code == 0, ran.output
    assert ran.stdout.startswith("+ /backend/TOKEN in production: ")
    (listed,) = _listed(case)
    assert listed | {"changed": "", "fingerprint": ""} == {
        "environment": "production",
        "folder": "/backend",
        "key": "TOKEN",
        "version": 1,
        "changed": "",
        "bytes": 12,
        "fingerprint": "",
    }
    assert len(listed["fingerprint"]) == 12
    assert listed["fingerprint"] in ran.stdout
    assert case.values() == {"/backend/TOKEN": "fake-value-1"}
    assert "fake-value" not in ran.output + _run(case, "list").output


def test_a_value_of_several_lines_keeps_its_bytes(case: Case) -> None:
    place = ("/backend/PEM", "--env", "production")
    assert _run(case, "set", *place, given=_PEM).exit_code == 0
    assert case.values()["/backend/PEM"] == _PEM
    windows = "fake\r\nvalue"
    assert _run(case, "set", *place, given=windows.encode()).exit_code == 0
    assert case.values()["/backend/PEM"] == windows


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (" fake", "refused.blanks"),
        ("fake\nfake\n\n", "refused.blanks"),
        ("", "refused.no_value"),
        (b"fa\xffke", "refused.encoding"),
        ("fa\0ke", "refused.encoding"),
        ("f" * 900_000, "refused.long_value"),
        (f"{'f' * LONGEST_ITEM}\r\nmore", "refused.long_value"),
    ],
)
def test_set_refuses_a_value_that_infisical_would_change(
    case: Case, given: str | bytes, code: str
) -> None:
    error = _fail(case, "set", "backend/TOKEN", "--env", "production", given=given)
    assert error.code == code
    assert case.values() == {}


def test_an_empty_value_needs_an_option(case: Case) -> None:
    place = ("backend/EMPTY", "--env", "production")
    assert _run(case, "set", *place, "--empty").exit_code == 0
    assert case.values() == {"/backend/EMPTY": ""}


@pytest.mark.parametrize(
    "arguments", [("backend/TOKEN=fake-value",), ("backend/TOKEN", "fake-value")]
)
def test_a_value_as_an_argument_is_refused_without_showing_it(
    case: Case, arguments: tuple[str, ...]
) -> None:
    error = _fail(case, "set", *arguments, "--env", "production", given="x")
    assert error.code == "refused.value_as_argument"
    assert "fake-value" not in str(error)


def test_an_equal_value_is_not_written_again(case: Case) -> None:
    case.put("production", "/backend", TOKEN="fake-value-1")
    ran = _run(case, "set", "backend/TOKEN", "--env", "production", given="fake-value-1")
    assert (ran.exit_code, ran.stdout[:1]) == (0, "=")
    assert [each["version"] for each in _listed(case)] == [1]


def test_a_change_since_the_expected_version_is_not_overwritten(case: Case) -> None:
    case.put("production", "/backend", TOKEN="fake-value-1")
    place = ("backend/TOKEN", "--env", "production")
    for version in ("0", "3"):
        error = _fail(case, "set", *place, "--if-version", version, given="fake-value-2")
        assert error.code == "refused.changed_meanwhile"
    assert case.values() == {"/backend/TOKEN": "fake-value-1"}
    ran = _run(case, "set", *place, "--if-version", "1", given="fake-value-2")
    assert ran.exit_code == 0
    assert "version 2" in ran.stdout
    assert _fail(case, "unset", *place, "--if-version", "1", "--yes").code == (
        "refused.changed_meanwhile"
    )


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_a_change_at_the_same_time_is_reported(
    case: Case, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """The server has no conditional write: an update between reading and writing is noticed only
    afterwards. It refuses to create an existing secret.
    """
    if method == "PATCH":
        case.put("production", "/backend", TOKEN="fake-value-1")
    send = Client._send

    def late(self: Client, verb: str, path: str, **request: Any) -> dict[str, Any]:
        if verb == method and path == "/api/v4/secrets/TOKEN":
            monkeypatch.setattr(Client, "_send", send)
            case.put("production", "/backend", TOKEN="fake-by-another")
        return send(self, verb, path, **request)

    monkeypatch.setattr(Client, "_send", late)
    error = _fail(case, "set", "backend/TOKEN", "--env", "production", given="fake-value-2")
    if method == "PATCH":
        assert error.code == "run.changed_meanwhile"
        assert "version 3" in str(error)  # version 2 is the other change
    else:
        assert error.code == "refused.changed_meanwhile"
        assert case.values() == {"/backend/TOKEN": "fake-by-another"}


def test_unset_deletes_one_secret_after_a_question(case: Case) -> None:
    case.put("production", "/backend", TOKEN="fake-value-1", KEPT="fake-value-2")
    place = ("backend/TOKEN", "--env", "production")
    assert _run(case, "unset", *place, given="n\n").exit_code == 1
    assert len(case.values()) == 2
    ran = _run(case, "unset", *place, given="y\n")
    assert ran.exit_code == 0
    assert "- /backend/TOKEN in production" in ran.stdout
    assert case.values() == {"/backend/KEPT": "fake-value-2"}
    assert _fail(case, "unset", *place, "--yes").code == "error.no_secret"


def test_diff_compares_names_and_values_of_two_environments(case: Case) -> None:
    case.put("development", "/backend", SAME="fake-1", OTHER="fake-2", HERE="fake-3")
    case.put("production", "/backend", SAME="fake-1", OTHER="fake-4")
    case.put("production", "/web", THERE="fake-5")
    ran = _run(case, "diff", "development", "production", "--json")
    assert ran.exit_code == 2
    data = json.loads(ran.stdout)["secrets"]
    assert {each["key"]: each["state"] for each in data} == {
        "SAME": "equal",
        "OTHER": "different",
        "HERE": "only in development",
        "THERE": "only in production",
    }
    same = next(each for each in data if each["key"] == "SAME")
    assert same["fingerprints"]["development"] == same["fingerprints"]["production"]
    text = _run(case, "diff", "development", "production", "web").stdout
    assert "THERE" in text
    assert "HERE" not in text.replace("THERE", "")
    assert "fake-" not in ran.output + text
    assert _run(case, "diff", "development", "development").exit_code == 0


def test_an_unknown_service_folder_or_environment_is_refused(case: Case) -> None:
    for secret, environment, code, fact in (
        ("bakend/TOKEN", "production", "error.no_service", "backend"),
        ("TOKEN", "production", "refused.no_place", "TOKEN"),
        ("backend/TOKEN", "produktion", "error.no_environment", "production"),
        ("/backend/deep/TOKEN", "production", "error.no_folder", "/backend/deep"),
        ("backend/A:B", "production", "refused.secret_name", "A:B"),
    ):
        error = _fail(case, "set", secret, "--env", environment, given="fake-value")
        assert (error.code, fact in str(error)) == (code, True)


@pytest.mark.parametrize("command", [("list",), ("diff", "development", "production")])
def test_an_unknown_folder_is_refused_with_the_closest_one(
    case: Case, command: tuple[str, ...]
) -> None:
    case.put("production", "/backend", TOKEN="fake-value-1")
    error = _fail(case, *command, "/bakend")
    assert (error.code, "'/backend'" in str(error)) == ("error.no_folder", True)
    assert _run(case, *command, "/web").exit_code == 0


def test_list_reports_values_that_the_login_may_not_read(world: World, case: Case) -> None:
    case.put("production", "/backend", TOKEN="fake-value-1")
    login = add_reader_of_names(world, case)
    given = ("secrets", "list", "--project-file", str(case.workspace_file))
    ran = case.invoke(*given, **login)
    assert ran.exit_code == 0
    assert "hidden" in ran.stdout
    assert "production" in ran.stderr


@pytest.mark.parametrize("second", ["fake-typed-value", "fake-other"])
def test_on_a_terminal_the_value_is_typed_twice_and_not_shown(case: Case, second: str) -> None:
    command = (sys.executable, "-c", "from infisical_iac.cli.main import main; main()")
    given = ("secrets", "set", "backend/TYPED", "--env", "production")
    options = ("--project-file", str(case.workspace_file))
    environment = {**os.environ, **case.environment()}
    with run_on_terminal(
        (*command, *given, *options), directory=case.root, environment=environment
    ) as terminal:
        terminal.answer("Value:", "fake-typed-value")
        terminal.answer("again:", second)
        status = terminal.finish()
    assert "fake-" not in terminal.shown
    is_same = second == "fake-typed-value"
    assert status == (0 if is_same else 1), terminal.shown
    assert case.values() == ({"/backend/TYPED": second} if is_same else {})


@pytest.fixture
def split(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Projects]:
    monkeypatch.chdir(tmp_path)
    with on(world, "projects") as made:
        made.apply()
        yield made


def test_each_secret_is_in_the_project_of_its_folder(
    world: World, split: Projects, tmp_path: Path
) -> None:
    file = tmp_path / "project.json"
    file.write_text(json.dumps(split.content))
    case = Case(world, "", tmp_path, ())
    for service in ("api", "/shared"):
        given = ("set", f"{service}/TOKEN", "--env", "live", "--project-file", str(file))
        runner = CliRunner(env=case.environment())
        ran = runner.invoke(main, ("secrets", *given), input="fake-value")
        assert ran.exit_code == 0, ran.output
    for slug, folder in (("acme-co-api-live", "/api"), ("acme-co-shared-live", "/shared")):
        project = contents.project(split.deployer, slug)
        assert project is not None
        path = f"/api/v4/secrets/{quote('TOKEN')}"
        query = {"projectId": project["id"], "environment": "live", "secretPath": folder}
        assert split.deployer.get(path, params=query)["secret"]["secretValue"] == "fake-value"
    ran = CliRunner(env=case.environment()).invoke(
        main, ("secrets", "list", "--json", "--project-file", str(file))
    )
    places = [each["folder"] for each in json.loads(ran.stdout)["secrets"]]
    assert places == ["/api", "/shared"]
