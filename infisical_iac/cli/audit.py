"""`infisical-iac audit`: list changes of the host, and with `access` the requests to Infisical."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING

import click
from rich.text import Text

from infisical_iac.agent.access import FoundRequests
from infisical_iac.cli.options import inventory_option, json_option, open_host
from infisical_iac.cli.output import print_notes, print_table
from infisical_iac.core.audit_entries import LoggedRun, list_runs, merge_runs
from infisical_iac.core.errors import CheckFailed, Refused, UserError
from infisical_iac.core.terminal import console, echo, print_data
from infisical_iac.stack.access_log import (
    KnownNames,
    LoggedEvent,
    LoggedRequest,
    count_unattributed,
    describe_event,
    describe_requests,
    latest,
    parse_since,
    statuses,
)
from infisical_iac.stack.settings import StackSettings

if TYPE_CHECKING:
    from infisical_iac.agent.access import NotedWrite


@click.group(invoke_without_command=True)
@inventory_option
@json_option
@click.option(
    "--last", type=click.IntRange(min=1), help="Show only the latest entries, at most this many."
)
@click.pass_context
def audit(ctx: click.Context, inventory: str, as_json: bool, last: int | None) -> None:
    """Show the host's audit log: each run that changed something, who ran it, and what it changed.
    `audit access` shows who sent which requests to Infisical.

    Each entry holds the hash of the one before.

    Exit status: 0 if all hashes fit; 1 if an entry other than the last was changed or removed, or
    for an error.
    """
    if ctx.invoked_subcommand:
        return
    from infisical_iac.core import audit
    from infisical_iac.core.inventory import connect

    with connect(inventory):
        logs = audit.read_all()
    found = merge_runs(logs) if len(logs) > 1 else list_runs(next(iter(logs.values())).entries)
    done = found[-(last or 0) :]
    if as_json:
        print_data([{"began": each.began, **asdict(each.last)} for each in done])
    else:
        for each in done:
            show_run(each)
        if not done:
            echo("The audit log is empty.")
    for host, read in logs.items():
        if read.broken_at is not None:
            on = f" on {host}" if len(logs) > 1 else ""
            raise CheckFailed(
                f"line {read.broken_at} of {audit.FILE}{on} lacks the hash of the previous line: "
                "somebody changed the log; look for a copy in the host's backups",
                code="checks.audit_log",
            )


def show_run(run: LoggedRun) -> None:
    """Print a run of the log: a line about it, and a line for each of its changes."""
    last, to = run.last, console()
    outcome = last.outcome if run.has_ended else "has not ended"
    color = {"done": "green", "failed": "red"}.get(outcome, "yellow")
    line = Text(f"{run.began}  {last.by}  {last.event}  ").append(outcome, style=color)
    to.print(line.append(f"  {last.revision}" if last.revision else ""))
    for text in (*last.changes, *([last.reason] if last.reason else [])):
        to.print(Text(f"    {text}"))


_MOST, _WIDEST = 1000, 1000
_ACCESS_COLUMNS = (
    *("Time", "Who", "Method", "Path", "Project", "Environment", "Folder", "Status"),
    "Address",
)
_EVENT_COLUMNS = (
    *("Time", "Who", "Event", "Secrets", "Project", "Environment", "Folder"),
    "Address",
)
_MOST_NAMES = 5


@audit.command(short_help="Show who sent which requests to Infisical.")
@inventory_option
@click.option(
    "--identity", help="Show only this machine identity's requests, such as backend-production."
)
@click.option("--person", help="Show only the requests of the person with this e-mail address.")
@click.option(
    "--environment", help="Show only requests to the environment with this slug.", default=""
)
@click.option(
    "--since",
    help="Show requests since a date, or since 30m, 12h, 7d or 2w ago.",
    default="1d",
    show_default=True,
)
@click.option(
    "--status", help="Show only answers with these HTTP statuses: 200, 4xx or 401,403.", default=""
)
@click.option(
    "--last",
    type=click.IntRange(1, 100_000),
    default=_MOST,
    show_default=True,
    help="Show only the latest requests, at most this many.",
)
@click.option(
    "--source",
    type=click.Choice(("infisical", "proxy")),
    help="Read Infisical's own audit log, or the proxy's log (without a Caddy, Infisical's request "
    "log). Default: Infisical's, if a license has it and it answers for the whole time; else the "
    "proxy's.",
)
@json_option
def access(
    inventory: str,
    identity: str | None,
    person: str | None,
    environment: str,
    since: str,
    status: str,
    last: int,
    source: str | None,
    as_json: bool,
) -> None:
    """Show who sent which requests to Infisical, and when: who read which environment.

    With a license that has an audit log, this shows the events in Infisical's own log: reads and
    writes with the names of secrets. It says which log it shows, and why not the other.
    `--status` works with the proxy's log only.

    In the proxy's log, a question mark after a name means that Infisical did not check who the
    caller is, or refused the request. The environment and folder of a write are those that
    Infisical notes in its database. A read or write without a known environment has a question mark
    in that column, and `--environment` does not filter it out. With `ingress = "none"`, Infisical's
    request log is shown instead, which names no callers: only writes have one, by the database.

    Exit status: 0, or 1 for an error.
    """
    begin, chosen = parse_since(since, datetime.now(UTC)), statuses(status)
    if source == "infisical" and status:
        raise Refused(
            "--status works with the proxy's log only: leave it out, or give --source proxy"
        )
    events: list[LoggedEvent] = []
    found_requests = FoundRequests()
    writes: list[NotedWrite] = []
    with open_host(inventory) as (host, settings):
        from infisical_iac.core.connection import each_of, with_others
        from infisical_iac.host.watch import read_noted_writes, read_own_requests, read_requests
        from infisical_iac.workspace.licensing import explain_missing_events

        why = "without a license it records nothing" if source == "infisical" else ""
        if settings.instance.license_key and source != "proxy" and not status:
            why = explain_missing_events(settings.stack.http_port, begin)
            source = source or ("proxy" if why else "infisical")
        has_proxy = settings.stack.runs_caddy
        log = "the proxy's log" if has_proxy else "Infisical's request log"
        known = _read_known_names(settings.stack, is_needed=bool(identity or person))
        machines, people = known.ids(identity, None), known.ids(None, person)
        if (identity or person) and not machines + people:
            raise UserError(f"Infisical knows no {identity or person}: check the spelling")
        if source == "infisical":
            actors = [("identity", id) for id in machines] + [("user", id) for id in people]
            found = _read_events(settings.stack, begin, actors, known)
            fitting = (each for each in found if environment in ("", *each.environment.split(", ")))
            events = [*islice(fitting, last)][::-1]
        else:
            ids = [*machines, *people]

            def read(_: object) -> FoundRequests:
                if has_proxy:
                    return read_requests(begin, last, ids, environment, chosen)
                return read_own_requests(begin, last, environment, chosen)

            logs = each_of(with_others(host), read)
            found_requests = latest(logs, last) if len(logs) > 1 else logs[0]
            writes = read_noted_writes(begin)
    # Only the proxy's log names the callers by which the host selects requests.
    callers = [] if has_proxy else [known.name_of(id) for id in [*machines, *people]]
    described = describe_requests(found_requests, known, writes)
    requests = _fitting(described, environment, callers)
    if as_json:
        print_data([*map(asdict, events), *map(asdict, requests)])
    elif source == "infisical":
        show_events(events)
    else:
        show_requests(requests)
    if not found_requests.is_finished:
        raise UserError("the log is too long to be read in four minutes: give a later --since")
    notes = []
    if source == "infisical":
        refused = "give --source proxy for requests that Infisical refused"
        notes.append(f"this is Infisical's own audit log; {why or refused}.")
    elif why:
        notes.append(f"this is {log}: {why}.")
    elif not has_proxy:
        notes.append(
            "this is Infisical's request log, which names no callers, and ends with its container: "
            "earlier requests are not in it."
        )
    nobodys, unplaced = count_unattributed(requests)
    if nobodys:
        notes.append(f"{nobodys} of {len(requests)} requests have no known caller.")
    if unplaced:
        notes.append(f"{unplaced} reads and writes have no known environment: each has a '?'.")
    if len(events) + len(found_requests.requests) >= last:
        notes.append(f"only the latest {last} entries are shown: --last shows more.")
    print_notes(notes)


def _fitting(
    requests: Iterable[LoggedRequest], environment: str, callers: Collection[str]
) -> list[LoggedRequest]:
    """Return the requests that may concern the environment, and that any of the callers sent."""
    return [
        each
        for each in requests
        if (not environment or each.is_unplaced or environment in each.environment.split(", "))
        and (not callers or each.who in callers)
    ]


def _read_events(
    settings: StackSettings,
    begin: datetime,
    actors: Sequence[tuple[str, str]],
    known: KnownNames,
) -> Iterator[LoggedEvent]:
    """Yield the events of these callers in Infisical's own audit log, the latest first."""
    from infisical_iac.api.instance import audit_events
    from infisical_iac.stack import session

    client = session.deployer(settings.http_port)
    logs = [audit_events(client, begin, actor=each) for each in actors]
    logs = logs or [audit_events(client, begin)]
    for each in merge(*logs, key=lambda event: str(event["createdAt"]), reverse=True):
        yield describe_event(each, known)


def _read_known_names(settings: StackSettings, *, is_needed: bool) -> KnownNames:
    from infisical_iac.stack import session
    from infisical_iac.workspace.people_actual import read_names

    try:
        return read_names(session.deployer(settings.http_port))
    except UserError as error:
        if is_needed:
            raise
        print_notes([f"identities are shown by their ids, as their names can't be read: {error}"])
        return KnownNames()


def show_requests(found: Sequence[LoggedRequest]) -> None:
    """Print one line for each request."""
    if not found:
        echo("No requests found.")
        return
    rows = []
    for each in found:
        who = f"{each.who}{'' if each.proven or not each.who else '?'}"
        environment = "?" if each.is_unplaced else each.environment
        place = (each.project, environment, each.folder)
        rows.append((each.at, who, each.method, each.path, *place, each.status, each.address))
    # Lines are not cut to the terminal's width, as the audit needs complete names.
    print_table(_ACCESS_COLUMNS, rows, width=_WIDEST)


def show_events(found: Sequence[LoggedEvent]) -> None:
    """Print one line for each event, with the first names of its secrets."""
    if not found:
        echo("No events found.")
        return
    rows = []
    for each in found:
        more = len(each.secrets) - _MOST_NAMES
        names = [*each.secrets[:_MOST_NAMES], *([f"{more} more"] if more > 0 else [])]
        place = (each.project, each.environment, each.folder, each.address)
        rows.append((each.at, each.who, each.event, ", ".join(names), *place))
    print_table(_EVENT_COLUMNS, rows, width=_WIDEST)
