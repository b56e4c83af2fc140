"""`infisical-iac apply`: the plan, the question, the run."""

import time
from typing import TYPE_CHECKING

import click
from rich.table import Table

from infisical_iac.cli.items import as_data, console, count, echo, print_data, show
from infisical_iac.cli.options import (
    Lock,
    inventory_option,
    json_option,
    lock_options,
    yes_option,
)
from infisical_iac.cli.running import run

if TYPE_CHECKING:
    from infisical_iac.cli.deployment import Step


@click.command(short_help="Make host and Infisical as declared.")
@inventory_option
@yes_option
@lock_options
@json_option
def apply(inventory: str, yes: bool, lock_timeout: int, break_lock: bool, as_json: bool) -> None:
    """Show the plan, ask, and make the host and the inside of Infisical as declared.

    Only what differs is touched; a run that was interrupted is completed by the next. Exit
    status: 0 when everything is as declared, 1 for an error, or for no to the question.
    """
    from infisical_iac.cli.deployment import looked

    started = time.monotonic()
    with looked(inventory, writes=Lock(lock_timeout, break_lock)) as deployment:
        journal = deployment.journal
        if not deployment.settled and not (yes and as_json):
            show(journal.planned, journal.unknown, console(stderr=as_json))
        if not deployment.settled and not yes:
            asked = time.monotonic()
            click.confirm("Make these changes?", abort=True, err=True)
            started += time.monotonic() - asked  # the time to think is not the run's
        steps = [] if deployment.settled else run(deployment)
    seconds = time.monotonic() - started
    if as_json:
        print_data({"changes": as_data(journal.made), "seconds": round(seconds, 1)})
    else:
        _summarize(steps, seconds)


def _summarize(steps: "list[Step]", seconds: float) -> None:
    made = [item for step in steps for item in step.made]
    if not made:
        echo(f"Nothing to change. {seconds:.1f} s.")
        return
    table = Table(show_edge=False, pad_edge=False, box=None)
    table.add_column("Step", no_wrap=True)
    for column in ("Changes", "Seconds"):
        table.add_column(column, justify="right", no_wrap=True, min_width=len(column))
    for step in steps:
        table.add_row(step.name, str(len(step.made)), f"{step.seconds:.1f}")
    console().print(table)
    echo(f"{count(made)} made in {seconds:.1f} s.")
