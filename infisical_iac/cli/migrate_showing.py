"""Share options, and lines for people, between the commands of a migration."""

from collections.abc import Iterable
from pathlib import Path

import click
from rich.text import Text

from infisical_iac.cli.output import console, echo
from infisical_iac.core.errors import printable
from infisical_iac.migrate import git
from infisical_iac.migrate.git import GitError
from infisical_iac.migrate.plan_file import PLAN_FILE

workspace_file_option = click.option(
    "--workspace-file",
    type=click.Path(path_type=Path),
    help="The workspace file [default: the setting workspace_file]",
)
paths_argument = click.argument(
    "paths",
    nargs=-1,
    required=True,
    metavar="PATH...",
    type=click.Path(exists=True, path_type=Path),
)
plan_argument = click.argument(
    "file",
    metavar="[PLAN]",
    default=PLAN_FILE,
    type=click.Path(path_type=Path, dir_okay=False),
)

_STYLES = {"+": "green", "~": "yellow", "-": "red", "✗": "red", "?": "cyan", "✓": "green"}


def show(lines: Iterable[str], *, stderr: bool = False) -> None:
    """Print lines, each in the color of the sign that it begins with."""
    to = console(stderr=stderr)
    for line in lines:
        to.print(Text(printable(line), style=_STYLES.get(line[:1], "")))


def note_exposed(key: Path) -> None:
    """Tell if git would take the key of the hashes in: whoever has it can try values out."""
    try:
        is_exposed = git.top(key.parent) is not None and not git.is_ignored(key)
    except GitError:
        return
    if is_exposed:
        echo(f"Note: git would add {key.name}: name it in .gitignore", err=True)
