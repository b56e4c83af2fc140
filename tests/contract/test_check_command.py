"""Test `infisical-iac check` against an Infisical at a URL."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from infisical_iac.agent import contents
from infisical_iac.check.usage import MARK
from infisical_iac.cli.status import survey_values
from tests.serving import serving
from tests.token_issuer import TokenIssuer

from .migrating import ENVIRONMENTS, Case, Ran, Split, add_reader_of_names, new, number
from .world import ok

if TYPE_CHECKING:
    from pathlib import Path

    from infisical_iac.monitoring.model import ValueSurvey

    from .world import World

Json = dict[str, Any]
_CODE = """\
import { config } from "infisical-config/config.js";
connect(config.DATABASE_URL, config.TOKEN, process.env.PORT ?? 3000);
"""


@pytest.fixture
def case(world: World, tmp_path: Path) -> Case:
    """A service that starts from Infisical, and has all that it reads."""
    case = new(world, tmp_path)
    case.write(".gitignore", ".env\n.env.*\n")
    case.write("backend/package.json", '{"dependencies": {"infisical-config": "0.1.0"}}')
    case.write("backend/app.js", _CODE)
    for each in ENVIRONMENTS:
        case.put(each, "/backend", DATABASE_URL="fake-value-1", TOKEN="fake-value-2")
    assert _check(case, "--fix").exit_code == 0
    return case


def _check(case: Case, *arguments: str, url: str = "") -> Ran:
    given = (str(case.root), "--project-file", str(case.workspace_file), *arguments)
    return case.invoke("check", *given, url=url)


def _findings(ran: Ran) -> list[tuple[str, str]]:
    """Return place and code of each finding that a check printed."""
    rows = [each.split(maxsplit=3)[1:3] for each in ran.stdout.splitlines() if each[:1] == "✗"]
    return [(place, code.rstrip(":")) for place, code in rows if code.endswith(":")]


def test_a_converged_service_has_no_findings(case: Case) -> None:
    ran = _check(case)
    assert ran.exit_code == 0, ran.output
    head, row = (line.split() for line in ran.stdout.splitlines()[:2])
    assert head == ["service", "directory", "folder", "keys", "needed", "optional"]
    assert row == ["backend", "backend", "/backend", "2", "1"]
    assert "PORT" not in ran.stdout  # the platform sets it
    assert ran.stdout.splitlines()[-1] == "✓ 0 findings"


def test_a_missing_key_and_a_left_over_key_are_found_by_name(case: Case) -> None:
    case.write("backend/more.js", "use(process.env.MAIL_KEY);\n")
    case.put("production", "/backend", MAIL_KEY="fake-value-3", OLD="fake-value-4")
    ran = _check(case)
    assert ran.exit_code == 2
    assert _findings(ran) == [
        ("backend/more.js:1", "missing-key"),
        ("/backend/OLD", "left-over"),
    ]
    missing, left = (each for each in ran.stdout.splitlines() if each[:1] == "✗" and ": " in each)
    assert "MAIL_KEY" in missing
    assert "development" in missing
    assert "production" in left
    assert "✗ 2 findings" in ran.stdout
    assert "fake-value" not in ran.output


def test_json_holds_accepted_findings_with_their_reasons(case: Case) -> None:
    case.put("production", "/backend", OLD="fake-value-4")
    case.write(".infisical-check.yaml", "ignore:\n  OLD: job elsewhere\n  NEW: not yet\n")
    ran = _check(case, "--json")
    assert ran.exit_code == 0
    data = json.loads(ran.stdout)
    assert data["findings"] == []
    accepted = [(each["key"], each["reason"]) for each in data["accepted"]]
    assert accepted == [("OLD", "job elsewhere")]
    (note,) = data["notes"]
    assert note["message"].split()[0] == "NEW"
    assert data["compared_with_infisical"] is True


def test_fix_writes_the_project_into_infisical_json_and_keeps_the_rest(case: Case) -> None:
    file = case.root / "backend" / ".infisical.json"
    fixed = json.loads(file.read_text())
    assert fixed == {
        "workspaceId": case.place("production", "/")["projectId"],
        "domain": case.world.standin.url,
        "defaultSecretPath": "/backend",
    }
    own = {"domain": "https://secrets.example.com", "defaultEnvironment": "development"}
    file.write_text(json.dumps(own))
    assert "workspaceId" in _check(case).stdout
    ran = _check(case, "--fix")
    assert ran.exit_code == 0
    assert str(file) in ran.stderr
    assert json.loads(file.read_text()) == fixed | own
    assert _check(case, "--fix").stderr == ""


def test_fix_updates_a_stale_sample_once_and_names_it(case: Case) -> None:
    sample = "backend/.env.example"
    case.write(sample, "# Ask Ada.\nDATABASE_URL=\nOLD=\n")
    notes = json.loads(_check(case, "--json").stdout)["notes"]
    assert [each["place"] for each in notes if each["kind"] == "sample-file"] == [sample]
    file = case.root / sample
    ran = _check(case, "--fix", "--json")
    assert (ran.exit_code, str(file) in ran.stderr) == (0, True), ran.output
    assert file.read_text() == f"# Ask Ada.\nDATABASE_URL=\n{MARK}OLD=\nTOKEN=\n"
    assert "sample-file" not in ran.stdout
    written = file.stat()
    again = _check(case, "--fix")
    assert (again.exit_code, again.stderr) == (0, "")
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)


def test_offline_reports_that_keys_were_not_compared(case: Case) -> None:
    case.write("backend/more.js", "use(process.env.MAIL_KEY);\n")
    ran = _check(case, "--offline", url="http://127.0.0.1:9")
    assert ran.exit_code == 0
    (note,) = (each for each in ran.stdout.splitlines() if each.startswith("? "))
    assert "--offline" in note
    data = json.loads(_check(case, "--offline", "--json").stdout)
    assert data["compared_with_infisical"] is False


def test_a_missing_environment_or_project_is_an_error_that_names_it(case: Case) -> None:
    refused = _check(case, "--fix", "--offline")
    assert refused.exit_code == 1
    assert {"--fix", "--offline"} <= set(refused.error.split())
    text = case.workspace_file.read_text()
    case.workspace_file.write_text(text.replace('"slug": "development"', '"slug": "nowhere"'))
    ran = _check(case)
    assert ran.exit_code == 1
    assert "environment nowhere" in ran.error
    case.workspace_file.write_text(text.replace(case.name, "no-such-project"))
    assert "project no-such-project" in _check(case).error


_REAL_VALUE = "fake-9f2Kq7Lw0Zx"


def _with_rules(case: Case, service: str = "backend") -> None:
    rules = {"max_age": {f"/{service}": 1}, "unread_days": 30}
    content = json.loads(case.workspace_file.read_text())
    case.workspace_file.write_text(json.dumps({**content, "hygiene": rules}))


def _survey(
    case: Case, patch: pytest.MonkeyPatch, isolation: str = "privilege", **variables: str
) -> ValueSurvey:
    """Return what a page of the status says about the secrets, in two days."""
    settings = f'workspace_file = "{case.workspace_file}"\nisolation = "{isolation}"\n'
    case.write("group_data/acme.py", settings)
    patch.chdir(case.root)
    for name, value in {**case.environment(), **variables}.items():
        patch.setenv(name, value)
    return survey_values("inventory/acme.py", datetime.now(UTC) + timedelta(days=2))


@pytest.mark.real
def test_values_are_compared_only_if_asked_for_and_never_shown(case: Case) -> None:
    for each in ENVIRONMENTS:
        case.put(each, "/backend", DATABASE_URL=_REAL_VALUE, TOKEN="fake")
    assert _findings(_check(case)) == []
    file = case.root / "check.sarif"
    ran = _check(case, "--values", "--sarif", str(file))
    assert ran.exit_code == 2
    assert sorted(_findings(ran)) == [
        ("/backend", "equal-value"),
        ("/backend/TOKEN", "weak-value"),
    ]
    assert _REAL_VALUE not in ran.output + file.read_text()
    results = json.loads(file.read_text())["runs"][0]["results"]
    assert [each["ruleId"] for each in results if each["level"] == "error"] == [
        "equal-value",
        "equal-value",
        "weak-value",
    ]


@pytest.mark.real
def test_the_page_of_the_status_lists_the_same_secrets_by_environment(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_rules(case)
    for each in ENVIRONMENTS:
        case.put(each, "/backend", DATABASE_URL=_REAL_VALUE, TOKEN="fake")
    case.put("production", "/backend", ONLY_HERE="yes")
    found = _survey(case, monkeypatch)
    assert found.notes == []
    assert [each[1:] for each in found.rows] == [
        ("development", "old-value", ("DATABASE_URL", "TOKEN")),
        ("development", "weak-value", ("TOKEN",)),
        ("development", "equal-value", ("DATABASE_URL", "TOKEN")),
        ("development", "uneven-key", ("ONLY_HERE",)),
        ("production", "old-value", ("DATABASE_URL", "ONLY_HERE", "TOKEN")),
        ("production", "weak-value", ("TOKEN",)),
    ]
    failed = _survey(case, monkeypatch, INFISICAL_CLIENT_SECRET="fake-and-wrong")
    assert (failed.rows, len(failed.notes)) == ([], 1)


@pytest.mark.real
def test_the_page_of_the_status_lists_the_secrets_of_several_projects(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = number()
    api, web = services = (f"api-{named}", f"web-{named}")
    case = Split(world, f"survey-{named}", tmp_path, services).prepare()
    _with_rules(case, api)
    for each in ENVIRONMENTS:
        case.put(each, f"/{api}", DATABASE_URL=_REAL_VALUE)
        case.put(each, f"/{web}", TOKEN="fake")
        case.put(each, "/shared", KEY=f"{_REAL_VALUE}-{each}")
    case.put("production", f"/{web}", ONLY_HERE="yes")
    found = _survey(case, monkeypatch, "projects")
    assert found.notes == []
    assert [tuple(each) for each in found.rows] == [
        (api, "development", "old-value", ("DATABASE_URL",)),
        (api, "development", "equal-value", ("DATABASE_URL",)),
        (api, "production", "old-value", ("DATABASE_URL",)),
        (web, "development", "weak-value", ("TOKEN",)),
        (web, "development", "equal-value", ("TOKEN",)),
        (web, "development", "uneven-key", ("ONLY_HERE",)),
        (web, "production", "weak-value", ("TOKEN",)),
    ]


@pytest.mark.real
def test_the_age_of_a_value_counts_from_the_version_that_set_it(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comment makes a version too."""
    _with_rules(case)
    commented = {**case.place("production", "/backend"), "secretComment": "rotated by hand"}
    ok(case.world.deployer.patch("/api/v4/secrets/TOKEN", json=commented))
    case.put("production", "/backend", DATABASE_URL=_REAL_VALUE)
    assert "old-value" not in _check(case).stdout
    now = datetime.now(UTC)
    versions = {1: now - timedelta(days=2), 2: now}

    def shift(shown: Json) -> Json:
        """Return a secret as if it was made two days ago, and changed just now if at all."""
        at = versions[shown["version"]]
        return {**shown, "createdAt": versions[1].isoformat(), "updatedAt": at.isoformat()}

    single, several = contents.secret, contents.secrets
    monkeypatch.setattr(contents, "secret", lambda *a, **k: shift(single(*a, **k) or {}))
    monkeypatch.setattr(contents, "secrets", lambda *a, **k: [*map(shift, several(*a, **k))])
    found = json.loads(_check(case, "--values", "--json").stdout)
    old = [each["place"] for each in found["findings"] if each["kind"] == "old-value"]
    assert old == [
        "development/backend/DATABASE_URL",
        "development/backend/TOKEN",
        "production/backend/TOKEN",  # only its comment was changed
    ]
    ages = {(each["environment"], each["key"]): each for each in found["secrets"]}
    assert ages["production", "TOKEN"]["version"] == 2
    assert ages["development", "TOKEN"]["days_since_change"] == 2
    assert _age_of_values(found) == {
        ("development", "DATABASE_URL"): (2, False),
        ("development", "TOKEN"): (2, False),
        ("production", "DATABASE_URL"): (0, False),
        ("production", "TOKEN"): (2, False),
    }
    without = json.loads(_check(case, "--json").stdout)
    assert len([each for each in without["findings"] if each["kind"] == "old-value"]) == 2
    # Without values, a new comment can't be told from a new value.
    assert _age_of_values(without)["production", "TOKEN"] == (0, True)
    assert _age_of_values(without)["development", "TOKEN"] == (2, False)
    notes = [(each["kind"], each["place"]) for each in without["notes"]]
    assert ("not-checked", "production") in notes
    assert ("not-checked", "hygiene") in notes  # the access log is on a host


def _age_of_values(shown: Json) -> dict[tuple[str, str], tuple[int, bool]]:
    """Return by environment and key how many days a value is old, and if it may be older."""
    return {
        (each["environment"], each["key"]): (each["days_with_value"], each["may_be_older"])
        for each in shown["secrets"]
    }


@pytest.mark.real
def test_the_date_of_a_version_comes_from_the_server(case: Case) -> None:
    place = case.place("production", "/backend")
    first = ok(case.world.deployer.get("/api/v4/secrets/TOKEN", params=place))["secret"]
    time.sleep(1.1)
    case.put("production", "/backend", TOKEN="fake-value-9")
    query = {**place, "version": "1"}
    earlier = ok(case.world.deployer.get("/api/v4/secrets/TOKEN", params=query))["secret"]
    assert (earlier["version"], earlier["secretValue"]) == (1, "fake-value-2")
    later = ok(case.world.deployer.get("/api/v4/secrets/TOKEN", params=place))["secret"]
    times = [datetime.fromisoformat(each["createdAt"]) for each in (first, earlier, later)]
    assert times[1] - times[0] < timedelta(seconds=1)
    assert datetime.fromisoformat(later["updatedAt"]) - times[1] > timedelta(seconds=1)


@pytest.mark.real
def test_check_reports_what_an_identity_that_sees_names_only_could_not_check(
    world: World, case: Case
) -> None:
    given = ("check", str(case.root), "--project-file", str(case.workspace_file))
    ran = case.invoke(*given, "--values", "--json", **add_reader_of_names(world, case))
    assert ran.exit_code == 0, ran.output
    hidden = [each for each in json.loads(ran.stdout)["notes"] if each["kind"] == "values-hidden"]
    assert [each["place"] for each in hidden] == ["development/backend", "production/backend"]


def test_values_need_infisical(case: Case) -> None:
    refused = _check(case, "--values", "--offline")
    assert refused.exit_code == 1
    assert {"--values", "--offline"} <= set(refused.error.replace(":", " ").split())


@pytest.mark.real
@pytest.mark.parametrize("isolation", ["privilege", "projects"])
def test_a_job_without_a_secret_sees_all_names_and_no_value(
    world: World, tmp_path: Path, issuer: TokenIssuer, isolation: str
) -> None:
    case = Case(world, f"pipeline-{number()}", tmp_path, ("backend",))
    auth = {"issuer": issuer.url, "subject": "check", "ca_certificate": issuer.authority}
    content = {
        "project": {"name": case.name, "slug": case.name},
        "environments": [{"slug": each, "name": each.title()} for each in ENVIRONMENTS],
        "services": {"backend": {"folder": "/backend"}},
        "ci": {case.name: {"sees": "names", "auth": {"oidc": auth}}},
    }
    case.workspace_file.write_text(json.dumps(content))
    given = ("--project-file", str(case.workspace_file))
    made = case.invoke("workspace", "apply", "--yes", "--isolation", isolation, *given)
    assert made.exit_code == 0, made.output
    id = case.identities()[f"ci-{case.name}"]
    assert f"INFISICAL_MACHINE_IDENTITY_ID={id}" in made.output
    case.write(".gitignore", ".env\n.env.*\n")
    case.write("backend/package.json", '{"dependencies": {"infisical-config": "0.1.0"}}')
    case.write("backend/app.js", _CODE)
    with serving(TokenIssuer("127.0.0.1")) as github:
        github.token = issuer.token  # type: ignore[method-assign]
        github.claims = {"sub": "check"}
        job = {
            "INFISICAL_CLIENT_ID": "",
            "INFISICAL_CLIENT_SECRET": "",
            "INFISICAL_MACHINE_IDENTITY_ID": id,
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{github.url}/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": github.bearer,
        }
        arguments = ("check", str(case.root), *given)
        ran = case.invoke(*arguments, "--fix", **job)
        assert (ran.exit_code, "missing-key" in ran.stdout) == (2, True), ran.output
        assert "not-seen" not in ran.stdout
        refused = case.invoke(*arguments, **{**job, "INFISICAL_JWT": "not-a-token"})
        assert refused.exit_code == 1
        assert "not-a-token" not in refused.output
        github.bearer = "another"
        without = case.invoke(*arguments, **job)
        assert (without.exit_code, "id-token: write" in without.error) == (1, True)
    both = case.invoke(*arguments, **{**job, "INFISICAL_CLIENT_ID": "x"})
    assert "INFISICAL_CLIENT_ID" in both.error
    listed = case.invoke("credentials", "list", "--json", "--file", str(case.workspace_file))
    (login,) = json.loads(listed.stdout)["token_logins"]
    assert (login["id"], login["tokens"]["subject"]) == (id, "check")


def test_a_job_without_a_platform_has_a_client_secret(world: World, tmp_path: Path) -> None:
    case = Case(world, f"pipeline-{number()}", tmp_path, ("backend",))
    content = {
        "project": {"name": case.name, "slug": case.name},
        "environments": [{"slug": each, "name": each.title()} for each in ENVIRONMENTS],
        "services": {"backend": {"folder": "/backend"}},
        "ci": {case.name: {"sees": "names", "auth": "universal"}},
    }
    case.workspace_file.write_text(json.dumps(content))
    files = tmp_path / "credentials"
    files.mkdir()
    given = ("--file", str(case.workspace_file), "--credentials", str(files))
    made = case.invoke("workspace", "apply", "--yes", "--project-file", str(case.workspace_file))
    assert made.exit_code == 0, made.output
    rotated = case.invoke("credentials", "rotate", case.name, "--env", "ci", *given)
    assert rotated.exit_code == 0, rotated.output
    shown = case.invoke("credentials", "show", case.name, "--env", "ci", *given)
    variables = dict(line.split("=", 1) for line in shown.stdout.splitlines() if "=" in line)
    login = {name: variables[name] for name in ("INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET")}
    arguments = ("check", str(case.root), "--project-file", str(case.workspace_file))
    ran = case.invoke(*arguments, "--json", **login)
    assert json.loads(ran.stdout)["compared_with_infisical"] is True
    plan = case.invoke("workspace", "plan", "--project-file", str(case.workspace_file))
    assert "Nothing to change" in plan.stdout, plan.output
    assert "* " not in plan.stdout
