"""`infisical-iac docs`: print a page of the documentation that ships with the tool."""

from difflib import get_close_matches
from pathlib import Path

import click
from rich.markdown import Markdown

from infisical_iac.core.bundle import DOCS
from infisical_iac.core.errors import SettingsError
from infisical_iac.core.terminal import console, echo
from infisical_iac.core.wording import join_names

_INDEX = "README"


@click.command()
@click.argument("page", default=_INDEX)
def docs(page: str) -> None:
    """Print a page of this version's documentation.

    PAGE is a path as messages name it, such as docs/operate/keys.md, or its end, such as keys.
    Without it, the index by task is printed.

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
