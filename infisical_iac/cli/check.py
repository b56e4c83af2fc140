"""`infisical-iac check`: whether a repository of services keeps its secrets in Infisical alone."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.table import Table
from rich.text import Text

from infisical_iac.api.contents import is_visible
from infisical_iac.api.lists import gather_by
from infisical_iac.check import model, usage
from infisical_iac.check.env_files import MIGRATED
from infisical_iac.check.model import CheckFinding, Judged
from infisical_iac.check.repository import Repository, complete
from infisical_iac.cli.options import FOUND, inventory_option, json_option
from infisical_iac.cli.output import counted
from infisical_iac.core.errors import ApiError, printable
from infisical_iac.core.terminal import console, echo, print_data
from infisical_iac.migrate import verify
from infisical_iac.workspace import environment_contents
from infisical_iac.workspace.load import declared_file, load
from infisical_iac.workspace.reach import Reached, reach
from infisical_iac.workspace.readable import Names

_NAMED = 3  # of the files that one line is about
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
    findings = _gathered(judged.findings)
    for each in sorted(findings, key=lambda each: each.is_note):
        to.print(_line(each))
    if judged.accepted:
        to.print(Text(f"{counted(len(judged.accepted), 'finding')} accepted.", style="dim"))
    if not is_compared:
        to.print(Text(f"? {_OFFLINE}", style="cyan"))
    found = sum(not each.is_note for each in findings)
    sign, style = ("✗", "red") if found else ("✓", "green")
    to.print(Text(f"{sign} {counted(found, 'finding')}", style=style))


def _gathered(found: Sequence[CheckFinding]) -> list[CheckFinding]:
    """Return the findings; those on files that one `migrate clean` deletes are one."""
    migrated = [each for each in found if each.kind == MIGRATED]
    rest = [each for each in found if each.kind != MIGRATED]
    if len(migrated) < 2:
        return [*migrated, *rest]
    named = ", ".join(each.place for each in migrated[:_NAMED])
    more = f" and {len(migrated) - _NAMED} more" if len(migrated) > _NAMED else ""
    message = (
        "Their secrets are in Infisical, as `migrate apply` proved. Delete the "
        f"{len(migrated)} files: `infisical-iac migrate clean`."
    )
    return [CheckFinding(MIGRATED, f"{named}{more}", "", message), *rest]


def _table(looked: Repository) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("service", "directory", "folder"):
        table.add_column(name, overflow="fold")
    for name in ("keys needed", "optional"):
        table.add_column(name, justify="right")
    for name, (reads, _) in looked.code_by_service.items():
        homes = ", ".join(each or "." for each in looked.services[name])
        counts = (str(len(reads.needed)), str(len(reads.optional)))
        table.add_row(name, printable(homes), looked.workspace.services[name].folder, *counts)
    return table


def _line(found: CheckFinding) -> Text:
    sign, style = ("· ", "dim") if found.is_note else ("✗ ", "red")
    line = Text(sign, style=style).append(printable(found.place), style="bold")
    return line.append(printable(f" {found.kind}: {found.message}"))


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
    help="The project file. [default: the setting workspace_file]",
)
@click.option("--offline", is_flag=True, help="Check the files only, without asking Infisical.")
@click.option("--fix", is_flag=True, help="First write what each .infisical.json lacks.")
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
    """Check that a repository of services holds no secret, and that Infisical has every key that
    the code reads, and no others.

    It reads `.env` files and ignore rules, each service's loader and .infisical.json, and the keys
    that the code reads, in every environment. Of Infisical it reads names only. Exceptions are in
    REPO/.infisical-check.yaml, each with a reason.

    Exit status: 0 if nothing was found; 2 if something was; 1 for an error.
    """
    if offline and fix:
        raise click.UsageError("--fix needs the project's id from Infisical: leave out --offline")
    project, seen = "", None
    if offline:
        looked = Repository(repository, load(workspace_file or declared_file(inventory)))
    else:
        with reach(inventory, workspace_file, None, needs_admin=False) as reached:
            workspace = reached.desired
            project = verify.project_id(reached.client, workspace.project.slug)
            names, refused = _names(reached, project)
            if fix and (written := complete(repository, workspace, project, reached.address)):
                echo(f"Wrote {' and '.join(map(str, written))}.", err=True)
            looked = Repository(repository, workspace)
            seen = _Readable(names, _unseen(reached, project, looked, names, refused))
    judged = model.judge(_findings(looked, project, seen), looked.exceptions(), model.NAME)
    show = print_json if as_json else print_text
    show(looked, judged, is_compared=seen is not None)
    ctx.exit(FOUND if any(not each.is_note for each in judged.findings) else 0)


class _Readable(NamedTuple):
    """The names of secrets, and the folders that may not be seen."""

    names: Names
    unseen: Collection[usage.Place]


def _names(reached: Reached, project: str) -> tuple[Names, set[str]]:
    """Return the names of secrets by environment and folder, and the environments that refuse them.

    Raises UserError.
    """
    refused: set[str] = set()

    def listed(slug: str) -> list[tuple[str, str]]:
        with verify.asking(slug):
            try:
                return environment_contents.in_environment(reached.client, project, slug)
            except ApiError as error:
                if error.status != 403:
                    raise
                refused.add(slug)
                return []

    slugs = [each.slug for each in reached.desired.environments]
    return environment_contents.collect(slugs, listed), refused


def _unseen(
    reached: Reached, project: str, looked: Repository, names: Names, refused: Collection[str]
) -> set[usage.Place]:
    """Return the folders that may not be seen, of those that services should find keys in."""

    def is_hidden(asked: tuple[usage.Place, str]) -> bool:
        (slug, folder), key = asked
        return slug in refused or not is_visible(reached.client, project, slug, folder, key)

    asked = [*usage.doubtful(looked.code_by_service, names, looked.workspace)]
    return {place for (place, _), found in gather_by(asked, is_hidden).items() if found}


def _findings(looked: Repository, project: str, seen: _Readable | None) -> list[CheckFinding]:
    found = [*looked.files(), *looked.starts(project)]
    held = looked.code_by_service
    for name, (reads, _) in held.items():
        dynamic = f"{name} reads keys whose names are only known when it runs: not checked."
        found += (CheckFinding("dynamic-read", each, "", dynamic, True) for each in reads.dynamic)
        found += (
            CheckFinding("not-checked", path, "", why, True) for path, why in reads.unread.items()
        )
    absent = (name for name in looked.workspace.services if name not in held)
    found += (
        CheckFinding("not-checked", name, "", "The service is not here.", True) for name in absent
    )
    if seen is not None:
        found += usage.find_unseen(seen.unseen)
        found += usage.missing(held, seen.names, looked.workspace, seen.unseen)
        found += usage.left_over(held, looked.elsewhere(), seen.names, looked.workspace)
    return found
