"""`infisical-iac check` against an Infisical at a URL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from .migrating import ENVIRONMENTS, Case, Ran, new

if TYPE_CHECKING:
    from pathlib import Path

    from .world import World

_CODE = """\
import { config } from "infisical-config/config.js";
connect(config.DATABASE_URL, config.TOKEN, process.env.PORT ?? 3000);
"""


@pytest.fixture
def case(world: World, tmp_path: Path) -> Case:
    """A service that starts from Infisical, with all that it reads."""
    case = new(world, tmp_path)
    case.write(".gitignore", ".env\n.env.*\n")
    case.write("backend/package.json", '{"dependencies": {"infisical-config": "0.1.0"}}')
    case.write("backend/app.js", _CODE)
    for each in ENVIRONMENTS:
        case.put(each, "/backend", DATABASE_URL="fake-value-1", TOKEN="fake-value-2")
    assert _check(case, "--fix").exit_code == 0
    return case


def _check(case: Case, *arguments: str, url: str = "") -> Ran:
    given = (str(case.root), "--workspace-file", str(case.workspace_file), *arguments)
    return case.invoke("check", *given, url=url)


def test_all_is_well(case: Case) -> None:
    ran = _check(case)
    assert ran.exit_code == 0, ran.shown
    assert ran.stdout.splitlines()[0].split() == [
        *("service", "directory", "folder", "keys", "needed", "optional")
    ]
    assert ran.stdout.splitlines()[1].split() == ["backend", "backend", "/backend", "2", "1"]
    assert "· backend optional: backend reads PORT" not in ran.stdout  # the platform's
    assert ran.stdout.splitlines()[-1] == "✓ 0 findings"


def test_a_key_that_an_environment_lacks_and_one_too_many_are_found_by_name(case: Case) -> None:
    case.write("backend/more.js", "use(process.env.MAIL_KEY);\n")
    case.put("production", "/backend", MAIL_KEY="fake-value-3", OLD="fake-value-4")
    ran = _check(case)
    assert ran.exit_code == 2
    assert (
        "✗ backend/more.js:1 missing-key: backend reads MAIL_KEY, which is not in development."
        in ran.stdout
    )
    assert "✗ /backend/OLD left-over: It is in production, and no code of backend" in ran.stdout
    assert "✗ 2 findings" in ran.stdout
    assert "fake-value" not in ran.shown


def test_what_is_accepted_is_told_in_json_with_the_reason(case: Case) -> None:
    case.put("production", "/backend", OLD="fake-value-4")
    case.write(".infisical-check.yaml", "ignore:\n  OLD: read by a job elsewhere\n  NEW: not yet\n")
    ran = _check(case, "--json")
    assert ran.exit_code == 0
    told = json.loads(ran.stdout)
    assert told["findings"] == []
    assert [(each["key"], each["reason"]) for each in told["accepted"]] == [
        ("OLD", "read by a job elsewhere")
    ]
    assert [each["message"] for each in told["notes"]] == ["NEW fits no finding: delete it."]
    assert told["compared_with_infisical"] is True


def test_fix_writes_what_leads_to_the_project_and_keeps_the_rest(case: Case) -> None:
    file = case.root / "backend" / ".infisical.json"
    fixed = json.loads(file.read_text())
    assert fixed == {
        "workspaceId": case.place("production", "/")["projectId"],
        "domain": case.world.standin.url,
        "defaultSecretPath": "/backend",
    }
    own = {"domain": "https://secrets.example.com", "defaultEnvironment": "development"}
    file.write_text(json.dumps(own))
    assert "Its workspaceId is missing." in _check(case).stdout
    ran = _check(case, "--fix")
    assert (ran.exit_code, ran.stderr) == (0, f"Wrote {file}.\n")
    assert json.loads(file.read_text()) == fixed | own
    assert _check(case, "--fix").stderr == ""


def test_offline_says_that_keys_were_not_compared(case: Case) -> None:
    case.write("backend/more.js", "use(process.env.MAIL_KEY);\n")
    ran = _check(case, "--offline", url="http://127.0.0.1:9")
    assert ran.exit_code == 0
    assert "? Keys were not compared with Infisical: leave out --offline" in ran.stdout
    assert (
        json.loads(_check(case, "--offline", "--json").stdout)["compared_with_infisical"] is False
    )


def test_what_can_not_be_asked_is_an_error_in_a_sentence(case: Case) -> None:
    assert "--fix needs the project's id" in _check(case, "--fix", "--offline").error
    text = case.workspace_file.read_text()
    case.workspace_file.write_text(text.replace('"slug": "development"', '"slug": "nowhere"'))
    ran = _check(case)
    assert ran.exit_code == 1
    assert ran.error.startswith("there is no environment nowhere in Infisical")
    case.workspace_file.write_text(text.replace(case.name, "no-such-project"))
    assert _check(case).error.startswith("there is no project no-such-project in Infisical")
