"""Describe a transaction: its kind, its steps, and the journal of its past."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from infisical_iac.agent.files import remove, write
from infisical_iac.agent.runner import Failure, Runner

Way = Literal["forward", "back"]
Outcome = Literal["", "done", "undone"]


@dataclass
class TransactionJournal:
    """The past of a transaction.

    Attributes:
        transaction: its kind, such as `upgrade`.
        began: the UTC time when it began, such as 20261125T101112Z, which names what it keeps.
        step: the step that has begun last. Forward, all steps before it are done; back, all steps
            after it are undone.
        failure: why it goes back.
        stuck: why the last step could not end; the next run tries it again.
        waits: whether the operator's side has to do the last step, and to answer.
        answer: its answer, until the transaction goes on.
        log: the time, way and name of each step that has begun.
        named: words without blanks that name what it changes.
        run: the id in the audit log of the run that began it.
        told: sentences for the operator.
        kept: what steps have noted for later ones, as JSON values without a secret.
    """

    transaction: str
    began: str
    step: str = ""
    way: Way = "forward"
    failure: Failure | None = None
    stuck: Failure | None = None
    waits: bool = False
    answer: dict[str, Any] | None = None
    outcome: Outcome = ""
    log: list[tuple[str, Way, str]] = field(default_factory=list)
    named: list[str] = field(default_factory=list)
    run: str = ""
    told: list[str] = field(default_factory=list)
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def is_unanswered(self) -> bool:
        """Return whether the operator's side has yet to answer."""
        return self.waits and self.answer is None


@dataclass(frozen=True)
class StepContext:
    """The host, the plan and the journal that a step works with."""

    runner: Runner
    directory: str
    plan: Mapping[str, Any]
    journal: TransactionJournal

    def keep(self, **values: Any) -> None:
        """Note values for later steps, flushed to the disk."""
        self.journal.kept.update(values)
        self.save()

    def tell(self, *sentences: str) -> None:
        """Have the operator told something at the end."""
        self.journal.told.extend(each for each in sentences if each not in self.journal.told)

    def path(self, name: str) -> Path:
        """Return the path of a file of the transaction's directory."""
        return self.runner.path(f"{self.directory}/{name}")

    def save(self) -> None:
        """Write the journal. Raises OSError, with the one of before in place."""
        text = f"{json.dumps(asdict(self.journal))}\n".encode()
        try:
            write(self.path("state"), text)
            spare = self.path("spare")
            # A journal with many secrets needs more of it.
            if spare.exists() and spare.stat().st_size < 2 * len(text):
                write(spare, b"-" * 4 * len(text))
        except OSError:
            remove(self.path("spare"))
            write(self.path("state"), text)


Act = Callable[[StepContext], None]


@dataclass(frozen=True)
class TransactionStep:
    """A step of a transaction; both functions can be repeated after they were killed.

    Attributes:
        name: what it does, as people are told it: "stop Infisical".
        do: raises RuntimeError with a Failure if it can't be done.
        undo: brings back what was there before `do`, which may have been killed; None if `do`
            leaves nothing.

    The operator's side takes the place of either function where the plan says so.
    """

    name: str
    do: Act | None = None
    undo: Act | None = None


@dataclass(frozen=True)
class Transaction:
    """A kind of transaction.

    Attributes:
        directory: the directory of its files.
        title: what it is, for messages: "a change of version".
        goes_on_from: the step from which on an interrupted one is completed, if it still passes its
            checks; before it, it is undone.
        proven_from: the step before which everything was proven. From it on, it never goes back.
        read_older: returns the journal for the state that the version before has written; None if
            that is of another kind, as two kinds may share a directory.
        ended_by: the command that ends an interrupted one.
    """

    name: str
    directory: str
    title: str
    steps: tuple[TransactionStep, ...]
    goes_on_from: str
    proven_from: str
    read_older: Callable[[Runner, str], TransactionJournal | None]
    ended_by: str = "`infisical-iac apply`"

    def index(self, name: str) -> int:
        """Return the place of a step by its name; 0 before the first step has begun."""
        names = [each.name for each in self.steps]
        return names.index(name) if name else 0


def read_journal(runner: Runner, of: Transaction) -> TransactionJournal | None:
    """Return the journal of a transaction that has not ended; None if there is none.

    Raises RuntimeError with a Failure for one of a newer version.
    """
    return _read(runner, of, "state")


def read_last(runner: Runner, of: Transaction) -> TransactionJournal | None:
    """Return the journal of the one that ended last; None if its end was told.

    Raises RuntimeError with a Failure for one of a newer version.
    """
    return _read(runner, of, "last")


def _read(runner: Runner, of: Transaction, name: str) -> TransactionJournal | None:
    text = runner.text(f"{of.directory}/{name}")
    if not text:
        return None
    if text.startswith("{"):
        return parse(of, text) if kind_of(text, of.name) == of.name else None
    with _refusing_unknown(of):
        return of.read_older(runner, text)


def kind_of(text: str, default: str) -> str:
    """Return the name of the kind in a journal's text; the default if it names none."""
    found = re.match(r'\{"transaction": "(\w+)"', text)
    return found[1] if found else default


def parse(of: Transaction, text: str) -> TransactionJournal:
    """Return the journal of a text, one that the engine has written.

    Raises RuntimeError with a Failure for one of a newer version.
    """
    with _refusing_unknown(of):
        found = json.loads(text)
        for each in ("failure", "stuck"):
            found[each] = Failure(**found[each]) if found[each] else None
        found["log"] = [tuple(each) for each in found["log"]]
        journal = TransactionJournal(**found)
        of.index(journal.step)
        if journal.way not in get_args(Way) or journal.outcome not in get_args(Outcome):
            raise ValueError
    return journal


@contextmanager
def _refusing_unknown(of: Transaction) -> Iterator[None]:
    """Raise RuntimeError with a Failure for a state that this version does not write."""
    try:
        yield
    except (ValueError, LookupError, TypeError):
        raise RuntimeError(
            Failure(
                "refused.newer_tool",
                f"this infisical-iac does not know the recorded state of {of.title} on the host",
                "update it, as with `uv tool upgrade infisical-iac`",
            )
        ) from None


def describe(of: Transaction, text: str) -> str:
    """Return the words of a journal's text: its first name, its phase, and its other names.

    The phase is `begun`, `swapped` for one that is completed if it still passes its checks,
    `backing`, or `proven`. The text of an earlier version is such words already. Raises
    RuntimeError with a Failure for a journal of a newer version.
    """
    if not text.startswith("{"):
        return text
    found = parse(of, text)
    place = of.index(found.step)
    phase = "begun"
    if found.way == "back":
        phase = "backing"
    elif place >= of.index(of.proven_from):
        phase = "proven"
    elif found.waits or place >= of.index(of.goes_on_from):
        phase = "swapped"
    first, *others = found.named
    return " ".join((first, phase, *others))
