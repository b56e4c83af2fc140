"""`infisical-iac migrate verify`: whether all that was moved is there, and for whom."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from infisical_iac.api import login
from infisical_iac.api.parallel import gather
from infisical_iac.cli.items import counted, print_data
from infisical_iac.cli.migrate_showing import plan_argument, show, workspace_file_option
from infisical_iac.cli.options import FOUND, inventory_option, json_option
from infisical_iac.cli.reach import Reached, reach
from infisical_iac.errors import UserError
from infisical_iac.migrate import plan_file, stored
from infisical_iac.migrate import verify as verifying
from infisical_iac.migrate.secret import Name
from infisical_iac.migrate.verified import mark
from infisical_iac.migrate.verify import Expected
from infisical_iac.workspace import credentials
from infisical_iac.workspace.model import ServiceAccount

_NOT_ASKED = (
    "who can read them was not checked: at a URL the services' credentials are not known; give "
    "--credentials with a directory of <service>.<environment>.env files"
)


@click.command()
@plan_argument
@inventory_option
@workspace_file_option
@click.option(
    "--credentials",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where the services' credentials are [default: on the inventory's host]",
)
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    file: Path,
    inventory: str,
    workspace_file: Path | None,
    directory: Path | None,
    as_json: bool,
) -> None:
    """Verify that every key of the plan is there, unchanged, and read by its service alone.

    Values are told by their hashes, so the files may be gone. Each service logs in with its own
    credentials and is asked what it sees. Nothing is changed in Infisical, and no value is
    shown. The time of a success goes into migration-report.json, for `migrate clean`.

    Exit status: 0 if all is as planned, 2 if something is not, 1 for an error.
    """
    plan, key = plan_file.load(file), plan_file.load_key(file)
    wanted = verifying.expected(plan)
    with reach(inventory, workspace_file, None, needs_admin=False) as reached:
        project = stored.project_id(reached.client, plan.project)
        there = stored.read(reached.client, project, {each.environment for each in wanted})
        problems = [str(each) for each in verifying.unchanged(wanted, there, key)]
        is_asked = directory is not None or reached.remember is not None
        if is_asked:
            problems += _of_access(reached, project, wanted, directory)
    mark(file.parent, wanted, None if problems else datetime.now(UTC))
    if as_json:
        told = {"secrets": len(wanted), "problems": problems, "access_checked": is_asked}
        print_data(told)
    else:
        show(f"✗ {each}" for each in problems)
        sign = "✗" if problems else "✓"
        show([f"{sign} {counted(len(wanted), 'secret')}, {counted(len(problems), 'problem')}"])
    if not is_asked:
        click.echo(f"Note: {_NOT_ASKED}", err=True)
    ctx.exit(FOUND if problems else 0)


def _of_access(
    reached: Reached, project: str, wanted: dict[Name, Expected], directory: Path | None
) -> list[str]:
    """What is wrong with who reads what; a service that can't log in is told too."""
    accounts = reached.desired.accounts()
    texts = {each.identity: _credentials(each, directory) for each in accounts}
    asked = gather(
        [partial(_ask, reached, project, wanted, texts[each.identity]) for each in accounts]
    )
    seen = {}
    problems = []
    for account, answer in zip(accounts, asked, strict=True):
        if isinstance(answer, str):
            problems.append(f"{account.identity} could not be asked: {answer}")
        else:
            seen[account.identity] = answer
    found = verifying.access(wanted, reached.desired, seen)
    return [*problems, *map(str, found)]


def _ask(
    reached: Reached, project: str, wanted: dict[Name, Expected], text: str
) -> set[Name] | str:
    """What a service sees, or why that can't be told."""
    credential = credentials.parse(text)
    if credential is None:
        return "its credentials file is missing or malformed"
    nobody = reached.client.with_token("")
    try:
        client = login.universal(nobody, credential.client_id, credential.client_secret)
        return verifying.ask(client, project, wanted)
    except UserError as error:
        return str(error)


def _credentials(account: ServiceAccount, directory: Path | None) -> str:
    if directory is None:
        from infisical_iac.operations.remote import run

        path = credentials.path(account)
        # What it returns has lost the end of its last line.
        return run(f"cat {path} 2>/dev/null || true", doing=f"read {path}") + "\n"
    file = directory / f"{account.credentials}.env"
    return file.read_text(encoding="utf-8") if file.is_file() else ""
