"""`infisical-iac migrate`: move secrets from .env files into Infisical, with proof."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from infisical_iac.cli.main import LazyGroup
from infisical_iac.cli.options import (
    FOUND,
    LocalPath,
    json_option,
    name_inventory,
    project_file_option,
)
from infisical_iac.core.errors import printable
from infisical_iac.core.terminal import console, echo, print_data
from infisical_iac.core.wording import join_names, pluralize
from infisical_iac.migrate import cleaning, git, plan_file, summary
from infisical_iac.migrate.earlier_plan import FoundPlan, find_plans, mark_decided, moved_names
from infisical_iac.migrate.findings import ENCRYPTED, safe_name
from infisical_iac.migrate.model import FileFinding, Source
from infisical_iac.migrate.plan_file import PLAN_FILE, PlannedSource
from infisical_iac.migrate.planning import read_again
from infisical_iac.migrate.sources import find_own_files, scan_all, trees
from infisical_iac.migrate.summary import PERSONAL_FILE, SummaryLine, fold_conflicts
from infisical_iac.workspace.load import declared_file, load
from infisical_iac.workspace.model import Workspace


@click.group(
    cls=LazyGroup,
    summaries={
        "scan": "Find .env files, their service and environment, and problems.",
        "plan": "Write a plan of what goes where, for review.",
        "apply": "Write the secrets into Infisical, and read them back.",
        "verify": "Verify that every key of the plan is there, unchanged.",
        "history": "Search the history of git for the values.",
        "clean": "Delete the .env files that were verified.",
    },
    module="migrate_{}",
    modules={"scan": "migrate", "verify": "migrate_apply"},
)
def migrate() -> None:
    """Move the .env files of a repository into Infisical, byte for byte, with proof.

    In this order: `scan` lists the files and their problems. `plan` writes migration.yaml for
    review. `apply` writes the secrets and reads them back. `verify` checks them at any later time.
    `history` lists the values that were ever committed and must be rotated. `clean` deletes the
    files. No value is ever shown.
    """


paths_argument = click.argument(
    "paths",
    nargs=-1,
    required=True,
    metavar="PATH...",
    type=LocalPath(exists=True),
)
plan_argument = click.argument(
    "file", metavar="[PLAN]", default=PLAN_FILE, type=LocalPath(dir_okay=False)
)

_STYLES = {"+": "green", "~": "yellow", "-": "red", "✗": "red", "?": "cyan", "✓": "green"}


def show(lines: Iterable[str], *, stderr: bool = False) -> None:
    """Print lines, each in the color of its first character."""
    to = console(stderr=stderr)
    for line in lines:
        to.print(Text(printable(line), style=_STYLES.get(line[:1], "")))


def note_exposed(key: Path) -> None:
    """Print a note if git would add the key of the hashes: with it, values can be guessed."""
    if git.would_add(key):
        echo(f"Note: git would add {key.name}: add it to .gitignore", err=True)


@click.command()
@paths_argument
@name_inventory(help="The inventory; its settings name the project file.", connects=False)
@project_file_option("--workspace-file")
@click.option(
    "--keys", is_flag=True, help="Also list each key, with its line and the hash of its value."
)
@json_option
@click.pass_context
def scan(
    ctx: click.Context,
    paths: tuple[Path, ...],
    inventory: str,
    project_file: Path | None,
    keys: bool,
    as_json: bool,
) -> None:
    """Find the .env files of each PATH, with their service, environment and problems.

    A PATH is a directory, with all directories below it, or a single file. Decisions to make (✗)
    come first. Keys that look like plain configuration, or that the sample lacks, are listed once
    for each file; --json lists every finding. A file that `migrate apply` has proven, and that is
    unchanged since, is one line. Decisions that are already made, in a migration.yaml in the
    working directory or at the top of PATH, are shown as notes. Nothing is changed, and no value is
    ever shown. With --keys or --json, values are identified by length and by a hash; the key of the
    hash is written to ./migration.key.

    Exit status: 0 if nothing has to be decided before the migration; 2 if something has; 1 for an
    error.
    """
    file = project_file or declared_file(inventory)
    workspace = load(file)
    slug = workspace.project.slug
    plans = [*find_plans([Path.cwd(), *(each.root for each in trees(paths))], slug)]
    left_out = frozenset(file for each in plans for file in each.left_out)
    moved = {name for each in plans for name in moved_names(each.plan, each.directory)}
    sources = scan_all(paths, workspace, left_out, moved)
    sources = _mark_migrated(sources, paths, workspace, plans)
    sources = _mark_decided(sources, paths, workspace, plans)
    exit_status = FOUND if _blocking(sources) else 0
    if as_json:
        key = read_hash_key()
        print_data([_data(each, key) for each in sources])
    else:
        sources = _fold_findings(sources)
        if sources:
            _print_decisions(sources)
            console().print(_table(sources))
        else:
            echo(f"There is no .env file to move in {printable(join_names(paths))}.")
        if keys:
            _print_keys(sources, read_hash_key())
        if sources:
            _print_notes(sources)
        if own := find_own_files(trees(paths)):
            echo(f"Left out, as personal overrides are not migrated: {printable(', '.join(own))}")
    if not all(each.service for each in sources):
        _note_sample(file)
    ctx.exit(exit_status)


_MIGRATED = "migrated-file"


def _plans_of(plans: Sequence[FoundPlan], root: Path) -> list[FoundPlan]:
    """Return the plans that are in the working directory, or at the top of a tree."""
    return [each for each in plans if each.directory in (Path.cwd().resolve(), root.resolve())]


def _mark_migrated(
    sources: Sequence[Source],
    paths: Sequence[Path],
    workspace: Workspace,
    plans: Sequence[FoundPlan],
) -> list[Source]:
    """Return the sources. The only finding on a proven, unchanged file is a note.

    A proven source is read with the grammar in the plan, because a service that starts by a loader
    of this project no longer shows how the file was read. The report of the migration and the plan
    count if they are in the working directory or in that of a tree.
    """
    found = trees(paths)
    marked = {each.path: each for each in sources}
    for tree in found:
        place = f"{tree.root.as_posix()}/" if len(found) > 1 else ""
        planned = {
            path: source
            for plan in _plans_of(plans, tree.root)
            for path, source in plan.by_path(tree.root).items()
        }
        directories, slug = (Path.cwd(), tree.root), workspace.project.slug
        for path in cleaning.proven_keys(tree.root, directories, slug):
            if each := marked.get(f"{place}{path}"):
                before = planned.get(path)
                marked[each.path] = _as_migrated(each, path, tree.root, workspace, before)
    return list(marked.values())


def _as_migrated(
    source: Source, path: str, root: Path, workspace: Workspace, planned: PlannedSource | None
) -> Source:
    if planned:
        layers = (planned.loader, planned.layers)
        read = replace(source, path=path)
        read = read_again(read, planned.grammar, "", root, workspace, *layers)
        source = replace(read, path=source.path)
    message = "Its secrets are in Infisical, as `migrate apply` proved."
    remedy = "Delete it, once its service starts by a loader: `infisical-iac migrate clean`."
    note = FileFinding(source.path, 0, _MIGRATED, "", message, remedy, False)
    return replace(source, why="migrated already", findings=(note,))


def _mark_decided(
    sources: Sequence[Source],
    paths: Sequence[Path],
    workspace: Workspace,
    plans: Sequence[FoundPlan],
) -> list[Source]:
    """Return the sources, with findings that a plan has decided turned into notes."""
    found = trees(paths)
    marked = {each.path: each for each in sources}
    for tree in found:
        place = f"{tree.root.as_posix()}/" if len(found) > 1 else ""
        for each in _plans_of(plans, tree.root):
            for path, planned in each.by_path(tree.root).items():
                source = marked.get(f"{place}{path}")
                if source and not any(one.kind == _MIGRATED for one in source.findings):
                    here = replace(source, path=path)
                    here = mark_decided(here, planned, each.key, tree.root, workspace)
                    findings = tuple(replace(one, file=source.path) for one in here.findings)
                    marked[source.path] = replace(here, path=source.path, findings=findings)
    return list(marked.values())


def _fold_findings(sources: Sequence[Source]) -> list[Source]:
    """Return the sources, with one finding for a personal file and all its conflicts."""
    waiting = {
        each.target for each in sources for one in each.findings if one.kind == PERSONAL_FILE
    }
    return [
        replace(each, findings=tuple(fold_conflicts(each.findings)))
        if each.target in waiting
        else each
        for each in sources
    ]


def _note_sample(project_file: Path) -> None:
    """Report a project file that `init` has not written yet."""
    # This loads all settings, which a scan does not need.
    from infisical_iac.init.repository import is_sample

    if is_sample(project_file):
        echo(
            f"Note: {project_file} still declares sample services: run `infisical-iac init` first, "
            "which declares yours",
            err=True,
        )


def read_hash_key() -> bytes:
    """Return the working directory's key of the hashes of values; make one if there is none."""
    file = Path(plan_file.KEY_FILE)
    key = plan_file.load_or_make(file)
    note_exposed(file)
    return key


def _blocking(sources: Sequence[Source]) -> int:
    return sum(found.blocking for each in sources for found in each.findings)


def _data(source: Source, key: bytes) -> dict[str, Any]:
    names = ("path", "service", "environment", "folder", "grammar", "why", "release", "layers")
    return {
        **{name: getattr(source, name) for name in names},
        "keys": list(_keys(source, key)),
        "findings": [asdict(each) for each in source.findings],
    }


def _keys(source: Source, key: bytes) -> Iterator[dict[str, Any]]:
    for name, value in source.reading.values.items():
        yield {
            "key": safe_name(name, value),
            "line": source.line(name),
            "bytes": len(plan_file.encode(value)),
            "hash": plan_file.digest(key, value),
        }


def _table(sources: Sequence[Source]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("file", no_wrap=True)
    for name in ("service", "environment", "folder", "grammar and why"):
        table.add_column(name, overflow="fold")
    table.add_column("keys", justify="right")
    table.add_column("findings", justify="right")
    for each in sources:
        place = (each.service or "?", each.environment or "?", each.folder or "?")
        is_not_read = any(one.kind in (_MIGRATED, ENCRYPTED) for one in each.findings)
        grammar = each.why if is_not_read else f"{each.grammar}: {each.reason}"
        counts = (len(each.reading.values), len(each.findings))
        table.add_row(*map(_cell, (each.path, *place, grammar, *counts)))
    return table


def _cell(value: object) -> Text:
    return Text(printable(str(value)))


def _print_keys(sources: Sequence[Source], key: bytes) -> None:
    for each in sources:
        console().print(Text(f"\n{printable(each.path)}", style="bold"))
        table = Table(box=None)
        for name in ("line", "key", "bytes", "hash"):
            table.add_column(name, justify="left" if name in ("key", "hash") else "right")
        for one in _keys(each, key):
            table.add_row(*(_cell(one[name]) for name in ("line", "key", "bytes", "hash")))
        console().print(table)


def _print_decisions(sources: Sequence[Source]) -> None:
    lines = [line for each in sources for line in summary.decisions(each.findings)]
    for line in lines:
        console().print(_line("✗ ", "red", line))
    if lines:
        console().print()


def _print_notes(sources: Sequence[Source]) -> None:
    found = (line for each in sources for line in summary.notes(each.findings))
    lines, remedies = summary.group(found)
    lines += summary.list_shared(sources)
    lines += summary.differences(found for each in sources for found in each.findings)
    if lines:
        console().print()
    for line in lines:
        console().print(_line("· ", "dim", line))
    for remedy, kinds in remedies.items():
        console().print(Text(printable(f"→ {', '.join(kinds)}: {remedy}")))
    count = sum(len(summary.decisions(each.findings)) for each in sources)
    summary_line = "Nothing has to be decided before the migration."
    if count:
        decisions = pluralize(count, "decision")
        summary_line = (
            f"{decisions} (✗, at the top) to make. `infisical-iac migrate plan` with the same "
            "directory writes the file in which you make them."
        )
    console().print(f"\n{pluralize(len(sources), 'file')}. {summary_line}")


def _line(sign: str, style: str, line: SummaryLine) -> Text:
    text = Text(sign, style=style)
    text.append(printable(line.place), style="bold")
    return text.append(printable(f" {line.about}: {line.text}"))
