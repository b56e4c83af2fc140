"""`infisical-iac audit access`: who has asked Infisical for what, by the proxy's log."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import click
from rich.table import Table
from rich.text import Text

from infisical_iac.accesslog.asking import AskingError, moment, statuses
from infisical_iac.cli.options import inventory_option, json_option
from infisical_iac.cli.output import console, echo, print_data
from infisical_iac.core.errors import UserError
from infisical_iac.core.settings import Settings
from infisical_iac.stack.access_log import UNFINISHED, Access, Known, latest, parse

_MOST, _WIDEST = 1000, 1000
_COLUMNS = (
    *("Time", "Who", "Method", "Path", "Project", "Environment", "Folder", "Status"),
    "Address",
)


@click.command()
@inventory_option
@click.option("--identity", help="Only a machine identity: its name, such as backend-production.")
@click.option("--person", help="Only a person: the e-mail address.")
@click.option("--environment", help="Only an environment: its slug.", default="")
@click.option("--since", help="30m, 12h, 7d, 2w ago, or a date.", default="1d", show_default=True)
@click.option("--status", help="Only answers with 200, 4xx, or 401,403.", default="")
@click.option(
    "--last",
    type=click.IntRange(1, 100_000),
    default=_MOST,
    show_default=True,
    help="Show at most this many, the latest.",
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
    as_json: bool,
) -> None:
    """Show who has asked Infisical for what, and when: which environment was read by whom.

    A name with a question mark is what the caller says of himself: Infisical did not check it, or
    did not believe it. Environment and folder are known of reads; a write names them in its body,
    which no log has. A read by a secret's id or by a service token may name no environment: it has
    a question mark for it, and is shown whichever environment is asked for. Exit status: 0, or 1
    for an error.
    """
    from infisical_iac.core.connection import with_others
    from infisical_iac.core.hosts import each_of
    from infisical_iac.core.inventory import connected
    from infisical_iac.core.settings import load

    begin, wanted = moment(since, datetime.now(UTC)), statuses(status)
    with connected(inventory) as host:
        settings = load(host.data.dict())  # type: ignore[no-untyped-call]
        if not settings.runs_caddy:
            raise AskingError(
                f"there is no access log: setting 'ingress' is {settings.ingress!r}, and only "
                "Caddy writes one here; the log of your own proxy may tell"
            )
        known = _known(settings, is_needed=bool(identity or person))
        ids = known.ids(identity, person)
        if (identity or person) and not ids:
            raise AskingError(f"Infisical knows no {identity or person}: check the spelling")
        logs = each_of(with_others(host), lambda _: _read(begin, last, ids, environment, wanted))
        lines = latest(logs, last) if len(logs) > 1 else logs[0]
    found = parse(lines, known)
    if as_json:
        print_data([asdict(each) for each in found])
    else:
        show(found)
    if UNFINISHED in lines:
        raise AskingError("the log is too long to be read in four minutes: give a later --since")
    if len(found) == last:
        echo(f"Note: only the latest {last} are shown: --last takes more.", err=True)


def _known(settings: Settings, *, is_needed: bool) -> Known:
    from infisical_iac.core import session
    from infisical_iac.workspace import known

    try:
        return known.read(session.deployer(settings.http_port))
    except UserError as error:
        if is_needed:
            raise
        echo(f"Note: ids are shown without names, for {error}", err=True)
        return Known()


def _read(
    since: datetime, last: int, ids: Sequence[str], environment: str, wanted: str
) -> list[str]:
    from infisical_iac.core.remote import run
    from infisical_iac.core.rendering import script
    from infisical_iac.host.watch import DIRECTORY

    text = f"environment={environment}" if environment else ""
    asked = (text, ",".join(ids), environment, wanted)
    command = script("access", DIRECTORY, str(int(since.timestamp())), str(last), *asked)
    return run(command, doing="read the access log").splitlines()


def show(found: Sequence[Access]) -> None:
    """Print a line for each request."""
    if not found:
        echo("Nobody has asked.")
        return
    table = Table(show_edge=False, pad_edge=False, box=None)
    for column in _COLUMNS:
        table.add_column(column, no_wrap=True)
    for each in found:
        who = f"{each.who}{'' if each.proven or not each.who else '?'}"
        environment = "?" if each.is_unplaced else each.environment
        place = (each.project, environment, each.folder)
        cells = (each.at, who, each.method, each.path, *place, str(each.status), each.address)
        table.add_row(*map(Text, cells))
    # A line is as long as it is: a name that is cut off answers no question.
    to = console()
    to.width = _WIDEST
    to.print(table)
