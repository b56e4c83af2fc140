"""`infisical-iac docs` and `eject`: print a page, or copy a template, that ships with the tool."""

from difflib import get_close_matches
from pathlib import Path

import click
from rich.markdown import Markdown

from infisical_iac.cli.output import print_table
from infisical_iac.core import rendering
from infisical_iac.core.bundle import DOCS
from infisical_iac.core.errors import SettingsError
from infisical_iac.core.terminal import console, echo
from infisical_iac.core.wording import join_names


@click.command()
@click.argument("template", required=False)
@click.option(
    "--diff",
    "compares",
    is_flag=True,
    help="Show the difference between your template and the tool's.",
)
@click.option(
    "--keep-mine",
    is_flag=True,
    help="Record that your template is up to date with this version of the tool.",
)
def eject(template: str | None, compares: bool, keep_mine: bool) -> None:
    """Copy a template to templates/ of your repository, where yours replaces the tool's.

    TEMPLATE is a path such as stack/compose.yaml, or its end, such as compose.yaml; without it, all
    templates are listed. If a later version changes the original, `plan` and `apply` show the
    difference until you have run this with --keep-mine. Commit templates/ with its folder .ejected.

    Exit status: 0 for success; 1 for an error.
    """
    if template is None:
        if compares or keep_mine:
            raise click.UsageError("TEMPLATE is missing: name the template")
        _list()
        return
    if compares and keep_mine:
        raise click.UsageError("--diff and --keep-mine exclude each other: give one of them")
    name = rendering.find_template(template)
    if compares:
        echo(rendering.compare(name) or f"{name} is the same in both.")
    elif keep_mine:
        rendering.keep(name)
        echo(f"Recorded that your {name} is up to date.")
    else:
        file = rendering.eject(name)
        echo(f"Wrote {file}: edit it, and see what it changes by `infisical-iac plan`.")


def _list() -> None:
    own = {each.name: each for each in rendering.list_overrides()}
    rows = []
    for name in sorted({*rendering.list_templates(), *own}):
        mine = own.get(name)
        since = mine.origin.version if mine and mine.origin else ""
        rows.append((name, mine.state if mine else "", since))
    print_table(("Template", "Yours is", "based on"), rows)


_INDEX = "README"


@click.command()
@click.argument("page", default=_INDEX)
def docs(page: str) -> None:
    """Print a page of this version's documentation.

    PAGE is a name as in messages, such as keys, or a path, such as docs/operate/keys.md. Without
    it, the index by task is printed.

    Exit status: 0 for success; 1 for an error.
    """
    text = find_page(page).read_text("utf-8")
    terminal = console()
    if terminal.is_terminal:
        terminal.print(Markdown(text), soft_wrap=False)
    else:
        echo(text.removesuffix("\n"))


def find_page(text: str) -> Path:
    """Return the file of the page that a user means by its path, or the end of it.

    Raises SettingsError with the closest name if there is none, or with all if there are several.
    """
    names = {str(file.relative_to(DOCS).with_suffix("")): file for file in DOCS.rglob("*.md")}
    given = text.partition("#")[0].removeprefix("docs/").removesuffix(".md").strip("/")
    for name in (given, f"{given}/{_INDEX}"):
        if name in names:
            return names[name]
    found = sorted(name for name in names if name.endswith(f"/{given}"))
    if len(found) == 1:
        return names[found[0]]
    if found:
        raise SettingsError(
            f"{text!r} matches {len(found)} pages: give the path of one: {join_names(found)}",
            code="settings.page",
        )
    ends = {name.rpartition("/")[2]: name for name in sorted(names)}
    close = get_close_matches(given, [*names, *ends], n=1)
    index = "`infisical-iac docs` prints the index"
    hint = f"did you mean {ends.get(close[0], close[0])!r}?" if close else index
    raise SettingsError(f"there is no page {text!r}: {hint}", code="settings.page")
