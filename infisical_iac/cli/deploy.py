"""`infisical-iac plan` and `apply`: the plan, the question, the run; and a run with a way back."""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click
from rich.text import Text

from infisical_iac.cli.options import (
    FOUND,
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
    show_plan,
)
from infisical_iac.core.errors import RunFailed, UserError
from infisical_iac.core.terminal import console, echo, print_data

if TYPE_CHECKING:
    from pyinfra.api.host import Host

    from infisical_iac.core.deployment import Deployment, DeployStep
    from infisical_iac.core.item import Item
    from infisical_iac.core.settings import Settings


@click.command()
@inventory_option
@json_option
@click.pass_context
def plan(ctx: click.Context, inventory: str, as_json: bool) -> None:
    """Show what `apply` would change on the host and inside Infisical, and change nothing.

    `+` is created, `~` changed, `-` removed. `?` can't be seen before the rest has been done. `!`
    can't be read or changed, with what to do. `*` is access to the project that the project file
    does not grant: it stays. Credentials that expire soon, or were not delivered everywhere, are
    reported as notes.

    Exit status: 0 for nothing to change; 2 for changes; 1 for an error, or if something is blocked
    (`!`).
    """
    # Importing it gives the process to gevent, which other commands have no need of.
    from infisical_iac.core.deployment import open_deployment
    from infisical_iac.workspace.credentials_issue import warnings

    with open_deployment(inventory, writes=None) as deployment:
        (planned, unknown), blocked = deployment.plan(), deployment.journal.blocked_parts
        foreign = deployment.journal.foreign
        notes = [*warnings(), *deployment.journal.notes, *restarts(planned)]
    if as_json:
        data: dict[str, object] = {"changes": as_data(planned), "blocked": as_data(blocked)}
        data |= {"foreign": as_data(foreign), "unknown": unknown}
        print_data({**data, "notes": notes})
    else:
        show_plan(deployment.journal.planned_steps, blocked, unknown)
        changes = f"{count(planned)} to make" if planned else "Nothing to change"
        echo(f"{changes}; {len(blocked)} blocked." if blocked else f"{changes}.")
        print_foreign(foreign)
    print_notes(notes)
    ctx.exit(1 if blocked else 0 if deployment.is_up_to_date else FOUND)


@click.command()
@inventory_option
@yes_option
@lock_options
@json_option
def apply(inventory: str, yes: bool, lock: Lock, as_json: bool) -> None:
    """Show the plan, ask, and bring the host and Infisical to the declared state.

    Only differences are changed. The next run completes an interrupted one. A blocked part does not
    keep the rest from being done.

    Exit status: 0 when everything is as declared; 1 for an error, if something is blocked, or for
    no to the question.
    """
    from infisical_iac.core.deployment import open_deployment
    from infisical_iac.core.settings import load

    started = time.monotonic()
    with open_deployment(inventory, writes=lock) as deployment:
        journal = deployment.journal
        if not deployment.is_up_to_date and not (yes and as_json):
            show_plan(journal.planned_steps, journal.blocked_parts, journal.unknown, stderr=as_json)
        print_notes([*journal.notes, *restarts(journal.planned_changes)])
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
        blocked = as_data(journal.blocked_parts)
        made = as_data(journal.made_changes)
        found = {"changes": made, "blocked": blocked, "foreign": as_data(foreign)}
        print_data({**found, "seconds": round(seconds, 1)})
    else:
        _summarize(steps, seconds)
        if _is_first(journal.made_changes):
            echo(next_steps(load(deployment.host.data.dict())))  # type: ignore[no-untyped-call]
            for sentence in journal.operator_notes:
                echo(sentence, err=True)
    deployment.refuse_blocked()


# Without one of these, nobody reaches Infisical; it needs 15 to 40 seconds to start.
_SERVING = {"infisical", "postgres", "redis", "caddy"}


def restarts(planned: Iterable["Item"]) -> list[str]:
    """Return a note on the containers that a run restarts or re-creates; none for none."""
    prefix = "container "
    changed = (item.what for item in planned if item.kind == "~")
    names = sorted({what.removeprefix(prefix) for what in changed if what.startswith(prefix)})
    if not names:
        return []
    outage = "; nobody can log in for about a minute" if _SERVING & {*names} else ""
    return [f"containers that restart: {', '.join(names)}{outage}"]


def _is_first(made: "list[Item]") -> bool:
    return any(item.kind == "+" and item.what.startswith("administrator ") for item in made)


def next_steps(settings: "Settings") -> str:
    """Return what is left to do by hand after the first deploy, as a paragraph of the terminal."""
    stack = settings.stack
    address = stack.site_url
    if address.startswith("http://"):
        address += f", through `ssh -N -L {stack.http_port}:127.0.0.1:{stack.http_port} HOST`"
    lines = [
        f"Log in at {address} as {settings.workspace.admin_email};",
        "  the password is in /etc/infisical/admin.env on the host.",
        "Check the host: infisical-iac verify",
        "Make a recovery kit, without which a lost host is lost for good:",
        "  infisical-iac recovery-kit --recipient age1… --output kit.txt",
    ]
    if all(each.repository.startswith("/") for each in settings.backup.backup_targets):
        lines.append("Name a second place for backups in backup_targets: all are on the host.")
    return "\nNext:\n" + "\n".join(f"  {line}" for line in lines)


def _summarize(steps: "list[DeployStep]", seconds: float) -> None:
    made = [item for step in steps for item in step.changes]
    if not made:
        echo(f"Nothing to change. {seconds:.1f} s.")
        return
    print_table(
        ("Step", "Changes", "Seconds"),
        ((step.name, len(step.changes), f"{step.seconds:.1f}") for step in steps),
        numbers=("Changes", "Seconds"),
    )
    echo(f"{count(made)} made in {seconds:.1f} s.")


def run(deployment: "Deployment", remedy: str | None = None) -> "list[DeployStep]":
    """Run the steps, tell each that has changed something, and return those.

    Args:
        remedy: what helps if one fails; None for another run.

    Raises RunFailed as the deployment does.
    """
    to = console(stderr=True)
    steps = []
    try:
        with to.status("") as status:
            for step in deployment.run(lambda name: status.update(f"{name} …"), remedy):
                to.print(f"[green]✓[/] {step.name}: {count(step.changes)}, {step.seconds:.1f} s")
                steps.append(step)
    finally:
        # Also of a run that fails: nobody can ask for them again.
        for sentence in deployment.journal.operator_notes:
            to.print(Text(sentence))
    return steps


def run_or_back(
    host: "Host",
    steps: Callable[[], object],
    back: Callable[[], str],
    *,
    name: str,
    what: str,
    remedy: str,
    question: str,
    done: str,
    yes: bool,
) -> None:
    """Show what is to be done, ask, and do it; go back if it fails. Raises RunFailed.

    Args:
        steps: those of the deploy.
        back: brings back what was before if need be, and returns sentences on what is so then.
        name: what it is, such as "restore".
        what: comes back, such as "The old data".
        remedy: what helps where it can't, for the end of a sentence.
        done: how it is called once it is made, such as "Restored".
    """
    from infisical_iac.core.connection import LOST
    from infisical_iac.core.deployment import prepare

    def go_back() -> str:
        try:
            return back()
        except (UserError, *LOST) as error:
            return f"{what} could not be brought back ({error}): {remedy}"

    deployment = prepare(host, steps)
    # What comes first may be of what comes later too.
    show(dict.fromkeys(deployment.journal.planned_changes), deployment.journal.unknown)
    confirm(question, yes=yes)
    started = time.monotonic()
    try:
        run(deployment, remedy=f"the {name} ends here")
    except RunFailed as error:
        raise RunFailed(f"{error}. {go_back()}") from None
    except Exception:  # whatever it is, what was before comes back
        echo(go_back(), err=True)
        raise
    made = count(deployment.journal.made_changes)
    echo(f"{done}, with {made}, in {time.monotonic() - started:.1f} s.")
