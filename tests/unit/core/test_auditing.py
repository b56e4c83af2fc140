"""Test that entries of the audit log are read as written, and later edits are detected."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from infisical_iac.agent.files import append_entry
from infisical_iac.agent.runner import Runner
from infisical_iac.core import bundle
from infisical_iac.core.audit_entries import (
    AuditEntry,
    list_runs,
    make_entry,
    parse,
    render,
    revision,
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of two runs, as the agent writes it; the second run has not ended."""
    file = tmp_path / "log" / "audit.jsonl"
    for entry in (
        make_entry("apply", "begun", "one"),
        make_entry("apply", "done", "one", changes=["+ package curl", "~ sign-up: open → closed"]),
        make_entry("destroy", "begun", "two"),
    ):
        _append(file, entry)
    return file


def _append(file: Path, entry: AuditEntry) -> None:
    append_entry(Runner(), path=str(file), entry=render(entry))


def test_entries_are_read_as_they_were_written(log: Path) -> None:
    found = parse(log.read_text())
    assert found.broken_at is None
    assert [(each.event, each.outcome, each.run) for each in found.entries] == [
        ("apply", "begun", "one"),
        ("apply", "done", "one"),
        ("destroy", "begun", "two"),
    ]
    assert found.entries[1].changes == ["+ package curl", "~ sign-up: open → closed"]
    assert "@" in found.entries[0].by


def test_a_log_is_private(log: Path) -> None:
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_changed_line_is_detected(log: Path) -> None:
    log.write_text(log.read_text().replace("package curl", "package nothing"))
    found = parse(log.read_text())
    assert found.broken_at == 3, "line 3 has the hash of line 2 before its change"
    assert len(found.entries) == 2


def test_a_removed_line_is_detected(log: Path) -> None:
    first, _, third = log.read_text().splitlines(keepends=True)
    assert parse(first + third).broken_at == 2


@pytest.mark.parametrize("line", ["{}", '{"previous": 1}'])
def test_an_invalid_line_is_reported(line: str) -> None:
    assert parse(f"{line}\n").broken_at == 1


def test_a_field_of_a_newer_version_is_skipped(log: Path) -> None:
    entry = json.loads(render(make_entry("apply", "done", "newer"))) | {"ticket": "OPS-1"}
    append_entry(Runner(), path=str(log), entry=json.dumps(entry))
    found = parse(log.read_text())
    assert found.broken_at is None
    assert found.entries[-1].run == "newer"


def test_an_incomplete_line_is_skipped_and_new_entries_follow_it(log: Path) -> None:
    with log.open("a") as file:
        file.write('{"previous": "half a li')
    _append(log, make_entry("apply", "begun", "three"))
    found = parse(log.read_text())
    assert found.broken_at is None
    assert found.entries[-1].run == "three"
    log.write_text(log.read_text().replace("half a li", "another"))
    assert parse(log.read_text()).broken_at == 5


def test_runs_are_distinguished_and_an_unfinished_run_is_known(log: Path) -> None:
    apply, destroy = list_runs(parse(log.read_text()).entries)
    assert apply.has_ended
    assert apply.last.outcome == "done"
    assert not destroy.has_ended


def _commit(directory: Path) -> None:
    """Make a repository with one commit."""
    directory.mkdir(exist_ok=True)
    given = ("-c", "user.name=ada", "-c", "user.email=ada@example.com", "commit", "--quiet")
    for arguments in (["init", "--quiet"], [*given, "--allow-empty", "--message", "one"]):
        subprocess.run(["git", "-C", directory, *arguments], check=True)


@pytest.mark.parametrize("has_commit", [True, False])
def test_the_revision_of_an_installed_tool_is_its_version_and_the_users_commit(
    has_commit: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bundle, "IS_INSTALLED", True)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    if has_commit:
        _commit(tmp_path)
        (tmp_path / "new.py").write_text("")
    commit = r"\+[0-9a-f]{12}-dirty" if has_commit else ""
    assert re.fullmatch(re.escape(bundle.version()) + commit, revision.__wrapped__())


@pytest.mark.parametrize(
    ("place", "pattern"), [("user", r"[0-9a-f]{12}\+[0-9a-f]{12}-dirty"), ("clone", "[0-9a-f]{12}")]
)
def test_the_revision_of_a_clone_has_the_users_commit_if_the_settings_are_elsewhere(
    place: str, pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("user", "clone"):
        _commit(tmp_path / name)
    (tmp_path / "user" / "new.py").write_text("")
    monkeypatch.chdir(tmp_path / place)
    monkeypatch.setattr(bundle, "IS_INSTALLED", False)
    monkeypatch.setattr(bundle, "ROOT", tmp_path / "clone")
    assert re.fullmatch(pattern, revision.__wrapped__())


def test_an_entry_names_the_revision() -> None:
    line = json.loads(render(AuditEntry("now", "ada@laptop", "apply", "done", "one", "abc123")))
    assert line["revision"] == "abc123"
