"""`infisical-iac migrate apply` and `verify`: write the planned secrets, and verify them later."""

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from infisical_iac.check.repository import complete
from infisical_iac.cli.migrate import plan_argument, show
from infisical_iac.cli.options import (
    FOUND,
    LocalPath,
    Lock,
    inventory_option,
    json_option,
    lock_options,
    project_file_option,
)
from infisical_iac.cli.output import print_notes
from infisical_iac.core.terminal import echo, print_data
from infisical_iac.core.wording import pluralize
from infisical_iac.migrate import plan_file, planning, report
from infisical_iac.migrate.access import inspect_access
from infisical_iac.migrate.apply import Pending, Policy, Transfer, Work, move
from infisical_iac.migrate.model import Secret
from infisical_iac.migrate.plan_file import (
    MigrationPlan,
    follow_renames,
    former_folders,
    unknown_services,
)
from infisical_iac.migrate.report import mark_verified
from infisical_iac.migrate.verify import find_changes, planned_values, read, require_held
from infisical_iac.workspace.goal import Layout, Reached
from infisical_iac.workspace.memory import locate
from infisical_iac.workspace.reach import reach


@click.command()
@plan_argument
@inventory_option
@project_file_option("--workspace-file")
@click.option(
    "--on-conflict",
    type=click.Choice(["fail", "skip", "overwrite"]),
    default="fail",
    show_default=True,
    help="What to do with keys that have another value in Infisical; `fail` writes nothing.",
)
@json_option
@lock_options
@click.pass_context
def apply(
    ctx: click.Context,
    file: Path,
    inventory: str,
    project_file: Path | None,
    on_conflict: Policy,
    as_json: bool,
    lock: Lock,
) -> None:
    """Write the plan's secrets into Infisical, read them back, and prove that they are the same.

    PLAN is the file that `migrate plan` wrote, by default migration.yaml.

    The values are read from the files again, which must not have changed since the plan. Secrets
    that Infisical has already are not written again, so the next run completes an interrupted one.
    Secrets that wait for an approval are not written again either: migration-pending.json next to
    the plan lists them. The proof is written to migration-report.html and migration-report.json
    there, without any value. Once everything is proven, missing entries are added to the
    .infisical.json of each service.

    Values that programs read differently are listed with the reading that you decided on.

    Exit status: 0 if every value came back byte for byte; 2 if some differ or wait for an approval;
    1 for an error.
    """
    plan, key = plan_file.load(file), plan_file.load_key(file)
    pending, root = Pending(file.parent, key), file.parent / plan.root
    with reach(inventory, project_file, None, lock=lock, needs_admin=False) as reached:
        plan.require_project(file, reached.desired)
        earlier, plan = plan, follow_renames(plan, reached.desired)
        secrets = planning.read_values(plan, root, key, reached.desired, str(file))
        layout = locate(reached.client, reached)
        require_held(layout, [each.name[:2] for each in secrets])
        pending.follow_renames(layout, secrets, former_folders(earlier, plan, reached.desired))
        moved = _transfer(reached, layout, secrets, on_conflict, pending, quiet=as_json)
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    data = report.build(plan, moved.proofs, moved.states, key=key, at=at, note=moved.note)
    written = report.write(data, file.parent)
    proven = data["outcome"] == "proven"
    if proven:
        written += complete(root, reached.desired, layout, reached.address)
    if as_json:
        print_data(data)
    else:
        show(_lines(plan, data))
        echo(f"Wrote {', '.join(map(str, written))}.")
        if proven:
            echo(f"Next: `infisical-iac migrate verify {file}`.")
    if moved.note:
        echo(f"Note: {moved.note}", err=True)
    ctx.exit(0 if proven else FOUND)


def _transfer(
    reached: Reached,
    layout: Layout,
    secrets: Sequence[Secret],
    policy: Policy,
    pending: Pending,
    *,
    quiet: bool,
) -> Transfer:
    console = Console(stderr=True)
    bar = Progress(console=console, transient=True, disable=quiet or not console.is_terminal)
    made: list[str] = []
    with ExitStack() as stack:
        progress = stack.enter_context(bar)
        task = progress.add_task("Writing", total=None)

        def begin(work: Work) -> None:
            progress.update(task, total=sum(len(each.items) for each in work.batches))
            if work.batches:  # The audit log has only runs that write.
                stack.enter_context(reached.recorded("workspace", made))

        def report_batch(what: str, count: int) -> None:
            made.append(what)
            progress.advance(task, count)

        return move(
            reached.client,
            layout,
            secrets,
            policy=policy,
            today=datetime.now(UTC).date(),
            pending=pending,
            begin=begin,
            report=report_batch,
        )


def _lines(plan: MigrationPlan, data: dict[str, Any]) -> Iterator[str]:
    for each in data["differences"]:
        sign = "?" if each["state"] == "pending" else "✗"
        place = f"{each['environment']}{each['folder']}/{each['key']}"
        yield f"{sign} {place} ({each['file']}:{each['line']}): {each['difference']}"
    for state, count in data["counts"].items():
        yield f"{count} {report.STATES[state]}"
    if data["skipped"]:
        yield f"{report.count_skipped(data['skipped'])} left out by decision"
    if data["deleted"]:
        keys = sum(len(each["keys"]) for each in data["deleted"])
        files = pluralize(len(data["deleted"]), "deleted file")
        yield f"{pluralize(keys, 'key')} of {files} moved before: see `migrate verify`"
    yield from plan_file.describe_cut_values(plan)
    held = sum(each["holds"] for each in data["secrets"])
    total = pluralize(len(data["secrets"]), "secret")
    sign = "✓" if data["outcome"] == "proven" else "✗"
    chosen = data["as_decided"]
    if not chosen:
        yield f"{sign} {held} of {total} read back byte for byte from {plan.project}"
        return
    rest = len(data["secrets"]) - len(chosen)
    readings = f"{rest} byte for byte, {len(chosen)} as decided"
    yield f"{sign} {held} of {total} read back from {plan.project}: {readings}"
    for each in chosen:
        yield (
            f"  {each['file']}:{each['line']} {each['key']}: {each['length']} bytes, as "
            f"{each['grammar']} reads it; other programs read it differently"
        )


@click.command()
@plan_argument
@inventory_option
@project_file_option("--workspace-file")
@click.option(
    "--credentials",
    "directory",
    type=LocalPath(exists=True, file_okay=False),
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
    is derived from the service's roles and privileges. It is always derived for other identities
    and people in the project, and for services that log in by a token of their platform: a note
    names each such service. Nothing is changed in Infisical, and no value is shown. The time of a
    success is written to migration-report.json, for `migrate clean`.

    Exit status: 0 if everything is as planned; 2 if something is not; 1 for an error, or if the
    members of the project can't be read.
    """
    plan, key = plan_file.load(file), plan_file.load_key(file)
    planned = planned_values(plan)
    with reach(inventory, project_file, None, needs_admin=False) as reached:
        plan.require_project(file, reached.desired)
        layout = locate(reached.client, reached)
        # The secrets of a renamed service are in its new folder, or still in the former one.
        renamed = planned_values(follow_renames(plan, reached.desired))
        actual = read(reached.client, layout, {each[:2] for each in (*planned, *renamed)})
        plan = follow_renames(plan, reached.desired, actual)
        expected = planned_values(plan)
        there = {name: each for name, each in expected.items() if name in actual}
        access = inspect_access(reached, layout, there, directory)
        notes = [*access.notes, *unknown_services(plan, reached.desired)]
    problems = [*find_changes(expected, actual, key), *access.problems]
    is_verified = access.is_checked and not problems
    # The report has the folders from either before or after a rename.
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
            echo(describe_next(file, plan.root))
    ctx.exit(FOUND if problems else 0 if access.is_checked else 1)


def describe_next(file: Path, root: str) -> str:
    """Return the steps that end a migration.

    Args:
        file: the plan.
        root: the directory that was migrated, relative to the directory of the plan.
    """
    directory = shlex.quote(os.path.normpath(file.parent / root))
    return (
        "Next: start each service with its secrets (`infisical-iac docs loaders`), then "
        f"`infisical-iac check`, then `infisical-iac migrate history {directory}`, then "
        f"`infisical-iac migrate clean {file}`."
    )
