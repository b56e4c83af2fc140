"""`infisical-iac check`: whether a repository of services keeps its secrets in Infisical alone."""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from infisical_iac.api.client import Client
from infisical_iac.check import model, usage
from infisical_iac.check.model import CheckFinding, Judged
from infisical_iac.check.repository import Repository, complete
from infisical_iac.cli.options import FOUND, inventory_option, json_option
from infisical_iac.cli.output import counted
from infisical_iac.core.errors import printable
from infisical_iac.core.terminal import console, echo, print_data
from infisical_iac.init.answers import WORKSPACE_FILE
from infisical_iac.migrate import verify
from infisical_iac.workspace import holdings
from infisical_iac.workspace.load import load
from infisical_iac.workspace.reach import Reached, reach
from infisical_iac.workspace.readable import Names

_OFFLINE = "Keys were not compared with Infisical: leave out --offline to do so."


def print_json(looked: Repository, judged: Judged, *, is_compared: bool) -> None:
    """Print it for machines; `is_compared`: whether keys were, with Infisical."""
    print_data(
        {
            "services": looked.services,
            "compared_with_infisical": is_compared,
            "findings": [_data(each) for each in judged.findings if not each.is_note],
            "notes": [_data(each) for each in judged.findings if each.is_note],
            "accepted": [{**_data(each), "reason": reason} for each, reason in judged.accepted],
        }
    )


def _data(finding: CheckFinding) -> dict[str, Any]:
    return {key: value for key, value in asdict(finding).items() if key != "is_note"}


def print_text(looked: Repository, judged: Judged, *, is_compared: bool) -> None:
    """Print it for people: the services, the findings, and then the notes."""
    to = console()
    to.print(_table(looked))
    to.print()
    for each in sorted(judged.findings, key=lambda each: each.is_note):
        to.print(_line(each))
    if judged.accepted:
        to.print(Text(f"{counted(len(judged.accepted), 'finding')} accepted.", style="dim"))
    if not is_compared:
        to.print(Text(f"? {_OFFLINE}", style="cyan"))
    found = sum(not each.is_note for each in judged.findings)
    sign, style = ("✗", "red") if found else ("✓", "green")
    to.print(Text(f"{sign} {counted(found, 'finding')}", style=style))


def _table(looked: Repository) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("service", "directory", "folder"):
        table.add_column(name, overflow="fold")
    for name in ("keys needed", "optional"):
        table.add_column(name, justify="right")
    for name, (reads, _) in looked.held.items():
        homes = ", ".join(each or "." for each in looked.services[name])
        counts = (str(len(reads.needed)), str(len(reads.optional)))
        table.add_row(name, printable(homes), looked.workspace.services[name].folder, *counts)
    return table


def _line(found: CheckFinding) -> Text:
    sign, style = ("· ", "dim") if found.is_note else ("✗ ", "red")
    line = Text(sign, style=style).append(printable(found.place), style="bold")
    return line.append(printable(f" {found.kind}: {found.message}"))


@dataclass(frozen=True)
class _Inside:
    """Hold what Infisical has: the project's id, and names of secrets by environment and folder."""

    project_id: str
    names: Names


@click.command()
@click.argument(
    "repository",
    metavar="[REPO]",
    default=".",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@inventory_option
@click.option(
    "--workspace-file",
    type=click.Path(path_type=Path),
    help=f"The workspace file [default: the setting workspace_file, or {WORKSPACE_FILE}]",
)
@click.option("--offline", is_flag=True, help="Don't ask Infisical: check the files alone.")
@click.option("--fix", is_flag=True, help="Write what each .infisical.json lacks, then check.")
@json_option
@click.pass_context
def check(
    ctx: click.Context,
    repository: Path,
    inventory: str,
    workspace_file: Path | None,
    offline: bool,
    fix: bool,
    as_json: bool,
) -> None:
    """Check that a repository of services has no secret, and Infisical every key, none too many.

    Looked at are `.env` files and ignore rules, each service's loader and .infisical.json, and
    the keys that code reads, in every environment. Of Infisical only names are read. What is
    accepted stands in REPO/.infisical-check.yaml, each with a reason.

    Exit status: 0 if all is well, 2 if something was found, 1 for an error.
    """
    if offline and fix:
        raise click.UsageError("--fix needs the project's id from Infisical: leave out --offline")
    if offline:
        workspace, inside = load(workspace_file or Path(WORKSPACE_FILE)), None
    else:
        with reach(inventory, workspace_file, None, needs_admin=False) as reached:
            workspace, inside, address = reached.desired, _inside(reached), reached.address
        if fix and (written := complete(repository, workspace, inside.project_id, address)):
            echo(f"Wrote {' and '.join(map(str, written))}.", err=True)
    looked = Repository(repository, workspace)
    judged = model.judge(_findings(looked, inside), looked.exceptions(), model.NAME)
    show = print_json if as_json else print_text
    show(looked, judged, is_compared=inside is not None)
    ctx.exit(FOUND if any(not each.is_note for each in judged.findings) else 0)


def _findings(looked: Repository, inside: _Inside | None) -> list[CheckFinding]:
    found = [*looked.files(), *looked.starts(inside.project_id if inside else "")]
    held = looked.held
    for name, (reads, _) in held.items():
        found += (_dynamic(name, place) for place in reads.dynamic)
        found += (
            CheckFinding("not-checked", path, "", why, True) for path, why in reads.unread.items()
        )
    absent = (name for name in looked.workspace.services if name not in held)
    found += (
        CheckFinding("not-checked", name, "", "The service is not here.", True) for name in absent
    )
    if inside:
        found += usage.missing(held, inside.names, looked.workspace)
        found += usage.left_over(held, looked.elsewhere(), inside.names, looked.workspace)
    return found


def _dynamic(service: str, place: str) -> CheckFinding:
    message = f"{service} reads keys whose names are only known when it runs: not checked."
    return CheckFinding("dynamic-read", place, "", message, is_note=True)


def _inside(reached: Reached) -> _Inside:
    """Return what Infisical has of the workspace file. Raises UserError if it isn't all
    there.
    """
    project = verify.project_id(reached.client, reached.desired.project.slug)
    slugs = [each.slug for each in reached.desired.environments]
    listed = partial(_in_environment, reached.client, project)
    return _Inside(project, holdings.collect(slugs, listed))


def _in_environment(client: Client, project: str, slug: str) -> list[tuple[str, str]]:
    with verify.asking(slug):
        return holdings.in_environment(client, project, slug)
