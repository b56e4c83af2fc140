"""`infisical-iac eject`: list the templates, and copy one to the user's repository."""

import click

from infisical_iac.cli.output import print_table
from infisical_iac.core import overrides
from infisical_iac.core.terminal import echo


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
    name = overrides.find_template(template)
    if compares:
        echo(overrides.compare(name) or f"{name} is the same in both.")
    elif keep_mine:
        overrides.keep(name)
        echo(f"Recorded that your {name} is up to date.")
    else:
        file = overrides.eject(name)
        echo(f"Wrote {file}: edit it, and see what it changes by `infisical-iac plan`.")


def _list() -> None:
    own = {each.name: each for each in overrides.list_overrides()}
    rows = []
    for name in sorted({*overrides.list_templates(), *own}):
        mine = own.get(name)
        since = mine.origin.version if mine and mine.origin else ""
        rows.append((name, mine.state if mine else "", since))
    print_table(("Template", "Yours is", "based on"), rows)
