"""`infisical-iac apply`: the plan, the question, the run."""

import time
from typing import TYPE_CHECKING

import click

from infisical_iac.cli.options import (
    Lock,
    inventory_option,
    json_option,
    lock_options,
    yes_option,
)
from infisical_iac.cli.output import (
    as_data,
    confirm,
    count,
    print_foreign,
    print_notes,
    print_table,
    show,
)
from infisical_iac.cli.run import run
from infisical_iac.core.terminal import echo, print_data

if TYPE_CHECKING:
    from infisical_iac.core.deployment import DeployStep


@click.command()
@inventory_option
@yes_option
@lock_options
@json_option
def apply(inventory: str, yes: bool, lock: Lock, as_json: bool) -> None:
    """Show the plan, ask, and make the host and the inside of Infisical as declared.

    Only what differs is touched; a run that was interrupted is completed by the next. What is
    blocked keeps nothing else from being done. Exit status: 0 when everything is as declared, 1 for
    an error, where something is blocked, or for no to the question.
    """
    from infisical_iac.core.deployment import looked

    started = time.monotonic()
    with looked(inventory, writes=lock) as deployment:
        journal = deployment.journal
        if not deployment.settled and not (yes and as_json):
            show([*journal.planned, *journal.blocked], journal.unknown, stderr=as_json)
        print_notes(journal.notes)
        foreign = journal.foreign
        if not as_json:
            print_foreign(foreign)
        if deployment.has_work:
            asked = time.monotonic()
            confirm("Make these changes?", yes=yes)
            started += time.monotonic() - asked  # the time to think is not the run's
        steps = run(deployment) if deployment.has_work else []
    seconds = time.monotonic() - started
    if as_json:
        blocked = as_data(journal.blocked)
        made = as_data(journal.made)
        found = {"changes": made, "blocked": blocked, "foreign": as_data(foreign)}
        print_data({**found, "seconds": round(seconds, 1)})
    else:
        _summarize(steps, seconds)
    deployment.refuse_blocked()


def _summarize(steps: "list[DeployStep]", seconds: float) -> None:
    made = [item for step in steps for item in step.made]
    if not made:
        echo(f"Nothing to change. {seconds:.1f} s.")
        return
    print_table(
        ("Step", "Changes", "Seconds"),
        ((step.name, len(step.made), f"{step.seconds:.1f}") for step in steps),
        numbers=("Changes", "Seconds"),
    )
    echo(f"{count(made)} made in {seconds:.1f} s.")
