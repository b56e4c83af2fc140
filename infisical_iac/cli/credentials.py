"""`infisical-iac credentials`: what services log in with."""

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
    Lock,
    inventory_option,
    json_option,
    lock_options,
    workspace_file_option,
    yes_option,
)
from infisical_iac.cli.output import counted, print_notes, print_table
from infisical_iac.core import atomic
from infisical_iac.core.errors import FileError, UserError
from infisical_iac.core.terminal import echo, print_data
from infisical_iac.workspace import client_secrets
from infisical_iac.workspace.client_secrets import Rotation
from infisical_iac.workspace.credential_file import FIRST_WORDS, Credential, render, variables
from infisical_iac.workspace.credentials import Overview, Step, ago, notes, overview
from infisical_iac.workspace.delivery import Courier, courier
from infisical_iac.workspace.model import ServiceAccount
from infisical_iac.workspace.reach import StoredCredentials, open_credentials

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_PRODUCTION = "production"


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
        raise click.BadParameter(f"{value!r} is no span of time: write such as 90m, 24h, 7d, or 0")
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


# The credentials of the Infisical that the options of a command name, as `keep` gives them.
Keeping = Callable[..., AbstractContextManager[StoredCredentials]]


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options on where credentials are, as one argument: `keeping`."""

    @inventory_option
    @workspace_file_option
    @click.option(
        "--credentials",
        "where",
        type=click.Path(file_okay=False, path_type=Path),
        help="With INFISICAL_API_URL: the directory of the credentials' files.",
    )
    @wraps(command)
    def with_keeping(
        *args: Any, inventory: str, file: Path | None, where: Path | None, **options: Any
    ) -> Any:
        return command(*args, keeping=partial(open_credentials, inventory, file, where), **options)

    return with_keeping


def may_show(name: str, environment: str, *, yes: bool, into: Path | None = None) -> None:
    """Return if credentials may be shown, and warn where standard output keeps or shows them.

    Raises UserError for those of the environment `production` without `yes`.

    Args:
        into: the file that they are written to instead.
    """
    if environment == _PRODUCTION and not yes:
        raise UserError(
            f"{name} are credentials of production, which belong on no other machine: give --yes "
            "if you mean it"
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
            "--output, which makes it 0600",
            err=True,
        )


def _others_can_read_output() -> bool:
    try:
        status = os.fstat(sys.stdout.fileno())
    except (OSError, ValueError):  # such as a stream of a test
        return False
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & 0o077)


@credentials.command("list", short_help="List the credentials: age, use, expiry and file.")
@place_options
@json_option
def list_command(keeping: Keeping, as_json: bool) -> None:
    """List the credentials of all services: age, last use, number of uses, expiry, and files.

    Notes say what should be done. No secret is shown, and nothing is changed.

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
        told = notes(kept.steps, kept.now)
    if as_json:
        print_data({"credentials": [row.data for row in rows], "notes": told})
        return
    columns = ("Credentials", "Made", "Last used", "Uses", "Ends", "File", "Others")
    print_table(columns, (_cells(row, kept.now) for row in rows))
    print_notes(told)


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


@credentials.command(short_help="Print the three variables that a service starts with.")
@service_argument
@environment_option
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write them to this file, readable by its owner only, such as .env.local.",
)
@place_options
@click.option("--yes", is_flag=True, help="Show them although the environment is `production`.")
def show(service: str, environment: str, output: Path | None, keeping: Keeping, yes: bool) -> None:
    """Print the three variables that SERVICE starts with in an environment.

    Write them into the service's .env.local with --output; git must ignore that file. The
    environment `production` needs --yes. The host's audit log records who was shown what.

    Exit status: 0 when they are printed or written; 1 for an error.
    """
    if output:
        _refuse_foreign(output)
    with keeping() as kept:
        step = kept.one(service, environment)
        may_show(step.account.credentials, environment, yes=yes, into=output)
        text = render(kept.credential_of(step).without_rotation)
        with kept.record_disclosure([step]):
            if output:
                with atomic.writing(output):
                    atomic.write(output, text, mode=0o600)
            else:
                sys.stdout.write(text)


def _refuse_foreign(file: Path) -> None:
    """Raise UserError if a file holds anything but credentials that were shown before."""
    try:
        there = file.read_text("utf-8", errors="replace") if os.path.lexists(file) else ""
    except OSError as error:
        raise FileError(f"{file} can't be read: {error.strerror}") from None
    if there and not there.startswith(FIRST_WORDS):
        raise FileError(f"{file} holds something else: name another file, or remove it")


@dataclass(frozen=True)
class Delivery:
    """The way to where the credentials of one service in one environment go.

    Attributes:
        courier: None if they go nowhere beside their file.
        deploys: whether to let the service start anew with what it did not have before.
        tell: called with each change once it is made.
    """

    account: ServiceAccount
    courier: Courier | None
    deploys: bool
    tell: Callable[[str], None]

    def check(self) -> None:
        """Return if the way is free. Raises UserError."""
        if self.courier:
            self.courier.check()

    def is_due(self, credential: Credential) -> bool:
        """Return whether something else is there. Raises UserError."""
        return self.courier is not None and self.courier.differs(credential)

    def deliver(self, credential: Credential) -> None:
        """Deliver it if something else is there. Raises UserError."""
        if self.courier is None:
            return
        is_new = self.courier.deliver(credential)
        if is_new:
            self.tell(f"~ {self.account.target}: credentials {self.account.credentials}")
        # A run that died in between may have delivered and not deployed.
        if self.deploys and self.courier.deploys and (is_new or credential.is_undelivered):
            self.courier.deploy()
            self.tell(f"~ {self.account.target}: is being deployed")


def delivery(account: ServiceAccount, *, deploys: bool, tell: Callable[[str], None]) -> Delivery:
    """The way for an account. Raises UserError if the environment lacks what it takes."""
    way = courier(account.target, os.environ) if account.target else None
    return Delivery(account, way, deploys, tell)


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
    "--yes", is_flag=True, help="With --to json: print those of the environment `production` too."
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
        may_show(step.account.credentials, step.account.environment, yes=yes)
    data = {each.account.credentials: variables(kept.credential_of(each)) for each in steps}
    with kept.record_disclosure(steps):
        print_data(data)


def _deliver(kept: StoredCredentials, steps: list[Step], deploy: bool, overlap: timedelta) -> None:
    ways = [
        (step, kept.credential_of(step), delivery(step.account, deploys=deploy, tell=kept.report))
        for step in steps
        if step.account.target
    ]
    if not ways:
        raise UserError(
            "none of these has a target: say in the project file, under `deliver` of the "
            "service, where they go"
        )
    due = [(step, held, way) for step, held, way in ways if way.is_due(held) or held.is_undelivered]
    with kept.record() if due else nullcontext():
        for step, held, way in due:
            rotation = Rotation(kept.reached.client, kept.store, way.deliver, overlap, kept.report)
            way.deliver(held)
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
    apply, or the next rotation, after that revokes the old one. An interrupted rotation is
    completed by the next.

    Exit status: 0 when the new client secret is in place; 1 for an error.
    """
    with keeping(lock=lock) as kept:
        step = kept.one(service, environment)
        way = delivery(step.account, deploys=deploy, tell=kept.report)
        way.check()
        if step.held and step.held.is_undelivered:
            echo("Completing the rotation that was begun.")
        with kept.record():
            Rotation(kept.reached.client, kept.store, way.deliver, overlap, kept.report).run(step)


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

    Exit status: 0 when they are revoked, or when there were none; 1 for an error, or for another
    name.
    """
    with keeping(lock=lock) as kept:
        step = kept.one(service, environment)
        name = step.account.credentials
        secrets = list(step.holder.secrets) if step.holder else []
        has_file = name in (kept.files or {})
        if not secrets and not has_file:
            echo("Nothing to revoke.")
            return
        count = counted(len(secrets), "client secret")
        if not yes:
            question = f"Type {name} to revoke its {count}, which stops what runs with them"
            if click.prompt(question, default="", show_default=False, err=True) != name:
                raise UserError(f"that is not {name}: nothing was changed")
        with kept.record():
            if step.holder:
                client_secrets.revoke(
                    kept.reached.client, step.holder, [each.id for each in secrets]
                )
            kept.changes.append(f"- client secrets of {name}: {len(secrets)}")
            kept.store.remove(name)
            kept.changes.append(f"- credentials {name}")
    echo(f"{count} of {name} revoked; the next apply makes a new one.")
    if step.account.target:
        echo(f"{step.account.target} keeps one that no longer works.")
