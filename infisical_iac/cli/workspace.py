"""`infisical-iac workspace`: plan and apply the project inside Infisical only."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from infisical_iac.agent.identities import organization_id
from infisical_iac.api.client import Client
from infisical_iac.api.login import NewApp, register_app
from infisical_iac.cli.options import (
    FOUND,
    Lock,
    inventory_option,
    json_option,
    lock_options,
    project_file_option,
    yes_option,
)
from infisical_iac.cli.output import (
    answered_by,
    as_data,
    confirm,
    count,
    explain_links,
    print_foreign,
    print_notes,
    show,
)
from infisical_iac.core.errors import ApiError, Refused, RunFailed, UserError
from infisical_iac.core.terminal import echo, print_data, prompt
from infisical_iac.core.wording import join_first, join_names, pluralize
from infisical_iac.workspace.access import renew
from infisical_iac.workspace.converge import expect_changes
from infisical_iac.workspace.credentials import path
from infisical_iac.workspace.goal import Reached
from infisical_iac.workspace.model import Isolation
from infisical_iac.workspace.plan import Removal, WorkspacePlan, apply_plan, compute_plan
from infisical_iac.workspace.reach import reach, require_confidential
from infisical_iac.workspace.state import ApiChange


def _confirm_removals(removals: Iterable[Removal], names: Collection[str], *, ask: bool) -> None:
    """Raise Refused unless each removal of secrets is confirmed by its name.

    Args:
        names: the names that were given as options.
        ask: whether to ask for the missing names; else they are refused.
    """
    missing = [each for each in removals if each.name and each.name not in names]
    if missing and not ask:
        whats = ", ".join(f"{each.change.what} with {each.holds}" for each in missing)
        options = " ".join(f"--confirm {each.name}" for each in missing)
        raise Refused(f"nothing was changed, as it would delete {whats}: add {options}")
    for name in sorted(set(names) - {each.name for each in removals}):
        raise Refused(
            f"nothing was changed, as nothing named {name} is to be deleted: leave out "
            f"--confirm {name}"
        )
    for each in missing:
        question = f"Type the name {each.name} to delete it with its {each.holds}"
        with answered_by(f"--confirm {each.name}"):
            typed = prompt(question, str, "", err=True)
        if typed != each.name:
            raise Refused(f"that is not {each.name}: nothing was changed")


# In the order of the sentence that counts them.
_COUNTED = ("credentials", "import", "folder", "environment")
_MOST_CODES = 3
_NO_MEMORY = (
    "with INFISICAL_API_URL only access is pruned: only the host has the record of the "
    "environments, folders and imports that this project created"
)


@click.group()
def workspace() -> None:
    """Compare the project inside Infisical with the project file, and apply the differences:
    environments, folders, identities, people.

    The commands reach the inventory's host by SSH. With INFISICAL_API_URL set, they work on the
    Infisical at that URL. INFISICAL_CLIENT_ID and INFISICAL_CLIENT_SECRET are then the credentials
    of a machine identity that is an admin of the organization. INFISICAL_ADMIN_EMAIL is the person
    who gets access to the project; if the file names people, that person's INFISICAL_ADMIN_PASSWORD
    is needed too.
    """


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        json_option,
        click.option(
            "--prune",
            is_flag=True,
            help="Remove objects that this project created and the project file no longer names; "
            "with INFISICAL_API_URL, access only.",
        ),
        click.option(
            "--isolation",
            type=click.Choice(["privilege", "viewer", "projects"]),
            help="How identities are restricted to their folders. [default: the setting isolation]",
        ),
        project_file_option("--file"),
        inventory_option,
    ):
        command = option(command)
    return command


@workspace.command(short_help="Show what `workspace apply` would change.")
@_options
@click.pass_context
def plan(
    ctx: click.Context,
    inventory: str,
    project_file: Path | None,
    isolation: Isolation | None,
    prune: bool,
    as_json: bool,
) -> None:
    """Show what `workspace apply` would change, and change nothing.

    Objects that this project created and the file no longer names are reported separately; with
    --prune they are among the changes.

    Exit status: 0 for nothing to change; 2 for changes; 1 for an error, or if something is blocked
    (`!`).
    """
    with reach(inventory, project_file, isolation) as reached:
        planned = compute_plan(reached, prune=prune)
        notes = _notes(reached, planned, prune=prune)
        notes += filter(None, [expect_changes(reached.client, reached, planned.due)])
    if as_json:
        _print_json(planned.due, planned, notes)
    else:
        show([*planned.due, *planned.blocked])
        if not planned.due:
            echo("Nothing to change.")
        print_foreign(each.change for each in planned.foreign)
        _print_rotations(planned)
        print_notes(notes)
    ctx.exit(1 if planned.blocked else FOUND if planned.due else 0)


@workspace.command(short_help="Make the changes inside Infisical.")
@_options
@yes_option
@click.option(
    "--confirm",
    "names",
    multiple=True,
    metavar="NAME",
    help="Allow this environment, or folder such as production/backend, to be pruned with the "
    "secrets in it; may be given again.",
)
@lock_options
def apply(
    inventory: str,
    project_file: Path | None,
    isolation: Isolation | None,
    prune: bool,
    as_json: bool,
    yes: bool,
    names: tuple[str, ...],
    lock: Lock,
) -> None:
    """Show the plan, ask, and make the changes inside Infisical.

    Only objects that this project created are ever deleted, and only with --prune. If a part is
    blocked, the rest is done nevertheless.

    Exit status: 0 when everything is as the file says; 1 for an error, if something is blocked, or
    if you answer no.
    """
    made: list[ApiChange] = []
    lines: list[str] = []

    def report(change: ApiChange) -> None:
        if not as_json:
            show([change])
        if change.shown:  # For the operator only: it is printed once, and not logged.
            echo(change.shown, err=as_json)
        made.append(change)
        lines.append(str(change))

    with reach(inventory, project_file, isolation, lock=lock) as reached:
        planned = compute_plan(reached, prune=prune)
        duration = expect_changes(reached.client, reached, planned.due)
        if not as_json:  # Before the changes, as these notes are about them.
            _print_rotations(planned)
            print_notes([*planned.left, *filter(None, [duration])])
        if planned.due and not yes:
            show([*planned.due, *planned.blocked], stderr=True)
            confirm("Make these changes?", yes=yes)
        _confirm_removals(planned.removals, names, ask=not yes)
        with reached.recorded("workspace", lines) if planned.due else nullcontext():
            apply_plan(reached, planned, report)
        notes = _notes(reached, planned, prune=prune)
        following = next_step(reached, made)
    if once := explain_links(each.shown for each in made):
        echo(once, err=as_json)
    if as_json:
        _print_json(made, planned, [*notes, *filter(None, [following])])
    else:
        echo(f"{count(made)} made." if made else "Nothing to change.")
        print_foreign(each.change for each in planned.foreign)
        print_notes(each for each in notes if each not in planned.left)
        if following:
            echo(following)
    if planned.blocked:
        whats = (str(each).removeprefix("! ") for each in planned.blocked)
        raise RunFailed("; ".join(whats), code="run.blocked")


@workspace.command(short_help="Print a new invitation link for a person.")
@inventory_option
@project_file_option("--file")
@click.argument("email")
def invite(inventory: str, project_file: Path | None, email: str) -> None:
    """Print a new invitation link for EMAIL, a person who has not yet accepted; with a mail server,
    Infisical sends it.

    The old link no longer works.

    Exit status: 0 when the link is printed or sent; 1 for an error.
    """
    with reach(inventory, project_file, None) as reached:
        if email.lower() not in reached.desired.people:
            raise UserError(f"{email} is not in `people` of the project file: add it first")
        organization = organization_id(reached.client)
        renewed = renew(reached.client, reached.admin(), organization, email)
        echo(renewed)
        if once := explain_links([renewed]):
            echo(once, err=True)


@workspace.command("second-factor", short_help="Turn on an authenticator app for your account.")
@click.option(
    "--url",
    envvar="INFISICAL_API_URL",
    metavar="URL",
    required=True,
    help="Infisical's address, such as https://secrets.example.com. [default: INFISICAL_API_URL]",
)
@click.argument("email")
def second_factor(url: str, email: str) -> None:
    """Turn on an authenticator app for your own account, EMAIL.

    Infisical's own page does so only if the server can send mail; this works without. It asks for
    your password and for a code of the app, and prints the key for the app and your recovery codes.
    If your login asks for a code already, you don't need it.

    Exit status: 0 when the login asks for a code; 1 for an error.
    """
    require_confidential(url, "--url")
    password = prompt(f"Password of {email}", str, err=True, hidden=True)
    with Client(url.rstrip("/").removesuffix("/api")) as client:
        try:
            app = register_app(client, email, password)
        except ApiError as error:
            if error.status != 400:
                raise
            raise UserError(
                f"{email} can't log in with this password at {url}: check all three, and run again"
            ) from None
        echo("Add this key to your authenticator app, or open the address on your phone:")
        echo(f"\n    {app.key}\n    {app.address}\n")
        _verify(app)
    echo("The login asks for a code of the app from now on. If you lose the app, use one of these")
    echo("recovery codes instead, each of them once. Keep them apart from your phone:\n")
    for each in app.recovery_codes:
        echo(f"    {each}")


def _verify(app: NewApp) -> None:
    for left in reversed(range(_MOST_CODES)):
        code = prompt("Code that the app shows", str, err=True)
        try:
            app.turn_on(code.replace(" ", ""))
        except ApiError as error:
            if error.status != 400 or not left:
                raise
            echo("This is not the code that the app shows now: try again.", err=True)
        else:
            return


def next_step(reached: Reached, made: Iterable[ApiChange]) -> str:
    """Return a sentence on the credentials that the host lacks; empty if there are none.

    At a URL it is empty too, since the credentials there are in no known place.

    Args:
        made: the changes of the run. No file has the credentials of the identities that it made.
    """
    if reached.remember is None:
        return ""
    stored, new = reached.credentials(), {each.what for each in made if each.kind == "+"}
    missing = [
        each.credentials
        for each in reached.desired.secret_holders()
        if path(each) not in stored or f"identity {each.identity}" in new
    ]
    if not missing:
        return ""
    return f"Next: `infisical-iac apply`, which stores the credentials of {join_first(missing, 3)}."


def _notes(reached: Reached, planned: WorkspacePlan, *, prune: bool) -> list[str]:
    notes = [*planned.notes, *planned.left, *unnamed_notes(planned.unnamed)]
    if prune and reached.remember is None:
        notes.append(_NO_MEMORY)
    return notes


def _print_json(changes: Iterable[ApiChange], planned: WorkspacePlan, notes: Sequence[str]) -> None:
    """Print the changes, the blocked parts, and the objects and access that the file lacks."""
    print_data(
        {
            "changes": as_data(changes),
            "blocked": as_data(planned.blocked),
            "unnamed": as_data(each.change for each in planned.unnamed),
            "foreign": [each.data for each in planned.foreign],
            "rotate": planned.rotate,
            "notes": notes,
        }
    )


def _print_rotations(planned: WorkspacePlan) -> None:
    """Print the secrets that people who lose their access could read."""
    for email, secrets in planned.rotate.items():
        echo(f"Rotate what {email} could read:" if secrets else f"{email} could read nothing.")
        for secret in secrets:
            echo(f"  {secret}")


def unnamed_notes(unnamed: Sequence[Removal]) -> list[str]:
    """Return sentences on the objects that `--prune` would remove, except access; may be empty."""
    kinds = Counter(each.change.what.split()[0] for each in unnamed)
    words = [
        f"{kinds[kind]} credentials" if kind == "credentials" else pluralize(kinds[kind], kind)
        for kind in _COUNTED
        if kinds[kind]
    ]
    if not words:
        return []
    listed = join_names(words)
    one = sum(kinds[kind] for kind in _COUNTED) == 1
    summary = f"{listed} {'is' if one else 'are'} no longer in the file: --prune removes "
    return [
        f"{summary}{'it' if one else 'them'}",
        *(f"{each.change.what} still holds {each.holds}" for each in unnamed if each.holds),
    ]
