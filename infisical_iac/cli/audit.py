"""`infisical-iac audit`: who has changed the host, when, and what."""

from dataclasses import asdict

import click
from rich.text import Text

from infisical_iac.cli.lazily import LazyGroup
from infisical_iac.cli.options import inventory_option, json_option
from infisical_iac.cli.output import console, echo, print_data
from infisical_iac.core.audit_log import Doing, doings, doings_of
from infisical_iac.core.errors import UserError


class AuditError(UserError):
    """The audit log is not as it was written."""


@click.group(
    cls=LazyGroup,
    summaries={"access": "Show who has asked Infisical for what."},
    prefix="audit_",
    invoke_without_command=True,
)
@inventory_option
@json_option
@click.option("--last", type=click.IntRange(min=1), help="Show only this many, the latest.")
@click.pass_context
def audit(ctx: click.Context, inventory: str, as_json: bool, last: int | None) -> None:
    """Show the host's audit log: each run that changed something, by whom, and what it changed;
    with `access`, who has asked Infisical for what.

    Each line holds the hash of the one before. Exit status: 0 if they fit together, 1 if a line
    but the last was changed or removed since, or for an error.
    """
    if ctx.invoked_subcommand:
        return
    from infisical_iac.core import audit as log
    from infisical_iac.core.inventory import connected

    with connected(inventory):
        logs = log.read_all()
    found = doings_of(logs) if len(logs) > 1 else doings(next(iter(logs.values())).entries)
    done = found[-(last or 0) :]
    if as_json:
        print_data([{"began": each.began, **asdict(each.last)} for each in done])
    else:
        for each in done:
            _show(each)
        if not done:
            echo("Nothing has been done yet.")
    for host, read in logs.items():
        if read.broken_at is not None:
            on = f" on {host}" if len(logs) > 1 else ""
            raise AuditError(
                f"line {read.broken_at} of {log.FILE}{on} does not follow from the one before: "
                "somebody changed the log; look for a copy in the host's backups"
            )


def _show(doing: Doing) -> None:
    last, to = doing.last, console()
    outcome = last.outcome if doing.ended else "has not ended"
    color = {"done": "green", "failed": "red"}.get(outcome, "yellow")
    line = Text(f"{doing.began}  {last.by}  {last.event}  ").append(outcome, style=color)
    to.print(line.append(f"  {last.revision}" if last.revision else ""))
    for text in (*last.changes, *([last.reason] if last.reason else [])):
        to.print(Text(f"    {text}"))
