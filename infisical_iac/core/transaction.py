"""Start a transaction on the current host, follow its journal, and do its steps of this side.

`agent/transaction.py` runs it. The connection may be lost, and this program may end: the
transaction goes on, and waits only for the steps that nobody else can do.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from pyinfra import logger
from pyinfra.context import host

from infisical_iac.agent import transaction
from infisical_iac.agent.journal import TransactionJournal
from infisical_iac.agent.runner import Failure
from infisical_iac.agent.transaction import Progress
from infisical_iac.core import audit
from infisical_iac.core.agent import Question, ask, perform, question
from infisical_iac.core.connection import LOST, explain_loss
from infisical_iac.core.errors import Refused, RunFailed, UserError

# Does a step of a transaction, and returns values for later steps.
OperatorStep = Callable[[TransactionJournal], Mapping[str, Any]]

_ATTACH = "`infisical-iac attach` follows it"
# How long one request to the host waits for the next step.
_SECONDS = 20
# A unit that dies again and again would be started forever.
_STARTS = 3


def stamp() -> str:
    """Return the present time as the name of a transaction."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def begin(
    name: str,
    began: str,
    plan: Mapping[str, Any],
    steps: Mapping[str, OperatorStep] | None = None,
    *,
    named: Sequence[str],
    until: str = "",
) -> TransactionJournal:
    """Begin a transaction on the current host, follow it, and return its journal at the end.

    Args:
        name: its kind.
        began: its time, from `stamp`.
        plan: the arguments of its steps, as JSON values without a secret.
        steps: the steps that this side does, by "forward <step>" or "back <step>".
        named: words without blanks that name what it changes.
        until: a forward step that the caller does after the return; `go_on` follows it.

    Raises RunFailed if it is stuck or if it can't be followed any more, and CommandFailed or
    Refused if it can't begin.
    """
    steps = steps or {}
    plan = {**plan, **{f"operator_{way}": _of(steps, way) for way in ("forward", "back")}}
    plan["operator_forward"] += [until] if until else []
    started = question(
        transaction.begin, name=name, began=began, plan=plan, named=[*named], run=audit.RUN
    )
    with _explaining(transaction.find(name).title):
        perform(started, doing=f"begin {transaction.find(name).title}")
    return follow(name, steps, until=until)


def go_on(name: str, step: str) -> TransactionJournal:
    """Go on after a step that `begin` was given as `until`, and return the journal at the end."""
    with _explaining(transaction.find(name).title):
        perform(question(transaction.answer, name=name, step=step, kept={}), doing="go on")
    return follow(name, {}, seen=step)


def take_up(
    name: str,
    make_plan: Callable[[], Mapping[str, Any]],
    steps: Mapping[str, OperatorStep] | None = None,
) -> TransactionJournal:
    """Take up a transaction that has not ended, and follow it; the arguments are those of `begin`.

    Args:
        make_plan: called for one that has no plan, because an earlier version began it.
    """
    steps, plan = steps or {}, {}
    if ask(question(transaction.needs_plan, name=name)):
        own = {f"operator_{way}": _of(steps, way) for way in ("forward", "back")}
        plan = {**make_plan(), **own}
    perform(question(transaction.take_up, name=name, plan=plan), doing=f"take up the {name}")
    return follow(name, steps)


def _of(steps: Mapping[str, OperatorStep], way: str) -> list[str]:
    return [each.removeprefix(f"{way} ") for each in steps if each.startswith(f"{way} ")]


def follow(
    name: str, steps: Mapping[str, OperatorStep], *, until: str = "", seen: str = ""
) -> TransactionJournal:
    """Print the steps of a transaction as they begin, and return its journal at the end.

    Args:
        until: return earlier, once it waits for this step.
        seen: the last step that was printed already.

    Raises RunFailed as `begin` does.
    """
    with _explaining(transaction.find(name).title):
        return _follow(name, steps, until, seen)


@contextmanager
def _explaining(title: str) -> Iterator[None]:
    """Raise RunFailed if the connection is lost or somebody interrupts this program."""
    try:
        yield
    except LOST as error:
        raise RunFailed(
            f"{explain_loss(host, error)}, and {title} goes on there: {_ATTACH}",
            code="run.detached",
        ) from None
    except KeyboardInterrupt:
        raise RunFailed(
            f"{title} goes on on the host without this command: {_ATTACH}, and with --go-back it "
            "is undone",
            code="run.detached",
        ) from None


def _follow(
    name: str, steps: Mapping[str, OperatorStep], until: str, last: str
) -> TransactionJournal:
    title = transaction.find(name).title
    seen, starts = 0, 0
    while True:
        found = ask(question(transaction.progress, name=name, seen=seen, seconds=_SECONDS))
        journal = found.journal
        if journal is None:
            raise RunFailed(f"{title} is not on the host any more: run again")
        new = journal.log[seen:]
        # The steps up to the last one that was printed by an earlier call.
        names = [step for _, _, step in new]
        new, last = new[names.index(last) + 1 if last in names else 0 :], ""
        for _, way, step in new:
            logger.info(f"{host.print_prefix}{'Undo: ' if way == 'back' else ''}{step}")
        seen = len(journal.log)
        if journal.outcome:
            forget(name, journal)
            return journal
        if journal.is_unanswered and until == journal.step:
            return journal
        if journal.is_unanswered:
            _answer(name, title, journal, steps)
        elif not found.is_active:
            if journal.stuck or starts == _STARTS:
                raise _stuck(name, journal)
            starts += 1
            perform(question(transaction.start, name=name), doing=f"take up {title}")


def _answer(
    name: str, title: str, journal: TransactionJournal, steps: Mapping[str, OperatorStep]
) -> None:
    step = steps.get(f"{journal.way} {journal.step}")
    if step is None:
        raise RunFailed(
            f"it waits for a step of another command, {journal.step!r}: "
            f"{transaction.find(name).ended_by} ends it",
            code="run.waits",
        )
    kept: Mapping[str, Any] = {}
    failure = None
    try:
        kept = step(journal)
    except UserError as error:
        message, remedy = error.split()
        failure = {"code": error.code, "message": message, "remedy": remedy}
    except (KeyboardInterrupt, *LOST) as error:
        lost = "" if isinstance(error, KeyboardInterrupt) else f"{explain_loss(host, error)}, and "
        raise RunFailed(
            f"{lost}{title} waits on the host for {journal.step!r}, which only this side can do: "
            "`infisical-iac attach` goes on with it, and with --go-back undoes it",
            code="run.waits",
        ) from None
    answered = question(
        transaction.answer, name=name, step=journal.step, kept=dict(kept), failure=failure
    )
    perform(answered, doing=f"go on with {journal.step!r}")


def ask_back(name: str) -> None:
    """Ask a transaction to go back; it does so before its next step, unless it is proven."""
    perform(question(transaction.ask_back, name=name), doing="ask the change to go back")


def explain(failure: Failure | None) -> str:
    """Return the sentence of a failure; empty without one."""
    if failure is None:
        return ""
    return ": ".join(filter(None, (failure.message, failure.remedy)))


def _stuck(name: str, journal: TransactionJournal) -> RunFailed:
    kind = transaction.find(name)
    reason = explain(journal.stuck) or "its unit ends again and again: see `journalctl`"
    first = f" The first failure: {explain(journal.failure)}" if journal.failure else ""
    return RunFailed(
        f"{kind.title} has stopped at the step {journal.step!r} ({reason}); nothing was removed, "
        f"and {kind.ended_by} tries again.{first}",
        code="run.stuck",
    )


def ended_question() -> Question[dict[str, TransactionJournal]]:
    """Return the question for the transactions whose end nobody was told, by their kind."""
    return question(transaction.ended_transactions)


def describe_end(name: str, journal: TransactionJournal) -> str:
    """Return a clause on the end of a transaction, such as "a rotation of a key is done"."""
    reason = f": {explain(journal.failure)}" if journal.failure else ""
    return f"{transaction.find(name).title} is {journal.outcome}{reason}"


def forget(name: str, journal: TransactionJournal) -> None:
    """Forget a transaction that has ended, and record its end for the run that began it."""
    title = transaction.find(name).title
    if journal.run:
        what = " ".join((title, *journal.named))
        failure = explain(journal.failure) or "it was undone"
        reason = "" if journal.outcome == "done" else failure
        audit.end_earlier(journal.run, f"~ {what}: {journal.outcome}", reason)
    perform(question(transaction.forget, name=name), doing=f"end {title}")


def open_transactions() -> dict[str, Progress]:
    """Return the transactions of the current host that have not ended or were not told of."""
    return ask(question(transaction.open_transactions))


def refuse_under_way() -> None:
    """Raise Refused if the current host is at work on a transaction, or one waits for this side."""
    for name, found in open_transactions().items():
        if found.is_active or (found.journal and found.journal.waits):
            raise Refused(
                f"{transaction.find(name).title} is under way on {host.name}: `infisical-iac "
                "attach` follows it",
                code="refused.under_way",
            )
