"""Change the host in named steps that can be undone, whatever interrupts them.

A transaction runs on the host as a transient unit of systemd, so it needs no connection. Its
journal is flushed to the disk before each step. A run that finds an interrupted transaction decides
from the journal whether to go on or to go back, and a unit does that after a boot.

The directory of a transaction has these files:

    plan.json   the arguments of its steps, as the operator's side has sent them; no secret
    state       the journal, as one line of JSON, until the transaction has ended
    last        the journal of the transaction that ended last, until somebody was told
    asked-back  somebody has asked to go back
    lock        held while it runs
    spare       space for the journal on a full disk
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from infisical_iac.agent.files import hold, remove, remove_leftovers, rename, write
from infisical_iac.agent.journal import (
    StepContext,
    Transaction,
    TransactionJournal,
    TransactionStep,
    describe,
    kind_of,
    read_journal,
    read_last,
)
from infisical_iac.agent.runner import (
    Failure,
    Runner,
    action,
    explain,
    failure_of,
    observation,
    to_failure,
)

INTERRUPTED = Failure("run.interrupted", "it was interrupted")
ASKED = Failure("run.asked_back", "somebody asked to go back")
# A transaction or a program of the version before may still be at work.
_LOCK_SECONDS = 600
_SPARE_BYTES = 1 << 18
_START_SECONDS = 10
# What only a transaction that has not ended needs.
_FILES = ("asked-back", "plan.json", "spare")
_BACKUPS = "/var/lib/infisical-backup"
BACKUP_AT_WORK = (
    "a backup, or a drill that reads one, has been at work for 10 minutes: wait for its end, or "
    "end it with `systemctl stop infisical-backup infisical-drill`"
)
# The folders that transactions write to.
_WRITTEN = (
    "/etc/infisical",
    *(f"/etc/infisical/{each}" for each in ("keys", "ingress", "credentials", "backup")),
)


def run(runner: Runner, of: Transaction) -> TransactionJournal | None:
    """Begin or take up a transaction, and return its journal once it has ended or waits.

    Returns None if none is under way. Raises RuntimeError with a Failure if it is stuck: the next
    run takes it up there.
    """
    with ExitStack() as locks:
        lock = runner.path(f"{of.directory}/lock")
        locks.enter_context(hold(lock, _LOCK_SECONDS, f"{of.title} is under way"))
        journal = read_journal(runner, of)
        if journal is None:
            # Left by a run that was killed at its beginning or its end.
            for each in _FILES if not _has_state(runner, of) else ():
                remove(runner.path(f"{of.directory}/{each}"))
            return None
        text = runner.text(f"{of.directory}/plan.json")
        if text is None and not journal.outcome:
            raise RuntimeError(
                Failure(
                    "run.no_plan",
                    f"{of.title} of an earlier version has not ended",
                    f"{of.ended_by} ends it",
                )
            )
        plan = json.loads(text or "{}")
        work = StepContext(runner, of.directory, plan, journal)
        if journal.outcome:
            _end(work)
            return journal
        is_interrupted = journal.way == "forward" and journal.step and not journal.waits
        if is_interrupted and of.index(journal.step) < of.index(of.goes_on_from):
            _turn_back(work, INTERRUPTED)
        try:
            locks.enter_context(_without_backups(work))
            if journal.way == "forward":
                _go_forward(work, of)
            if journal.way == "back":
                _go_back(work, of)
        except Exception as error:  # whatever it is, the next run takes it up
            journal.stuck = to_failure(error)
            with suppress(OSError):
                work.save()
            raise RuntimeError(journal.stuck) from None
        if journal.waits:
            return journal
        journal.outcome = "done" if journal.way == "forward" else "undone"
        work.save()
        _end(work)
        return journal


@contextmanager
def _without_backups(work: StepContext) -> Iterator[None]:
    """Prevent backups, and drills that read one: one at work would lose its database.

    A transaction that has not begun turns back if one does not end.
    """
    folder = work.runner.path(_BACKUPS)
    with ExitStack() as locks:
        try:
            if folder.is_dir():
                locks.enter_context(hold(folder / "lock", _LOCK_SECONDS, BACKUP_AT_WORK))
        except RuntimeError as error:
            if work.journal.step:
                raise
            _turn_back(work, error.args[0])
        yield


def _turn_back(work: StepContext, failure: Failure) -> None:
    journal = work.journal
    journal.way, journal.failure, journal.waits, journal.answer = "back", failure, False, None
    work.save()


def _go_forward(work: StepContext, of: Transaction) -> None:
    """Do the steps from the journal's on; turn back if one before the proof fails."""
    proven = of.index(of.proven_from)
    for number in range(of.index(work.journal.step), len(of.steps)):
        step = of.steps[number]
        try:
            if number < proven and work.path("asked-back").exists():
                raise RuntimeError(ASKED)
            _begin(work, step)
            if _by_operator(work, step):
                if not _is_answered(work):
                    return
            elif step.do:
                step.do(work)
        except Exception as error:  # whatever it is, what was there before is brought back
            if number >= proven:
                raise
            _turn_back(work, to_failure(error))
            return


def _go_back(work: StepContext, of: Transaction) -> None:
    """Undo the steps from the journal's on, the last first."""
    if not work.journal.step:
        return
    for step in reversed(of.steps[: of.index(work.journal.step) + 1]):
        _begin(work, step)
        if _by_operator(work, step):
            if not _is_answered(work):
                return
        elif step.undo:
            step.undo(work)


def _by_operator(work: StepContext, step: TransactionStep) -> bool:
    steps: Sequence[str] = work.plan.get(f"operator_{work.journal.way}", ())
    return step.name in steps


def _is_answered(work: StepContext) -> bool:
    """Return whether the operator's side has done the step; else the transaction waits for it.

    Raises RuntimeError with the Failure that it answered.
    """
    journal = work.journal
    if journal.answer is None:
        journal.waits = True
        work.save()
        return False
    answer, journal.answer, journal.waits = journal.answer, None, False
    if answer["failure"]:
        raise RuntimeError(Failure(**answer["failure"]))
    journal.kept.update(answer["kept"])
    work.save()
    return True


def _begin(work: StepContext, step: TransactionStep) -> None:
    journal = work.journal
    journal.step, journal.stuck = step.name, None
    if not journal.log or journal.log[-1][1:] != (journal.way, step.name):
        journal.log.append((_now(), journal.way, step.name))
    work.save()


def _end(work: StepContext) -> None:
    """End a transaction: from here on there is none, and `last` tells of it until it was told."""
    work.journal.kept.pop("before", None)  # it is of no use any more
    work.save()
    rename(work.path("state"), work.path("last"))
    for name in _FILES:
        remove(work.path(name))
    for folder in (work.directory, *_WRITTEN):
        remove_leftovers(work.runner.path(folder))


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


# The kinds of transactions, by the module that has them.
_KINDS = ("upgrade", "cluster_upgrade", "rotation", "restore")
# A restore replaces the data and keys that the others change.
_ALONE = "restore"


def find(name: str) -> Transaction:
    """Return the kind of transaction of a name."""
    found: Transaction = import_module(f"infisical_iac.agent.{name}").TRANSACTION
    return found


def find_by_text(name: str, text: str) -> Transaction:
    """Return the kind of a journal's text.

    Args:
        name: its kind, or another one with the same directory.
    """
    kind = kind_of(text, name)
    return find(kind if kind in _KINDS else name)


def describe_state(name: str, text: str) -> str:
    """Return the words of a journal's text, as `describe` does; `name` as for `find_by_text`."""
    return describe(find_by_text(name, text), text)


def unit_of(name: str) -> str:
    """Return the name of the unit that runs a transaction."""
    return f"infisical-transaction-{name}.service"


def is_active(runner: Runner, name: str) -> bool:
    """Return whether the unit of a transaction is at work."""
    return runner.run(["systemctl", "is-active", "--quiet", unit_of(name)]).status == 0


@action
def begin(
    runner: Runner,
    *,
    name: str,
    began: str,
    plan: dict[str, Any],
    named: Sequence[str] = (),
    run: str = "",
) -> None:
    """Begin a transaction, and start the unit that runs it.

    Args:
        began: its time, as in `TransactionJournal`. A second call with it does nothing.
        named: words without blanks that name what it changes, for `describe_state`.
        run: the id in the audit log of the run that begins it.

    Raises RuntimeError with a Failure if another one has not ended.
    """
    of = find(name)
    with _unless_running(runner, of):
        there = read_journal(runner, of)
        if there is None and not _has_state(runner, of):
            _refuse_beside_others(runner, name)
            write(runner.path(f"{of.directory}/plan.json"), json.dumps(plan).encode())
            write(runner.path(f"{of.directory}/spare"), b"-" * _SPARE_BYTES)
            for each in ("last", "asked-back"):
                remove(runner.path(f"{of.directory}/{each}"))
            journal = TransactionJournal(name, began, named=[*named], run=run)
            StepContext(runner, of.directory, plan, journal).save()
        elif there is None or there.began != began:
            which = f" of {there.began}" if there else ""
            raise RuntimeError(
                Failure(
                    "refused.under_way",
                    f"{of.title}{which} has not ended on the host",
                    "`infisical-iac attach` follows it, or takes it up",
                )
            )
    start(runner, name=name)


def _refuse_beside_others(runner: Runner, name: str) -> None:
    """Raise RuntimeError with a Failure if a restore would meet another kind of transaction.

    A rotation of the backups' key may be unfinished during a change of version.
    """
    for each in map(find, _KINDS):
        is_apart = _ALONE in (name, each.name) and each.name != name
        if is_apart and runner.path(f"{each.directory}/state").exists():
            raise RuntimeError(
                Failure(
                    "refused.under_way",
                    f"{each.title} has not ended on the host",
                    f"{each.ended_by} ends it",
                )
            )


@action
def take_up(runner: Runner, *, name: str, plan: dict[str, Any]) -> None:
    """Take up a transaction that has not ended.

    Args:
        plan: its plan if it has none, because the version before began it.
    """
    of = find(name)
    if needs_plan(runner, name=name):
        with _unless_running(runner, of):
            write(runner.path(f"{of.directory}/plan.json"), json.dumps(plan).encode())
    start(runner, name=name)


@observation
def needs_plan(runner: Runner, *, name: str) -> bool:
    """Return whether a transaction is under way that has no plan, because of the version before."""
    directory = find(name).directory
    names = (runner.path(f"{directory}/{each}") for each in ("state", "plan.json"))
    has_state, has_plan = (each.exists() for each in names)
    return has_state and not has_plan


@contextmanager
def _unless_running(runner: Runner, of: Transaction) -> Iterator[None]:
    with hold(runner.path(f"{of.directory}/lock"), 5, f"{of.title} is under way on the host"):
        yield


@action
def start(runner: Runner, *, name: str) -> None:
    """Start the unit that runs a transaction, unless it is at work already."""
    if is_active(runner, name):
        return
    words = ["systemd-run", "--quiet", "--collect", "--unit", unit_of(name)]
    # A stop of the unit, as at a shutdown, must not end the programs of a step before the step.
    words += ["--property", "KillMode=mixed", "--property", "Type=exec"]
    words += ["python3", "-IS", sys.argv[0], "--transaction", name]
    end = time.monotonic() + _START_SECONDS
    # Another one may start it at the same time, and one that ends keeps its name for a moment.
    while (done := runner.run(words)).status != 0 and not is_active(runner, name):
        if time.monotonic() >= end:
            raise failure_of(done.errors)
        time.sleep(0.5)


@action
def answer(
    runner: Runner,
    *,
    name: str,
    step: str,
    kept: dict[str, Any],
    failure: dict[str, str] | None = None,
) -> None:
    """Tell a transaction that the operator's side has done a step, and have it go on.

    Args:
        kept: values for later steps, without a secret.
        failure: the code, message and remedy if it could not be done.

    Does nothing if the transaction does not wait for the step.
    """
    of = find(name)
    with _unless_running(runner, of):
        journal = read_journal(runner, of)
        if journal is None or not journal.waits or journal.step != step:
            return
        journal.answer = {"kept": kept, "failure": failure}
        StepContext(runner, of.directory, {}, journal).save()
    start(runner, name=name)


@action
def ask_back(runner: Runner, *, name: str) -> None:
    """Ask a transaction to go back; it does so before its next step, unless it is proven."""
    directory = find(name).directory
    # The operator's side itself takes the steps of one that has no plan here.
    if not (read_journal(runner, find(name)) and runner.path(f"{directory}/plan.json").exists()):
        raise RuntimeError(
            Failure(
                "refused.no_way_back",
                f"{find(name).title} can't be undone on demand",
                "`infisical-iac attach` ends it as its state says",
            )
        )
    write(runner.path(f"{directory}/asked-back"), b"")
    start(runner, name=name)


@dataclass(frozen=True)
class Progress:
    """The present state of a transaction.

    Attributes:
        journal: None if there is none, and none whose end was not told yet.
        is_active: whether a unit is at work on it.
    """

    journal: TransactionJournal | None = None
    is_active: bool = False


@observation
def progress(runner: Runner, *, name: str, seen: int, seconds: float) -> Progress:
    """Return the progress of a transaction once it has more than the steps that were `seen`.

    At the latest after these seconds, or when nothing works on it, it returns what there is.
    """
    of, end = find(name), time.monotonic() + seconds
    while True:
        active = is_active(runner, name)
        journal = read_journal(runner, of) or read_last(runner, of)
        # One that was asked to go back waits no more, although its unit has yet to say so.
        is_asked = active and runner.path(f"{of.directory}/asked-back").exists()
        is_new = journal is not None and (
            journal.outcome
            or (journal.is_unanswered and not (is_asked and journal.way == "forward"))
            or len(journal.log) > seen
        )
        if is_new or not active or time.monotonic() >= end:
            if journal:
                # As many entries as there are secrets, which nobody needs there.
                journal.kept.pop("before", None)
            return Progress(journal, active)
        time.sleep(0.2)


@action
def forget(runner: Runner, *, name: str) -> None:
    """Forget the transaction that ended last, once its end was told."""
    remove(runner.path(f"{find(name).directory}/last"))


@observation
def ended_transactions(runner: Runner) -> dict[str, TransactionJournal]:
    """Return the transactions whose end nobody was told, by their kind."""
    found = {name: read_last(runner, find(name)) for name in _KINDS}
    return {name: journal for name, journal in found.items() if journal}


@observation
def open_transactions(runner: Runner) -> dict[str, Progress]:
    """Return the transactions that have not ended, or whose end nobody was told, by their kind."""
    found = {}
    for name in _KINDS:
        of = find(name)
        if journal := read_journal(runner, of) or read_last(runner, of):
            found[name] = Progress(journal, is_active(runner, name))
    return found


def main(arguments: Sequence[str]) -> int:
    """Run the transactions of the named kinds; without a name, start units for interrupted ones.

    Returns 0 if they are done, 1 if one was undone, and 2 if one is stuck.
    """
    if arguments:
        return run_named(Runner(), arguments)
    resume(Runner())
    return 0


def resume(runner: Runner) -> None:
    """Start the unit of each transaction that was interrupted.

    Only the operator's side has the plan of one that an earlier version began.
    """
    for name in _KINDS:
        of = find(name)
        text = runner.text(f"{of.directory}/state") or ""
        if text.startswith("{") and kind_of(text, name) == name and _has_plan(runner, of):
            start(runner, name=name)


def _has_state(runner: Runner, of: Transaction) -> bool:
    """Return whether one is under way, be it of another kind with the same directory."""
    return runner.path(f"{of.directory}/state").exists()


def _has_plan(runner: Runner, of: Transaction) -> bool:
    return runner.path(f"{of.directory}/plan.json").exists()


def run_named(runner: Runner, names: Sequence[str]) -> int:
    """Run transactions of a host as `main` does."""
    status = 0
    for name in names:
        try:
            ended = run(runner, find(name))
        except RuntimeError as error:
            print(explain(error), file=sys.stderr)
            status = 2
            continue
        if ended and ended.outcome == "undone":
            status = max(status, 1)
    return status
