"""Print what a check of a repository found, as text and as JSON; never a value."""

from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from infisical_iac.check.exceptions import Judged
from infisical_iac.check.model import CheckFinding
from infisical_iac.check.repository import Repository
from infisical_iac.cli.output import console, counted, print_data
from infisical_iac.core.errors import printable

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
    for name, (usage, _) in looked.held.items():
        homes = ", ".join(each or "." for each in looked.services[name])
        counts = (str(len(usage.needed)), str(len(usage.optional)))
        table.add_row(name, printable(homes), looked.workspace.services[name].folder, *counts)
    return table


def _line(found: CheckFinding) -> Text:
    sign, style = ("· ", "dim") if found.is_note else ("✗ ", "red")
    line = Text(sign, style=style).append(printable(found.place), style="bold")
    return line.append(printable(f" {found.kind}: {found.message}"))
