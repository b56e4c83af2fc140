"""`infisical-iac credentials`: list, show, deliver, rotate and revoke service credentials."""

import os
import re
import stat
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial, wraps
from pathlib import Path
from typing import Any

import click

from infisical_iac.cli.options import (
    LocalPath,
    Lock,
    inventory_option,
    json_option,
    lock_options,
    project_file_option,
    yes_option,
)
from infisical_iac.cli.output import answered_by, print_notes, print_table
from infisical_iac.core import atomic
from infisical_iac.core.errors import FileError, UserError
from infisical_iac.core.terminal import echo, print_data, prompt
from infisical_iac.core.wording import pluralize
from infisical_iac.migrate import find
from infisical_iac.workspace import credentials as service_credentials
from infisical_iac.workspace.credential_file import FIRST_WORDS, Credential, render, variables
from infisical_iac.workspace.credentials import Overview, Rotation, Step, ago, notes, overview
from infisical_iac.workspace.delivery import Courier, courier
from infisical_iac.workspace.goal import Layout
from infisical_iac.workspace.memory import locate
from infisical_iac.workspace.model import Account, ServiceAccount
from infisical_iac.workspace.reach import StoredCredentials, open_credentials

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_PRODUCTION = "production"
# The file that services start with on a developer's machine.
_LOCAL = ".env.local"


@click.group()
def credentials() -> None:
    """List, show, deliver, rotate and revoke service credentials.

    Each service has a client secret in each environment, in a file on the host. With
    INFISICAL_API_URL set, as for `infisical-iac workspace`, the commands work on the Infisical
    there, and the files are in the directory given by --credentials.
    """


def _span(ctx: click.Context, param: click.Parameter, value: str) -> timedelta:
    match = re.fullmatch(r"(0)|([0-9]{1,4})([mhd])", value)
    if match is None:
        raise click.BadParameter(
            f"{value!r} is not a time span: write one such as 90m or 24h, or 0"
        )
    return timedelta() if match[1] else timedelta(**{_UNITS[match[3]]: int(match[2])})


service_argument = click.argument("service")
environment_option = click.option(
    *("--env", "--environment", "environment"),
    required=True,
    metavar="ENVIRONMENT",
    help="Slug of the environment, such as production.",
)
deploy_option = click.option(
    "--deploy", is_flag=True, help="Have Dokploy deploy the service after new credentials arrive."
)
overlap_option = click.option(
    "--overlap",
    callback=_span,
    default="24h",
    metavar="SPAN",
    show_default=True,
    help="How long the old client secret stays valid; 0 revokes it at once.",
)


# Opens the credentials of the Infisical that a command's options name, as `keep` does.
Keeping = Callable[..., AbstractContextManager[StoredCredentials]]


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options on the place of the credentials to a command, as one argument: `keeping`."""

    @inventory_option
    @project_file_option("--file")
    @click.option(
        "--credentials",
        "where",
        type=LocalPath(file_okay=False),
        help="With INFISICAL_API_URL: the directory of the credentials' files.",
    )
    @wraps(command)
    def with_keeping(
        *args: Any, inventory: str, project_file: Path | None, where: Path | None, **options: Any
    ) -> Any:
        keeping = partial(open_credentials, inventory, project_file, where)
        return command(*args, keeping=keeping, **options)

    return with_keeping


def check_disclosure(name: str, environment: str, *, yes: bool, into: Path | None = None) -> None:
    """Raise UserError for credentials of `production`, `prod` or `live` without `yes`.

    Prints a warning if standard output is a terminal, or a file that others can read.

    Args:
        name: the credentials, such as `backend.production`.
        into: the file that they are written to, instead of standard output.
    """
    if find.mode(environment) == _PRODUCTION and not yes:
        raise UserError(
            f"{name} are credentials of production, which no other machine should have: give --yes "
            "to show them nevertheless"
        )
    if into is not None:
        return
    if sys.stdout.isatty():
        echo(
            "Warning: this terminal shows a client secret, and may keep it; write it to a file "
            "with --output",
            err=True,
        )
    elif _others_can_read_output():
        echo(
            "Warning: others can read the file that this client secret goes to; write it with "
            "--output, which makes the file private",
            err=True,
        )


def _others_can_read_output() -> bool:
    try:
        status = os.fstat(sys.stdout.fileno())
    except (OSError, ValueError):  # A stream without a file, as in tests.
        return False
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & 0o077)


@credentials.command("list", short_help="List the credentials: age, use, expiry and file.")
@place_options
@json_option
def list_command(keeping: Keeping, as_json: bool) -> None:
    """List the credentials of all services: age, last use, number of uses, expiry, and files.

    Identities that log in with tokens of their platform have no credentials; their ids are listed,
    which are not secret. Notes say what needs attention. No secret is shown, and nothing is
    changed.

    Exit status: 0, or 1 for an error.
    """
    with keeping(needs_files=False) as kept:
        rows = [
            overview(
                step,
                has_file=kept.has_file(step),
                now=kept.now,
            )
            for step in kept.steps
        ]
        remarks = notes(kept.steps, kept.now)
        reached = kept.reached
        by_token = service_credentials.find_token_logins(
            reached.client, reached.desired, reached.memory.identities
        )
        layout = (
            locate(reached.client, reached, partly=True, known_only=True) if by_token else Layout()
        )
    if as_json:
        logins = [
            {
                "identity": each.identity,
                "id": id or None,
                "projects": _find_projects(each, layout),
                "tokens": each.auth and each.auth.data,
            }
            for each, id in by_token
        ]
        data = [row.data for row in rows]
        print_data({"credentials": data, "token_logins": logins, "notes": remarks})
        return
    columns = ("Credentials", "Made", "Last used", "Uses", "Ends", "File", "Others")
    if rows or not by_token:
        print_table(columns, (_cells(row, kept.now) for row in rows))
    if by_token:
        heads = ("Logs in by tokens", "INFISICAL_MACHINE_IDENTITY_ID", "Project", "Tokens")
        rows_of_tokens = (
            (
                each.identity,
                id or "none yet",
                " ".join(_find_projects(each, layout)),
                each.auth,
            )
            for each, id in by_token
        )
        print_table(heads, rows_of_tokens)
    print_notes(remarks)


def _find_projects(account: Account, layout: Layout) -> list[str]:
    """Return the ids of the projects whose values an account reads."""
    if isinstance(account, ServiceAccount):
        places = [(account.environment, account.folder)]
    elif account.sees_values:
        places = [(slug, folder) for slug, each in account.places.items() for folder in each]
    else:
        places = []
    return [*dict.fromkeys(filter(None, (layout.find(*place) for place in places)))]


def _cells(row: Overview, now: datetime) -> tuple[object, ...]:
    made = used = ends = "never"
    uses = 0
    if secret := row.secret:
        made, uses = ago(now - secret.created), secret.uses
        used = ago(now - secret.last_login) if secret.last_login else used
        ends = f"{secret.ends:%Y-%m-%d}" if secret.ends else ends
    name = row.step.account.credentials
    return (name, made, used, uses, ends, row.file, _others(row))


def _others(row: Overview) -> str:
    if row.others and row.kept_until:
        return f"{row.others}, until {row.kept_until:%Y-%m-%d %H:%M} UTC"
    return str(row.others or "none")


@credentials.command(short_help="Print the variables that a service starts with.")
@service_argument
@environment_option
@click.option(
    "--output",
    type=LocalPath(dir_okay=False),
    help="Write the variables to this file, readable by its owner only, such as .env.local.",
)
@place_options
@click.option("--yes", is_flag=True, help="Also show credentials of the environment `production`.")
def show(service: str, environment: str, output: Path | None, keeping: Keeping, yes: bool) -> None:
    """Print the variables that SERVICE starts with in an environment.

    Write them into the service's .env.local with --output; git must ignore that file. The
    environment `production` needs --yes. The host's audit log records the operator and the
    credentials.

    Exit status: 0 when they are printed or written; 1 for an error.
    """
    if output:
        _refuse_foreign(output)
    with keeping() as kept:
        step = kept.one(service, environment)
        check_disclosure(step.account.credentials, environment, yes=yes, into=output)
        text = render(kept.credential_of(step).without_rotation)
        if output:
            text += _overrides_in(output)
        with kept.record_disclosure([step]):
            if output:
                with atomic.explain_failure(output):
                    atomic.write(output, text, mode=0o600)
                report_written(output)
            else:
                sys.stdout.write(text)


def report_written(file: Path) -> None:
    """Print what to do with a file of credentials, and a note if git would add it."""
    from infisical_iac.migrate import git

    if file.name == _LOCAL:
        do = "start the service in its directory"
    else:
        do = (
            "deliver it over a channel that you trust. On a developer's machine the service reads "
            f"it as {_LOCAL}; elsewhere set its lines as variables of the service"
        )
    echo(f"Wrote {file}, which only you can open: {do}.", err=True)
    if git.would_add(file):
        print_notes([f"git would add {file}: add it to .gitignore"])


# The lines of a copy of .env.local.example that nobody has filled in.
_IN_A_SAMPLE = {
    *("", "INFISICAL_CLIENT_ID=", "INFISICAL_CLIENT_SECRET="),
    *("INFISICAL_ENVIRONMENT=development", "NODE_ENV=development"),
}


def _refuse_foreign(file: Path) -> None:
    """Raise FileError if a file exists and holds more than credentials and overrides.

    The variables of the credentials may be empty.
    """
    there = _read(file)
    above = there.removesuffix(_overrides_in(file))
    lines = {line.strip() for line in above.splitlines() if not line.startswith("#")}
    if not (lines <= _IN_A_SAMPLE or there.startswith(FIRST_WORDS)):
        raise FileError(
            f"{file} holds more than a service's credentials: insert a line `# overrides` above "
            "your own values, which then stay, or name another file"
        )


def _overrides_in(file: Path) -> str:
    """Return the overrides in a file, from the line `# overrides` on; "" if there are none."""
    found = re.search(r"(?im)^[ \t]*#[ \t]*overrides[ \t]*$", _read(file))
    return found.string[found.start() :] if found else ""


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8", errors="replace") if os.path.lexists(file) else ""
    except OSError as error:
        raise FileError(f"{file} can't be read: {error.strerror}") from None


@dataclass(frozen=True)
class Delivery:
    """The delivery of the credentials of one service in one environment.

    Attributes:
        courier: delivers to the service's target; None if the service has no target.
        deploys: whether to have the target deploy the service with new credentials.
        report: called with each change once it is made.
    """

    account: Account
    courier: Courier | None
    deploys: bool
    report: Callable[[str], None]

    def check(self) -> None:
        """Raise UserError if the target can't be reached or used."""
        if self.courier:
            self.courier.check()

    def is_due(self, credential: Credential) -> bool:
        """Return whether the target has other credentials. Raises UserError."""
        return self.courier is not None and self.courier.differs(credential)

    def deliver(self, credential: Credential) -> None:
        """Deliver a credential if the target has another one. Raises UserError."""
        if self.courier is None:
            return
        is_new = self.courier.deliver(credential)
        if is_new:
            self.report(f"~ {self.account.target}: credentials {self.account.credentials}")
        # An interrupted run may have delivered the credentials without a deploy.
        if self.deploys and self.courier.deploys and (is_new or credential.is_undelivered):
            self.courier.deploy()
            self.report(f"~ {self.account.target}: is being deployed")


def open_delivery(account: Account, *, deploys: bool, report: Callable[[str], None]) -> Delivery:
    """Return the delivery for an account.

    Raises UserError if the environment lacks a variable that the target needs, such as an API key.
    """
    found = courier(account.target, os.environ) if account.target else None
    return Delivery(account, found, deploys, report)


@credentials.command(short_help="Deliver credentials to the platforms of the services.")
@click.argument("service", required=False)
@click.option(
    *("--env", "--environment", "environment"),
    metavar="ENVIRONMENT",
    help="Deliver the credentials of this environment only. [default: all]",
)
@click.option(
    "--to",
    type=click.Choice(["targets", "json"]),
    default="targets",
    show_default=True,
    help="`json` prints the credentials, for another kind of platform, and delivers nothing.",
)
@deploy_option
@overlap_option
@place_options
@click.option(
    "--yes", is_flag=True, help="With --to json: also print the credentials of `production`."
)
@lock_options
def push(
    service: str | None,
    environment: str | None,
    to: str,
    deploy: bool,
    overlap: timedelta,
    keeping: Keeping,
    yes: bool,
    lock: Lock,
) -> None:
    """Deliver the credentials of SERVICE, or of all services, to the targets that `deliver` in the
    project file names.

    A target that has them already is neither written nor deployed. Dokploy's API key is read from
    DOKPLOY_API_KEY.

    Exit status: 0 when every target has them; 1 for an error.
    """
    if to == "json":
        with keeping() as kept:
            _print(kept, kept.some(service, environment), yes=yes)
        return
    with keeping(lock=lock) as kept:
        _deliver(kept, kept.some(service, environment), deploy, overlap)


def _print(kept: StoredCredentials, steps: list[Step], *, yes: bool) -> None:
    for step in steps:
        check_disclosure(step.account.credentials, step.account.environment, yes=yes)
    data = {each.account.credentials: variables(kept.credential_of(each)) for each in steps}
    with kept.record_disclosure(steps):
        print_data(data)


def _deliver(kept: StoredCredentials, steps: list[Step], deploy: bool, overlap: timedelta) -> None:
    deliveries = [
        (
            step,
            kept.credential_of(step),
            open_delivery(step.account, deploys=deploy, report=kept.report),
        )
        for step in steps
        if step.account.target
    ]
    if not deliveries:
        raise UserError(
            "none of these services has a target: name one in the project file, under `deliver` of "
            "the service"
        )
    due = [
        (step, held, delivery)
        for step, held, delivery in deliveries
        if delivery.is_due(held) or held.is_undelivered
    ]
    with kept.record() if due else nullcontext():
        for step, held, delivery in due:
            rotation = Rotation(
                kept.reached.client, kept.store, delivery.deliver, overlap, kept.report
            )
            delivery.deliver(held)
            if held.is_undelivered:
                rotation.end(step, held)
    if not kept.changes:
        echo("Nothing to deliver.")


@credentials.command(short_help="Replace a client secret, with an overlap.")
@service_argument
@environment_option
@overlap_option
@deploy_option
@place_options
@lock_options
def rotate(
    service: str, environment: str, overlap: timedelta, deploy: bool, keeping: Keeping, lock: Lock
) -> None:
    """Replace the client secret of SERVICE in an environment.

    A login proves the new one; then it is put into its file and delivered to the target in the
    project file. Only then does the overlap begin: restart the service before it ends. The next
    apply or rotation after the overlap revokes the old one. An interrupted rotation is completed by
    the next.

    Exit status: 0 when the new client secret is in place; 1 for an error.
    """
    with keeping(lock=lock) as kept:
        step = kept.one(service, environment)
        delivery = open_delivery(step.account, deploys=deploy, report=kept.report)
        delivery.check()
        if step.held and step.held.is_undelivered:
            echo("Completing the interrupted rotation.")
        with kept.record():
            Rotation(kept.reached.client, kept.store, delivery.deliver, overlap, kept.report).run(
                step
            )
    if delivery.courier is None:
        print_notes([_describe_undelivered(service, environment)])


def _describe_undelivered(service: str, environment: str) -> str:
    """Return the next step for a service without a delivery target."""
    show = f"infisical-iac credentials show {service} --env {environment}"
    return (
        f"{service} does not have its new credentials yet: set those that `{show}` prints, and "
        "restart it; with `deliver` in the project file, this command does both"
    )


@credentials.command(short_help="Revoke all client secrets of a service at once.")
@service_argument
@environment_option
@place_options
@yes_option
@lock_options
def revoke(service: str, environment: str, keeping: Keeping, yes: bool, lock: Lock) -> None:
    """Revoke all client secrets and tokens of SERVICE in an environment at once.

    This includes client secrets that others made for its identity, and removes its file. The next
    apply makes new credentials: to retire a service, remove it from the project file.

    Exit status: 0 when they are revoked, or when there were none; 1 for an error, or if you
    type another name.
    """
    with keeping(lock=lock) as kept:
        step = kept.one(service, environment)
        name = step.account.credentials
        secrets = list(step.holder.secrets) if step.holder else []
        has_file = name in (kept.files or {})
        if not secrets and not has_file:
            echo("Nothing to revoke.")
            return
        count = pluralize(len(secrets), "client secret")
        if not yes:
            question = f"Type {name} to revoke its {count}: what runs with them loses its access"
            with answered_by("--yes"):
                typed = prompt(question, str, "", err=True)
            if typed != name:
                raise UserError(f"that is not {name}: nothing was changed")
        with kept.record():
            if step.holder:
                service_credentials.revoke(
                    kept.reached.client, step.holder, [each.id for each in secrets]
                )
            kept.changes.append(f"- client secrets of {name}: {len(secrets)}")
            kept.store.remove(name)
            kept.changes.append(f"- credentials {name}")
    echo(f"Revoked {count} of {name}; the next apply makes a new one.")
    if step.account.target:
        echo(f"{step.account.target} still has a client secret, which no longer works.")
