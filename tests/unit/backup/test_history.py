"""Test the history of backups and drills: the records on the host, and their parser."""

import json
from pathlib import Path

import pytest

from infisical_iac.agent import files, reporting
from infisical_iac.agent.reporting import RunRecords
from infisical_iac.agent.runner import Runner
from infisical_iac.backup.record import parse_drill, parse_history, parse_record
from tests.unit.backup.records import backup_record, drill_record

_HISTORY = "history.jsonl"


def _add(state: Path, record: str) -> None:
    """Record a run."""
    RunRecords(Runner(state), "/", "fake").conclude(json.loads(record), [])


def test_each_run_adds_its_record_in_one_line(tmp_path: Path) -> None:
    _add(tmp_path, backup_record("no route", local=1))
    _add(tmp_path, backup_record(local=1))
    text = (tmp_path / _HISTORY).read_text()
    assert [each.failure for each in parse_history(text, parse_record)] == ["no route", ""]
    assert len(text.splitlines()) == 2


def test_the_history_has_at_most_400_runs(tmp_path: Path) -> None:
    lines = [drill_record(secrets=number) for number in range(400)]
    (tmp_path / _HISTORY).write_text("\n".join(lines) + "\n")
    _add(tmp_path, drill_record(secrets=1000))
    found = parse_history((tmp_path / _HISTORY).read_text(), parse_drill)
    assert (len(found), found[0].secrets, found[-1].secrets) == (400, 1, 1000)


def test_a_run_does_not_fail_without_space_for_its_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add(tmp_path, drill_record(secrets=1))

    def fail_for_history(path: Path, content: bytes, **more: int) -> None:
        if path.name == _HISTORY:
            raise OSError(28, "No space left on device")
        files.write(path, content, **more)

    monkeypatch.setattr(reporting, "write", fail_for_history)
    _add(tmp_path, drill_record(secrets=2))
    found = parse_history((tmp_path / _HISTORY).read_text(), parse_drill)
    assert [each.secrets for each in found] == [1]
    assert parse_drill((tmp_path / "last.json").read_text()).secrets == 2


def test_a_line_that_can_not_be_read_is_left_out() -> None:
    text = f"{drill_record()}\n{{torn\n\n{drill_record()}"
    assert len(parse_history(text, parse_drill)) == 2


def test_without_a_history_there_is_the_last_run() -> None:
    assert len(parse_history("", parse_record, backup_record(local=1))) == 1
    assert parse_history("", parse_record) == []
