"""Test the history of backups and drills: the records on the host, and their parser."""

import json
from pathlib import Path

from infisical_iac.backup.record import parse_drill, parse_history, parse_record
from infisical_iac.core.rendering import script_file
from tests.unit.backup.records import backup_record, drill_record
from tests.unit.fake_programs import run_with

_HISTORY = "history.jsonl"


def _add(state: Path, record: str, *, check: bool = True) -> int:
    """Add a record as a run does, and return the exit status of the script."""
    (state / "last.json").write_text(record)
    text = f"{script_file('reporting')}\nstate={state} work={state}\nadd_to_history\necho done"
    return run_with(state, f"set -eu\n{text}", check=check).returncode


def test_each_run_adds_its_record_in_one_line(tmp_path: Path) -> None:
    _add(tmp_path, json.dumps(json.loads(backup_record("no route", local=1)), indent=2))
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


def test_a_run_does_not_fail_without_space_for_its_history(tmp_path: Path) -> None:
    """A `sync` that fails stands for a full disk."""
    _add(tmp_path, drill_record(secrets=1))
    (tmp_path / "sync").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "sync").chmod(0o755)
    assert _add(tmp_path, drill_record(secrets=2)) == 0
    found = parse_history((tmp_path / _HISTORY).read_text(), parse_drill)
    assert [each.secrets for each in found] == [1]
    assert not (tmp_path / f"{_HISTORY}.new").exists()


def test_a_line_that_can_not_be_read_is_left_out() -> None:
    text = f"{drill_record()}\n{{torn\n\n{drill_record()}"
    assert len(parse_history(text, parse_drill)) == 2


def test_without_a_history_there_is_the_last_run() -> None:
    assert len(parse_history("", parse_record, backup_record(local=1))) == 1
    assert parse_history("", parse_record) == []
