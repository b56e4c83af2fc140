"""Test that a transaction reaches one of its two ends wherever it is killed."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from infisical_iac.agent import files, journal, transaction
from infisical_iac.agent.journal import (
    Act,
    StepContext,
    Transaction,
    TransactionJournal,
    TransactionStep,
    read_journal,
)
from infisical_iac.agent.runner import Failure, Output, Runner
from infisical_iac.agent.transaction import ask_back, begin, open_transactions, progress, run
from tests.unit.agent.fake_runner import FakeRunner
from tests.unit.agent.killed import Killed, deaths

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_BEGAN = "20261125T101112Z"
_DIRECTORY = "/var/lib/infisical-test"


def _refuse_older(_: Runner, text: str) -> TransactionJournal:
    raise AssertionError(text)


class _Story:
    """A transaction of five steps, each of which puts a file on the host and takes it away."""

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.calls: list[str] = []
        self.die: Callable[[str], None] = lambda _: None
        names = ("one", "two", "three", "four", "five")
        self.kind = Transaction(
            "test",
            _DIRECTORY,
            "a test",
            tuple(TransactionStep(name, self._do(name), self._undo(name)) for name in names),
            goes_on_from="three",
            proven_from="five",
            read_older=_refuse_older,
        )

    def _do(self, name: str) -> Act:
        def do(work: StepContext) -> None:
            self._act(f"do {name}")
            work.runner.path(f"/{name}").write_text("")
            self.die(f"done {name}")

        return do

    def _undo(self, name: str) -> Act:
        def undo(work: StepContext) -> None:
            self._act(f"undo {name}")
            work.runner.path(f"/{name}").unlink(missing_ok=True)
            self.die(f"undone {name}")

        return undo

    def _act(self, call: str) -> None:
        self.calls.append(call)
        self.die(call)
        if call in self.failing:
            raise RuntimeError(Failure("checks", f"{call} failed"))

    def files(self, host: FakeRunner) -> set[str]:
        names = {each.name for each in self.kind.steps}
        return {name for name in names if host.path(f"/{name}").exists()}


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> _Story:
    made = _Story()
    monkeypatch.setattr(transaction, "_KINDS", ("test",))
    monkeypatch.setattr(transaction, "find", lambda _: made.kind)
    return made


def _make(directory: Path) -> FakeRunner:
    directory.mkdir()
    host = FakeRunner(directory, {"systemctl is-active": "", "systemd-run": ""})
    begin(host, name="test", began=_BEGAN, plan={})
    return host


@pytest.fixture
def host(story: _Story, tmp_path: Path) -> FakeRunner:
    return _make(tmp_path / "host")


_ALL = {"one", "two", "three", "four", "five"}


def _assert_ended(story: _Story, host: FakeRunner) -> None:
    ended = read_journal(host, story.kind)
    assert ended is None
    assert story.files(host) in (_ALL, set())
    assert not list(host.path(_DIRECTORY).glob("*.json"))


def test_the_steps_are_done_in_their_order(story: _Story, host: FakeRunner) -> None:
    ended = run(host, story.kind)
    assert ended
    assert (ended.outcome, ended.failure) == ("done", None)
    assert story.calls == [f"do {each.name}" for each in story.kind.steps]
    assert [(way, name) for _, way, name in ended.log] == [
        ("forward", each.name) for each in story.kind.steps
    ]
    _assert_ended(story, host)


@pytest.mark.parametrize("failing", ["one", "two", "three", "four"])
def test_a_step_that_fails_is_undone_with_all_before_it(
    story: _Story, host: FakeRunner, failing: str
) -> None:
    story.failing = {f"do {failing}"}
    ended = run(host, story.kind)
    assert ended
    assert ended.outcome == "undone"
    assert ended.failure == Failure("checks", f"do {failing} failed")
    begun = [name for name in ("one", "two", "three", "four") if f"do {name}" in story.calls]
    assert story.calls[len(begun) :] == [f"undo {name}" for name in reversed(begun)]
    _assert_ended(story, host)


def test_a_proven_transaction_is_never_undone(story: _Story, host: FakeRunner) -> None:
    story.failing = {"do five"}
    for _ in range(2):
        with pytest.raises(RuntimeError):
            run(host, story.kind)
    there = read_journal(host, story.kind)
    assert there
    assert (there.way, there.stuck) == ("forward", Failure("checks", "do five failed"))
    story.failing = set()
    ended = run(host, story.kind)
    assert ended
    assert ended.outcome == "done"
    assert not [each for each in story.calls if each.startswith("undo")]


def test_an_undo_that_fails_is_taken_up_there(story: _Story, host: FakeRunner) -> None:
    story.failing = {"do four", "undo two"}
    with pytest.raises(RuntimeError):
        run(host, story.kind)
    story.failing, story.calls = set(), []
    ended = run(host, story.kind)
    assert ended
    assert ended.outcome == "undone"
    assert story.calls == ["undo two", "undo one"]


_POINTS = [
    f"{what} {step}"
    for step in ("one", "two", "three", "four", "five")
    for what in ("do", "done", "undo", "undone")
    if (what, step) not in (("undo", "five"), ("undone", "five"))
]


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("point", _POINTS)
def test_a_transaction_that_is_killed_at_any_point_reaches_an_end(
    story: _Story, host: FakeRunner, point: str, fails: bool
) -> None:
    died = False

    def die(call: str) -> None:
        nonlocal died
        if call == point and not died:
            died = True
            raise Killed

    story.die = die
    story.failing = {"do four"} if fails else set()
    try:
        run(host, story.kind)
    except Killed:
        story.failing = {"do four"} if fails else set()
        ended = run(host, story.kind)
        assert ended
        early = point.split()[1] in ("one", "two")
        assert ended.outcome == ("undone" if fails or early else "done")
    _assert_ended(story, host)
    assert run(host, story.kind) is None


def test_a_kill_at_any_effect_of_the_journal_is_survived(story: _Story, tmp_path: Path) -> None:
    numbers = 0
    for host in deaths(_make, lambda host: run(host, story.kind), tmp_path):
        assert isinstance(host, FakeRunner)
        run(host, story.kind)
        _assert_ended(story, host)
        numbers += 1
    assert numbers > 8


def test_a_second_transaction_of_a_kind_is_refused(story: _Story, host: FakeRunner) -> None:
    begin(host, name="test", began=_BEGAN, plan={})
    with pytest.raises(RuntimeError) as refused:
        begin(host, name="test", began="20261125T101113Z", plan={})
    assert refused.value.args[0].code == "refused.under_way"


def test_one_is_undone_before_its_next_step_if_somebody_asks(
    story: _Story, host: FakeRunner
) -> None:
    ask_back(host, name="test")
    ended = run(host, story.kind)
    assert ended
    assert (ended.outcome, ended.failure) == ("undone", transaction.ASKED)
    assert story.calls == []
    assert not host.path(f"{_DIRECTORY}/asked-back").exists()


class _Operator:
    """The operator's side of steps that only it can do."""

    def __init__(self, host: FakeRunner, story: _Story) -> None:
        self.host, self.story = host, story

    def follow(self, answers: dict[str, dict[str, str] | None]) -> TransactionJournal:
        """Answer each step that waits, and return the journal at the end."""
        for _ in range(10):
            journal = run(self.host, self.story.kind)
            assert journal
            if not journal.waits:
                return journal
            failure = answers[f"{journal.way} {journal.step}"]
            transaction.answer(
                self.host, name="test", step=journal.step, kept={"x": 1}, failure=failure
            )
        raise AssertionError("it waits again and again")


def _by_operator(directory: Path) -> FakeRunner:
    directory.mkdir()
    idle = {"systemctl is-active": "", "systemd-run": ""}
    host = FakeRunner(directory, idle)
    plan = {"operator_forward": ["two", "four"], "operator_back": ["two"]}
    begin(host, name="test", began=_BEGAN, plan=plan)
    return host


def test_a_step_of_the_operator_is_waited_for(story: _Story, tmp_path: Path) -> None:
    host = _by_operator(tmp_path / "host")
    first = run(host, story.kind)
    assert first
    assert (first.waits, first.step, first.outcome) == (True, "two", "")
    # A boot does not take it for an interruption.
    again = run(host, story.kind)
    assert again
    assert (again.waits, again.way) == (True, "forward")
    ended = _Operator(host, story).follow({"forward two": None, "forward four": None})
    assert (ended.outcome, ended.kept) == ("done", {"x": 1})
    assert story.calls == ["do one", "do three", "do five"]


def test_the_operator_undoes_what_it_has_done(story: _Story, tmp_path: Path) -> None:
    host = _by_operator(tmp_path / "host")
    failure = {"code": "checks.data", "message": "a secret is gone", "remedy": ""}
    ended = _Operator(host, story).follow(
        {"forward two": None, "forward four": failure, "back two": None}
    )
    assert (ended.outcome, ended.failure) == (
        "undone",
        Failure(failure["code"], failure["message"]),
    )
    assert story.calls[2:] == ["undo four", "undo three", "undo one"]


def test_one_that_waits_goes_back_if_somebody_asks(story: _Story, tmp_path: Path) -> None:
    host = _by_operator(tmp_path / "host")
    run(host, story.kind)
    ask_back(host, name="test")
    ended = _Operator(host, story).follow({"back two": None})
    assert (ended.outcome, story.calls) == ("undone", ["do one", "undo one"])


def test_one_that_is_about_to_go_back_does_not_seem_to_wait(
    story: _Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its unit starts a moment after it was asked; the side that follows must not do the step."""
    host = _by_operator(tmp_path / "host")
    run(host, story.kind)
    ask_back(host, name="test")
    monkeypatch.setattr(time, "sleep", lambda _: run(host, story.kind))
    found = progress(host, name="test", seen=2, seconds=60).journal
    assert found
    assert (found.way, found.is_unanswered) == ("back", True)


def test_its_end_is_known_until_it_was_told(story: _Story, host: FakeRunner) -> None:
    run(host, story.kind)
    told = open_transactions(host)["test"].journal
    assert told
    assert (told.began, told.outcome) == (_BEGAN, "done")
    transaction.forget(host, name="test")
    assert open_transactions(host) == {}


def test_progress_is_returned_once_there_is_more_of_it(story: _Story, host: FakeRunner) -> None:
    seen = progress(host, name="test", seen=0, seconds=0)
    assert seen.journal
    assert seen.journal.log == []
    run(host, story.kind)
    ended = progress(host, name="test", seen=0, seconds=60).journal
    assert ended
    assert (ended.outcome, len(ended.log)) == ("done", 5)


def test_the_journal_can_be_written_on_a_full_disk(
    story: _Story, host: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare = host.path(f"{_DIRECTORY}/spare")

    def write_if_there_is_space(path: Path, content: bytes) -> None:
        if spare.exists():
            raise OSError(28, "No space left on device", str(path))
        files.write(path, content)

    monkeypatch.setattr(journal, "write", write_if_there_is_space)
    ended = run(host, story.kind)
    assert ended
    assert ended.outcome == "done"


def test_an_error_of_the_disk_is_reported_by_its_reason(story: _Story, host: FakeRunner) -> None:
    def fill(call: str) -> None:
        if call == "do three":
            raise OSError(28, "No space left on device", "/var/lib/x")

    story.die = fill
    ended = run(host, story.kind)
    assert ended
    assert ended.failure
    assert ended.failure.message.endswith("/var/lib/x: No space left on device")


def test_the_unit_runs_this_agent_without_a_secret_in_its_arguments(
    story: _Story, tmp_path: Path
) -> None:
    host = FakeRunner(tmp_path, {"systemd-run": ""})
    begin(host, name="test", began=_BEGAN, plan={"compose": "text of a file"})
    (command,) = [line for line, _ in host.ran if line.startswith("systemd-run")]
    assert command.split()[-2:] == ["--transaction", "test"]
    assert "text of a file" not in command
    plan = json.loads(host.path(f"{_DIRECTORY}/plan.json").read_text())
    assert plan == {"compose": "text of a file"}
    assert host.path(f"{_DIRECTORY}/plan.json").stat().st_mode & 0o777 == 0o600


def test_a_boot_starts_the_units_of_interrupted_transactions(
    story: _Story, host: FakeRunner, tmp_path: Path
) -> None:
    idle = FakeRunner(tmp_path / "idle", {"systemctl": Output(3), "systemd-run": ""})
    transaction.resume(idle)
    assert idle.ran == []
    booted = FakeRunner(host.root, idle.answers)
    transaction.resume(booted)
    assert booted.ran[-1][0].endswith("--transaction test")


def test_a_backup_that_does_not_end_is_reported_with_the_command_that_stops_it(
    story: _Story, host: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "_LOCK_SECONDS", 0)
    host.write("/var/lib/infisical-backup/lock", "")
    with files.hold(host.path("/var/lib/infisical-backup/lock"), 0, "busy"):
        ended = run(host, story.kind)
    assert ended
    assert ended.failure
    command = ended.failure.message.split("`")[1]
    assert command.split() == ["systemctl", "stop", "infisical-backup", "infisical-drill"]
    assert (ended.outcome, story.calls) == ("undone", [])


def test_no_backup_begins_while_one_is_under_way(story: _Story, host: FakeRunner) -> None:
    lock = host.write("/var/lib/infisical-backup/lock", "")
    busy: list[str] = []

    def look(call: str) -> None:
        with pytest.raises(RuntimeError), files.hold(lock, 0, "busy"):
            pass
        busy.append(call)

    story.die = look
    run(host, story.kind)
    assert len(busy) == 10


def test_one_that_has_ended_meanwhile_is_not_taken_up(story: _Story, host: FakeRunner) -> None:
    run(host, story.kind)
    transaction.take_up(host, name="test", plan={"compose": "x"})
    assert not host.path(f"{_DIRECTORY}/plan.json").exists()


def test_what_a_killed_beginning_has_left_is_removed(story: _Story, host: FakeRunner) -> None:
    host.path(f"{_DIRECTORY}/state").unlink()
    transaction.resume(host)
    assert run(host, story.kind) is None
    left = {each.name for each in host.path(_DIRECTORY).iterdir()}
    assert left == {"lock"}


def test_nobody_asks_one_back_that_has_ended(story: _Story, host: FakeRunner) -> None:
    run(host, story.kind)
    with pytest.raises(RuntimeError) as refused:
        ask_back(host, name="test")
    assert refused.value.args[0].code == "refused.no_way_back"
    host.write(f"{_DIRECTORY}/asked-back", "")
    begin(host, name="test", began="20261125T111112Z", plan={})
    ended = run(host, story.kind)
    assert ended
    assert ended.outcome == "done"


def test_a_unit_that_another_one_starts_at_the_same_time_is_no_error(
    story: _Story, host: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter((False, True))
    monkeypatch.setattr(transaction, "is_active", lambda *_: next(answers))
    busy = FakeRunner(host.root, {"systemd-run": Output(1, "", "Unit was already loaded")})
    transaction.start(busy, name="test")
    assert len(busy.ran) == 1


@pytest.mark.parametrize(
    ("step", "way", "waits", "phase"),
    [
        ("one", "forward", False, "begun"),
        ("one", "forward", True, "swapped"),
        ("three", "forward", False, "swapped"),
        ("five", "forward", False, "proven"),
        ("five", "forward", True, "proven"),
        ("five", "back", False, "backing"),
    ],
)
def test_a_state_is_described_by_its_names_and_phase(
    story: _Story, step: str, way: str, waits: bool, phase: str
) -> None:
    journal = asdict(TransactionJournal("test", _BEGAN, named=["a", "b"]))
    text = json.dumps({**journal, "step": step, "way": way, "waits": waits})
    assert transaction.describe_state("test", text) == f"a {phase} b"
    assert transaction.describe_state("test", "a begun b") == "a begun b"


_UNKNOWN: list[dict[str, Any]] = [
    {"step": "a step of a newer version"},
    {"way": "aside"},
    {"a field of a newer version": 1},
    {"failure": {"sentence": "a newer form"}},
    {"log": 1},
]


@pytest.mark.parametrize("unknown", _UNKNOWN)
@pytest.mark.parametrize("of", ["state", "last"])
def test_a_journal_of_a_newer_tool_is_refused(
    story: _Story, host: FakeRunner, unknown: dict[str, Any], of: str
) -> None:
    text = json.dumps({**json.loads(host.text(f"{_DIRECTORY}/state") or ""), **unknown})
    host.path(f"{_DIRECTORY}/state").unlink()
    host.write(f"{_DIRECTORY}/{of}", text)
    calls: list[Callable[[], object]] = [
        lambda: open_transactions(host),
        lambda: progress(host, name="test", seen=0, seconds=0),
        lambda: transaction.describe_state("test", text),
    ]
    if of == "state":
        calls += [lambda: run(host, story.kind), lambda: ask_back(host, name="test")]
    for call in calls:
        with pytest.raises(RuntimeError) as refused:
            call()
        assert refused.value.args[0].code == "refused.newer_tool"
    assert host.text(f"{_DIRECTORY}/{of}") == text


def test_a_state_that_is_no_journal_is_refused(story: _Story, host: FakeRunner) -> None:
    host.write(f"{_DIRECTORY}/state", '{"step": ')
    with pytest.raises(RuntimeError) as refused:
        run(host, story.kind)
    assert refused.value.args[0].code == "refused.newer_tool"


def test_the_space_for_a_journal_grows_with_it(story: _Story, host: FakeRunner) -> None:
    sizes = []

    def keep(call: str) -> None:
        if call == "do two":
            sizes.append(host.path(f"{_DIRECTORY}/spare").stat().st_size)
            work = StepContext(host, _DIRECTORY, {}, TransactionJournal("test", _BEGAN))
            work.keep(before="x" * (1 << 18))
            sizes.append(host.path(f"{_DIRECTORY}/spare").stat().st_size)

    story.die = keep
    run(host, story.kind)
    assert sizes[1] > 2 * sizes[0]
