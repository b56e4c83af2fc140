"""Test each state of the files that a power cut could leave while the agent writes them."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from infisical_iac.agent import files, transaction
from infisical_iac.agent.journal import (
    StepContext,
    Transaction,
    TransactionJournal,
    TransactionStep,
    read_journal,
)
from infisical_iac.agent.runner import Failure, Runner
from tests.unit.agent.crashing import Recording, Tree, make, recording
from tests.unit.agent.fake_runner import FakeRunner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_OLD, _NEW = b"the old text\n", b"the new text, which is longer\n"


def _record(root: Path, act: Callable[[Path], object]) -> Recording:
    with recording(root) as found:
        act(root)
    return found


@pytest.mark.parametrize("folder", ["", "/made/for it"])
@pytest.mark.parametrize("old", [None, _OLD])
def test_a_written_file_is_the_old_or_the_new_one_after_a_crash(
    tmp_path: Path, folder: str, old: bytes | None
) -> None:
    path = f"{folder}/file"
    if old and not folder:
        (tmp_path / "file").write_bytes(old)
    else:
        old = None
    found = _record(tmp_path, lambda root: files.write(root / path[1:], _NEW))
    contents = [tree.get(path) for _, tree in found.trees()]
    assert {*contents} == {old, _NEW}
    assert [tree.get(path) for tree in found.last()] == [_NEW]


def test_a_crash_shows_no_half_written_file_even_without_the_old_one(tmp_path: Path) -> None:
    """The layer itself finds a write that is not atomic."""
    (tmp_path / "file").write_bytes(_OLD)
    found = _record(tmp_path, lambda root: (root / "file").write_bytes(_NEW))
    found.note("the end")
    assert {tree["/file"] for _, tree in found.trees()} == {_OLD, b"", _NEW[:15], _NEW}


def test_a_rename_without_a_flush_of_the_content_is_found_by_the_layer(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(_OLD)

    def act(root: Path) -> None:
        (root / "new").write_bytes(_NEW)
        files.rename(root / "new", root / "file")

    contents = {tree.get("/file") for _, tree in _record(tmp_path, act).trees()}
    assert contents == {_OLD, b"", _NEW[:15], _NEW}


def test_a_removed_file_does_not_come_back(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(_OLD)
    found = _record(tmp_path, lambda root: files.remove(root / "file"))
    assert {tree.get("/file") for _, tree in found.trees()} == {_OLD, None}
    assert all("/file" not in tree for tree in found.last())


def test_a_moved_file_is_in_one_place(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "file").write_bytes(_OLD)
    found = _record(tmp_path, lambda root: files.rename(root / "a" / "file", root / "b" / "file"))
    for _, tree in found.trees():
        assert ("/a/file" in tree) is not ("/b/file" in tree)
    assert all("/b/file" in tree for tree in found.last())


def test_an_entry_of_the_audit_log_is_whole_or_follows_half_a_line(tmp_path: Path) -> None:
    runner = FakeRunner(tmp_path)
    files.append_entry(runner, path="/log/audit", entry='{"number": 1}')

    def append(root: Path) -> None:
        files.append_entry(FakeRunner(root), path="/log/audit", entry='{"number": 2}')

    found = _record(tmp_path, append)
    first = (tmp_path / "log/audit").read_bytes().splitlines(keepends=True)[0]
    for number, (_, tree) in enumerate(found.trees()):
        root = tmp_path.with_name(f"{tmp_path.name}-{number}")
        make(tree, root)
        append(root)
        lines = (root / "log/audit").read_bytes().splitlines(keepends=True)
        assert lines[0] == first
        assert json.loads(lines[-1])["number"] == 2
    assert all(len(str(tree["/log/audit"])) > len(first) for tree in found.last())


_DIRECTORY, _PLACE = "/var/lib/infisical-test", "/etc/infisical"
_STEPS = ("one", "two", "three", "four")


def _refuse_older(_: Runner, text: str) -> TransactionJournal:
    raise AssertionError(text)


def _step(name: str, fails: bool) -> TransactionStep:
    """Return a step that puts a file in the place of another, and brings that back."""

    def do(work: StepContext) -> None:
        file = work.runner.path(f"{_PLACE}/{name}")
        before = work.runner.path(f"{_PLACE}/{name}.old")
        if not before.exists():
            files.write(before, b"old")
        files.write(file, b"new")
        work.keep(**{name: "is new"})
        if fails and name == "three":
            raise RuntimeError(Failure("checks", "it fails"))

    def undo(work: StepContext) -> None:
        before = work.runner.path(f"{_PLACE}/{name}.old")
        if before.exists():
            files.rename(before, work.runner.path(f"{_PLACE}/{name}"))

    return TransactionStep(name, do, undo)


def _retire(work: StepContext) -> None:
    for name in _STEPS:
        files.remove(work.runner.path(f"{_PLACE}/{name}.old"))


def _kind(fails: bool) -> Transaction:
    steps = (*(_step(name, fails) for name in _STEPS), TransactionStep("retire", _retire))
    return Transaction("test", _DIRECTORY, "a test", steps, "three", "retire", _refuse_older)


_ANSWERS = {"systemctl is-active": "", "systemd-run": ""}


def _begin_and_run(root: Path, kind: Transaction) -> None:
    host = FakeRunner(root, _ANSWERS)
    transaction.begin(host, name="test", began="20261125T101112Z", plan={"some": "plan"})
    transaction.run(host, kind)


def _read_place(root: Path) -> dict[str, str]:
    return {each.name: each.read_text() for each in (root / _PLACE[1:]).iterdir()}


_OLD_PLACE, _NEW_PLACE = (dict.fromkeys(_STEPS, text) for text in ("old", "new"))


def _assert_reaches_an_end(tree: Tree, root: Path, kind: Transaction, doing: str) -> None:
    make(tree, root)
    host = FakeRunner(root, _ANSWERS)
    ended = transaction.run(host, kind)
    assert _read_place(root) in (_OLD_PLACE, _NEW_PLACE), doing
    if ended:
        desired = _NEW_PLACE if ended.outcome == "done" else _OLD_PLACE
        assert _read_place(root) == desired, doing
    assert read_journal(host, kind) is None
    assert transaction.run(host, kind) is None
    assert _read_place(root) in (_OLD_PLACE, _NEW_PLACE), doing
    shutil.rmtree(root)


@pytest.mark.parametrize("fails", [False, True])
def test_the_journal_leads_to_an_end_after_any_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    kind = _kind(fails)
    monkeypatch.setattr(transaction, "_KINDS", ("test",))
    monkeypatch.setattr(transaction, "find", lambda _: kind)
    root = tmp_path / "host"
    for name in _STEPS:
        FakeRunner(root).write(f"{_PLACE}/{name}", "old")
    (root / "var/lib").mkdir(parents=True)
    found = _record(root, lambda root: _begin_and_run(root, kind))
    assert _read_place(root) == (_OLD_PLACE if fails else _NEW_PLACE)
    number = 0
    for number, (doing, tree) in enumerate(found.trees(), 1):
        _assert_reaches_an_end(tree, tmp_path / str(number), kind, doing)
    assert 90 < number < 1000
    for tree in found.last():
        _assert_reaches_an_end(tree, tmp_path / "last", kind, "the end")
