"""Test the rows of `status` on the monitor, and the command that silences it."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from infisical_iac.agent.health import MonitorReport, Silence
from infisical_iac.cli import alerts
from infisical_iac.cli.main import main
from infisical_iac.core import connection
from infisical_iac.core.settings import Settings
from infisical_iac.monitoring import deploy
from infisical_iac.monitoring.health import monitor
from tests.unit.health_rows import NOW, observed, settings

_NOW = NOW.timestamp()
_RUNS = MonitorReport(_NOW - 30)


def _rows(report: MonitorReport | None) -> list[tuple[str, str, bool]]:
    state = replace(observed(), monitor=report)
    return [(row.name, row.text, row.ok) for row in monitor(state, NOW)]


def test_a_monitor_that_is_off_has_no_row() -> None:
    assert _rows(None) == []


@pytest.mark.parametrize(
    ("report", "fact", "ok"),
    [
        (_RUNS, "no alerts", True),
        (replace(_RUNS, alerts=("redis is exited", "b")), "redis is exited; b", False),
        (replace(_RUNS, failing={"team": "HTTP 500"}), "team: HTTP 500", False),
        (MonitorReport(), "has not run yet", False),
        (MonitorReport(_NOW - 600), "2026-11-25T11:50:00Z", False),
    ],
)
def test_the_row_has_the_alerts_that_last(report: MonitorReport, fact: str, ok: bool) -> None:
    ((name, text, is_ok),) = _rows(report)
    assert (name, fact in text, is_ok) == ("Monitoring", True, ok), text


def test_a_silence_has_a_row_with_its_end_and_reason() -> None:
    silence = Silence(_NOW + 3600, "a move", "ada@laptop")
    _, (name, text, ok) = _rows(replace(_RUNS, silence=silence))
    assert (name, ok) == ("Silence", True)
    for fact in ("2026-11-25T13:00:00Z", "a move", "ada@laptop"):
        assert fact in text


@pytest.fixture
def silenced(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Connect to a fake host; return its calls of the silence."""
    calls: list[Any] = []
    on = settings(monitoring="on")
    host = SimpleNamespace(name="one")
    monkeypatch.setattr(alerts, "open_host", lambda *_, **__: nullcontext((host, on)))
    monkeypatch.setattr(connection, "with_others", lambda each: [each])
    monkeypatch.setattr(connection, "each_of", lambda hosts, call: [call(each) for each in hosts])
    monkeypatch.setattr(deploy, "begin_silence", lambda until, why: calls.append((until, why)))
    monkeypatch.setattr(deploy, "end_silence", lambda: calls.append("end"))
    return calls


def _run(*arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(main, ["silence", *arguments])
    return found.exit_code, found.output


def test_a_silence_lasts_as_long_as_it_is_asked_for(silenced: list[Any]) -> None:
    code, output = _run("30m", "--why", "a move")
    ((until, why),) = silenced
    left = until - datetime.now(UTC)
    assert timedelta(minutes=29) < left < timedelta(minutes=31)
    assert (code, why, f"{until:%Y-%m-%dT%H:%M}" in output) == (0, "a move", True)


def test_a_silence_is_ended(silenced: list[Any]) -> None:
    assert (_run("--end")[0], silenced) == (0, ["end"])


@pytest.mark.parametrize(
    "arguments", [("2h",), ("2x", "--why", "a"), ("8d", "--why", "a"), ("0m", "--why", "a")]
)
def test_a_silence_without_reason_or_end_is_refused(
    silenced: list[Any], arguments: tuple[str, ...]
) -> None:
    assert (_run(*arguments)[0], silenced) == (1, [])


def test_a_silence_of_a_monitor_that_is_off_is_refused(
    silenced: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_host(*_: object, check: Callable[[Settings], None], **__: object) -> None:
        check(settings())
        pytest.fail("the settings are checked before the connection")

    monkeypatch.setattr(alerts, "open_host", open_host)
    code, output = _run("2h", "--why", "a", "--json")
    assert (code, "settings.no_monitoring" in output, silenced) == (1, True, [])
