"""Write and read the audit log on the host."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from pyinfra.api.host import Host
from pyinfra.context import ctx_host, host

from infisical_iac.agent.files import append_entry
from infisical_iac.core import journal
from infisical_iac.core.agent import perform, question
from infisical_iac.core.audit_entries import (
    AuditEntry,
    Event,
    Log,
    Outcome,
    make_entry,
    parse,
    render,
)
from infisical_iac.core.connection import LOST, current, with_others
from infisical_iac.core.errors import UserError
from infisical_iac.core.remote import run

FILE = "/var/log/infisical-iac/audit.jsonl"

# One process is one run, on all hosts.
RUN = secrets.token_hex(4)


def begin(event: Event | None = None) -> None:
    """Record that a run is about to make its first change on the current host."""
    _append(event or journal.current().event, "begun")


def end(
    event: Event | None = None, *, changes: Sequence[str] | None = None, reason: str = ""
) -> None:
    """Record the changes of the run, and the reason if it failed.

    Args:
        changes: one line for each change; None for those in the journal.
        reason: empty if the run succeeded.
    """
    made = (
        changes
        if changes is not None
        else [str(change) for change in journal.current().made_changes]
    )
    _append(event or journal.current().event, "failed" if reason else "done", made, reason)


@contextmanager
def record(event: Event, changes: Sequence[str]) -> Iterator[None]:
    """Record the beginning of a change, and at the end of the context its outcome.

    On a cluster all hosts get the entries, so that the log survives the loss of a host.

    Args:
        changes: the lines on what was changed. The list is read at the end of the context, so the
            caller can append to it meanwhile.
    """
    _on_all(begin, event)
    try:
        yield
    except (UserError, KeyboardInterrupt) as error:
        _on_all(end, event, changes=changes, reason=str(error) or "interrupted")
        raise
    _on_all(end, event, changes=changes)


def end_earlier(run: str, change: str, reason: str) -> None:
    """Record the outcome of a change that went on after the run that began it had ended.

    Args:
        run: the id of that run; without an entry of it, nothing is recorded.
        change: one line on the change.
        reason: why it was undone; empty if it is done.
    """
    if run == RUN:
        return  # it is still at work, and records its end itself
    begun = next((each for each in read().entries if each.run == run), None)
    if begun is None:
        return
    if begun.event in ("apply", "restore") and not reason:
        reason = "interrupted; the change went on by itself, and the rest was not made"
    entry = make_entry(
        begun.event, "failed" if reason else "done", run, changes=[change], reason=reason
    )
    _on_all(_write, replace(entry, by=begun.by, revision=begun.revision))


def _on_all(write: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    write(*args, **kwargs)
    for each in with_others(_current()):
        if each.name != host.name:
            with current(each):
                try:
                    write(*args, **kwargs)
                except (UserError, *LOST):
                    continue  # The connection has broken; the leader's log has the entry.


def _append(event: Event, outcome: Outcome, changes: Sequence[str] = (), reason: str = "") -> None:
    _write(make_entry(event, outcome, RUN, changes=changes, reason=reason))


def _write(entry: AuditEntry) -> None:
    asked = question(append_entry, path=FILE, entry=render(entry))
    perform(asked, doing=f"append to {FILE}")


def read_all() -> dict[str, Log]:
    """Return the logs of all connected hosts, by their names."""
    found = {}
    for each in with_others(_current()):
        with current(each):
            found[each.name] = read()
    return found


def read() -> Log:
    """Return the log of the current host; it is empty if nothing was recorded yet."""
    return parse(run(f"cat {FILE} 2>/dev/null || true", doing=f"read {FILE}"))


def _current() -> Host:
    found: Host = ctx_host.get()  # type: ignore[no-untyped-call]
    return found
