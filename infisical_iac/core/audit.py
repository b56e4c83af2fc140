"""The audit log on the host."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pyinfra.api.host import Host
from pyinfra.context import ctx_host, host

from infisical_iac.core import journal
from infisical_iac.core.audit_entries import Event, Log, Outcome, now, parse, render
from infisical_iac.core.connection import LOST, current, with_others
from infisical_iac.core.errors import UserError
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script

FILE = "/var/log/infisical-iac/audit.jsonl"

# The process works on each host in one run.
_RUN = secrets.token_hex(4)


def begin(event: Event | None = None) -> None:
    """Write that a run is about to make its first change on the current host."""
    _append(event or journal.current().event, "begun")


def end(
    event: Event | None = None, *, changes: Sequence[str] | None = None, reason: str = ""
) -> None:
    """Write what the run has changed, and why it failed if it did."""
    made = (
        changes if changes is not None else [str(item) for item in journal.current().made_changes]
    )
    _append(event or journal.current().event, "failed" if reason else "done", made, reason)


@contextmanager
def record(event: Event, changes: Sequence[str]) -> Iterator[None]:
    """Write that something is about to be changed, and at the end of the context what was.

    On a cluster it is written on all hosts: the log outlives the one that it was done on.

    Args:
        changes: what has been changed, as it is when the work is done or fails.
    """
    _on_all(begin, event)
    try:
        yield
    except (UserError, KeyboardInterrupt) as error:
        _on_all(end, event, changes=changes, reason=str(error) or "interrupted")
        raise
    _on_all(end, event, changes=changes)


def _on_all(write: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    write(*args, **kwargs)
    for each in with_others(_current()):
        if each.name != host.name:
            with current(each):
                try:
                    write(*args, **kwargs)
                except (UserError, *LOST):
                    continue  # it was there a moment ago; the lead's log has the entry


def _append(event: Event, outcome: Outcome, changes: Sequence[str] = (), reason: str = "") -> None:
    entry = now(event, outcome, _RUN, changes=changes, reason=reason)
    run(script("audit", FILE), doing=f"append to {FILE}", stdin=f"{render(entry)}\n")


def read_all() -> dict[str, Log]:
    """The logs of the current host and, on a cluster, of all that are connected, by name."""
    found = {}
    for each in with_others(_current()):
        with current(each):
            found[each.name] = read()
    return found


def read() -> Log:
    """The log of the current host; empty where nothing was written yet."""
    return parse(run(f"cat {FILE} 2>/dev/null || true", doing=f"read {FILE}"))


def _current() -> Host:
    found: Host = ctx_host.get()  # type: ignore[no-untyped-call]
    return found
