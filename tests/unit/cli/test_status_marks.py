"""Test the marks of `status`: a row without a result yet has no tick."""

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from infisical_iac.agent.health import HealthFacts
from infisical_iac.cli import status
from infisical_iac.cli.main import main
from infisical_iac.core import agent, audit, connection
from infisical_iac.core.audit_entries import Log
from infisical_iac.core.change import Row
from infisical_iac.host.model import MachineState
from infisical_iac.monitoring.health import HealthState, access, drift_row, instance, rows
from tests.unit.health_rows import NOW, observed, settings


def _rows(**changes: Any) -> dict[str, Row]:
    found = rows(_new(**changes), settings(), Log([]), drift_row([]), NOW)
    return {row.name: row for row in found}


def _new(**changes: Any) -> HealthState:
    """Return the state of a host that was deployed an hour ago, without backup, drill or apply."""
    return observed(**changes)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Last backup", "none yet: `infisical-iac backup now` makes one"),
        ("Last drill", "none yet: `infisical-iac restore --drill` makes one"),
        ("Last apply", "none yet"),
        ("Certificate", "none: http://127.0.0.1:8080 is reached without TLS"),
    ],
)
def test_a_row_that_is_not_due_yet_is_not_a_problem_and_gets_no_tick(name: str, text: str) -> None:
    row = _rows()[name]
    assert (row.text, row.ok, row.is_note) == (text, True, True)
    assert "✓" not in status._mark(row)


def test_an_overdue_row_is_a_problem() -> None:
    row = _rows(backups_since=0)["Last backup"]
    assert (row.ok, "✗" in status._mark(row)) == (False, True)


def test_an_unknown_state_gets_no_tick() -> None:
    (unseen,) = instance(None, error="it does not answer")
    of_access = access([], ["the project's service tokens could not be seen"])[1]
    assert [row.is_note for row in (unseen, of_access)] == [True, True]


def test_a_proven_row_gets_a_tick() -> None:
    found = _rows()
    assert [name for name, row in found.items() if "✓" in status._mark(row)] == [
        "infisical",
        "postgres",
        "redis",
        "Disk",
        "Drift",
    ]


def test_json_of_a_row_has_only_name_text_and_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Row("Last backup", "none yet", is_note=True)
    monkeypatch.setattr(status, "_collect_rows", lambda *_: [row])
    found = CliRunner().invoke(main, ["status", "--json"])
    assert json.loads(found.output) == [{"name": "Last backup", "text": "none yet", "ok": True}]
    shown = CliRunner().invoke(main, ["status"])
    assert (shown.exit_code, shown.output) == (0, "· Last backup  none yet\n")


def test_a_page_has_the_rows_and_the_same_exit_status(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    row, file = Row("Last backup", "failed at 3", ok=False), tmp_path / "status.html"
    monkeypatch.setattr(status, "_collect_rows", lambda *_: [row])
    options = ("--json", "--html", str(file), "-i", "inventory/acme.py")
    found = CliRunner().invoke(main, ["status", *options])
    assert (found.exit_code, json.loads(found.stdout)[0]["ok"]) == (1, False)
    page = file.read_text("utf-8")
    assert "Status of acme" in page
    assert "failed at 3" in page
    assert file.stat().st_mode & 0o777 == 0o600
    CliRunner().invoke(main, ["status"])
    assert [*tmp_path.iterdir()] == [file]


@pytest.mark.parametrize("is_deployed", [False, True])
def test_a_first_apply_is_shown_in_place_of_the_failures_of_an_unfinished_host(
    monkeypatch: pytest.MonkeyPatch, *, is_deployed: bool
) -> None:
    """Without this row, a host that is being made lacks containers, credentials and backups."""
    machine = MachineState(deployed=is_deployed)
    health = HealthState(HealthFacts(engine=False, holder="by ada"))
    monkeypatch.setattr("infisical_iac.host.machine.read_machine", lambda: machine)
    host = SimpleNamespace(name="new")
    host.state = SimpleNamespace(inventory=[host])
    monkeypatch.setattr(status, "open_host", lambda *_, **__: nullcontext((host, settings())))
    monkeypatch.setattr(status, "_ask_for_new_versions", lambda _: list)
    monkeypatch.setattr(connection, "with_others", lambda each: [each])
    monkeypatch.setattr(connection, "each_of", lambda hosts, call: [call(each) for each in hosts])
    monkeypatch.setattr(audit, "read", lambda: Log([]))
    monkeypatch.setattr(agent, "ask", lambda _: health)
    monkeypatch.setattr(status, "_observe", lambda _: (health, Log([])))
    shown = CliRunner().invoke(main, ["status"])
    assert shown.exit_code == 1
    (line,) = shown.output.splitlines()
    assert "first apply" in line
    assert "by ada" in line


def test_secrets_are_surveyed_for_a_page_only() -> None:
    refused = CliRunner().invoke(main, ["status", "--values"])
    assert refused.exit_code == 1
    assert "--html" in refused.output
