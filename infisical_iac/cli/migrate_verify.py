"""`infisical-iac migrate verify`: verify the migrated secrets and the access to them."""

from datetime import UTC, datetime
from pathlib import Path

import click

from infisical_iac.cli.migrate import plan_argument, show
from infisical_iac.cli.options import FOUND, inventory_option, json_option, project_file_option
from infisical_iac.cli.output import print_notes
from infisical_iac.core.terminal import echo, print_data
from infisical_iac.core.wording import pluralize
from infisical_iac.migrate import plan_file
from infisical_iac.migrate.access import inspect_access
from infisical_iac.migrate.plan_file import follow_renames, unknown_services
from infisical_iac.migrate.report import mark_verified
from infisical_iac.migrate.verify import find_changes, planned_values, read
from infisical_iac.workspace.memory import locate
from infisical_iac.workspace.reach import reach


@click.command()
@plan_argument
@inventory_option
@project_file_option("--workspace-file")
@click.option(
    "--credentials",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Directory of the services' credentials. [default: on the inventory's host]",
)
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    file: Path,
    inventory: str,
    project_file: Path | None,
    directory: Path | None,
    as_json: bool,
) -> None:
    """Verify that every key of the plan is in Infisical, unchanged, and read by its service only.

    PLAN is the file that `migrate plan` wrote, by default migration.yaml.

    Values are compared by their hashes, so the files are not needed. Each service's access is
    tested by a login with its own credentials; with INFISICAL_API_URL and without --credentials, it
    is derived from the service's roles and privileges. The access of other identities and people in
    the project is always derived so, and that of services that log in by a token of their platform:
    a note names each. Nothing is changed in Infisical, and no value is shown. The
    time of a success is written to migration-report.json, for `migrate clean`.

    Exit status: 0 if everything is as planned; 2 if something is not; 1 for an error, or if the
    members of the project can't be read.
    """
    plan, key = plan_file.load(file), plan_file.load_key(file)
    planned = planned_values(plan)
    with reach(inventory, project_file, None, needs_admin=False) as reached:
        plan.require_project(file, reached.desired)
        layout = locate(reached.client, reached)
        # A renamed service is found by its present folder, also while that has the former name.
        renamed = planned_values(follow_renames(plan, reached.desired))
        actual = read(reached.client, layout, {each[:2] for each in (*planned, *renamed)})
        plan = follow_renames(plan, reached.desired, actual)
        expected = planned_values(plan)
        there = {name: each for name, each in expected.items() if name in actual}
        access = inspect_access(reached, layout, there, directory)
        notes = [*access.notes, *unknown_services(plan, reached.desired)]
    problems = [*find_changes(expected, actual, key), *access.problems]
    is_verified = access.is_checked and not problems
    # The report has the folders from before a rename, or those from after it.
    either = planned | expected
    mark_verified(file.parent, either, datetime.now(UTC) if is_verified else None)
    if as_json:
        checks = {"secrets": len(expected), "problems": problems}
        checks |= {"access_checked": access.is_checked}
        print_data({**checks, "readers": access.readers, "notes": notes})
    else:
        show(f"✗ {each}" for each in problems)
        sign = "✓" if is_verified else "✗"
        secrets = pluralize(len(expected), "secret")
        show([f"{sign} {secrets}, {pluralize(len(problems), 'problem')}"])
        print_notes(notes)
        if is_verified:
            echo(describe_next(file))
    ctx.exit(FOUND if problems else 0 if access.is_checked else 1)


def describe_next(file: Path) -> str:
    """Return the steps that end a migration whose plan is in `file`."""
    return (
        "Next: start each service with its secrets (`infisical-iac docs loaders`), then "
        f"`infisical-iac check`, then `infisical-iac migrate clean {file}`."
    )
