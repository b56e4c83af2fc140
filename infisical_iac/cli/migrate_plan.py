"""`infisical-iac migrate plan`: write a plan of each key's place in Infisical, for review."""

import os
import posixpath
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from infisical_iac.cli.migrate import note_exposed, paths_argument, show
from infisical_iac.cli.options import (
    FOUND,
    LocalPath,
    inventory_option,
    json_option,
    project_file_option,
)
from infisical_iac.cli.output import print_notes
from infisical_iac.core import atomic
from infisical_iac.core.errors import Refused
from infisical_iac.core.terminal import echo, print_data
from infisical_iac.core.wording import pluralize
from infisical_iac.migrate import (
    cascades,
    cleaning,
    earlier_plan,
    find,
    plan_file,
    planning,
    verify,
)
from infisical_iac.migrate.apply import Comparison, Work, compare, pack
from infisical_iac.migrate.comparison import PERSONAL_CONFLICT
from infisical_iac.migrate.model import BLOCKING, Name, Secret, Source, Stored
from infisical_iac.migrate.plan_file import (
    KEY_FILE,
    PLAN_FILE,
    MigrationPlan,
    PlannedFinding,
    PlannedSource,
    follow_renames,
    load_or_make,
)
from infisical_iac.migrate.planning import apply_chosen_grammars
from infisical_iac.migrate.sources import scan_all, trees
from infisical_iac.migrate.summary import PERSONAL_FILE, describe_personal_file, explain
from infisical_iac.workspace.goal import Reached
from infisical_iac.workspace.memory import locate
from infisical_iac.workspace.reach import reach

_NAMED = 20  # The most new keys of a file that are listed; the plan has all.


@click.command()
@paths_argument
@inventory_option
@project_file_option("--workspace-file")
@click.option(
    "--output",
    type=LocalPath(dir_okay=False),
    default=PLAN_FILE,
    show_default=True,
    help="File of the plan; the key of its hashes is written next to it.",
)
@click.option(
    "--allow-literal-references",
    "allow_literal",
    is_flag=True,
    help="Store values that contain ${...}, which Infisical expands for readers that ask for "
    "expanded values.",
)
@json_option
@click.pass_context
def plan(
    ctx: click.Context,
    paths: tuple[Path, ...],
    inventory: str,
    project_file: Path | None,
    output: Path,
    allow_literal: bool,
    as_json: bool,
) -> None:
    """Write a plan of the place in Infisical for each key in the .env files of each PATH.

    The plan has a decision for each key: change those that you don't agree with, and make those
    that are undecided. They are printed first, with the edit for each choice. When you plan again,
    your decisions on unchanged keys are kept. Each file is read with the grammar that you wrote; an
    unchanged file that is already migrated, with the grammar of its migration. Files that were
    migrated and then deleted stay in the plan, so that `migrate verify` and `migrate history` still
    cover their secrets. The plan holds no values, and no value is shown. Nothing is changed in
    Infisical.

    Exit status: 0 if Infisical has everything already; 2 if something is to be written or decided;
    1 for an error.
    """
    earlier = plan_file.load(output) if output.exists() else None
    with reach(inventory, project_file, None, needs_admin=False) as reached:
        slug = reached.desired.project.slug
        former = earlier
        if earlier:
            _refuse_to_forget(output, earlier, slug)
            earlier = follow_renames(earlier, reached.desired)
        roots = [each.root for each in trees(paths)]
        gone = earlier_plan.deleted_directories(earlier, output.parent) if earlier else []
        root = planning.common([*roots, *gone])
        left_out = planning.find_left_out(earlier, output.parent) if earlier else ()
        moved = earlier_plan.moved_names(earlier, output.parent) if earlier else ()
        found = _below(root, roots, scan_all(paths, reached.desired, left_out, moved))
        if earlier:
            earlier = earlier_plan.rebase(earlier, output.parent, root)
            present = {each.path for each in found}
            earlier_plan.refuse_unknown_targets(earlier, present, reached.desired, output.name)
        proven = cleaning.proven_keys(root, [output.parent], slug) if earlier else {}
        sources = apply_chosen_grammars(found, earlier, root, reached.desired, proven)
        made = planning.make(
            sources,
            project=slug,
            root=Path(os.path.relpath(root, output.parent)).as_posix(),
            key=load_or_make(output.parent / KEY_FILE),
            allow_literal=allow_literal,
            earlier=earlier,
        )
        deleted = [*earlier_plan.find_deleted(earlier, sources, root)] if earlier else []
        secrets = planning.secrets(sources, made)
        stored = _read_stored(reached, secrets, deleted)
        slugs = [each.slug for each in reached.desired.environments]
        kept = earlier_plan.keep_deleted(deleted, made, stored, slugs)
        made = made.model_copy(update={"sources": (*made.sources, *kept.sources)})
        compared = _compare(secrets, made, stored)
        duration = _describe_duration(reached, compared)
    with atomic.explain_failure(output):
        # Atomically, as the earlier file holds people's decisions.
        atomic.write(output, plan_file.dump(made))
    undecided = any(_list_undecided(made))
    if as_json:
        print_data(_data(made, compared))
    else:
        show(_lines(made, compared))
        task = "decide the lines with ? at the top" if undecided else "review it"
        if any(each.decision == "undecided" for each in made.sources):
            task += ", plan again"  # the decision changes how the files are read
        echo(f"Wrote {output}; {task}, then run `infisical-iac migrate apply {output}`.")
    print_notes(_describe_left(former, output.parent, root, sources, kept.lost))
    print_notes(filter(None, [duration]))
    note_exposed(output.parent / KEY_FILE)
    ctx.exit(FOUND if compared.new or compared.changed or undecided else 0)


def _below(root: Path, roots: Sequence[Path], sources: Sequence[Source]) -> list[Source]:
    """Return the sources with paths relative to their common directory, `root`."""
    start = roots[0] if len(roots) == 1 else Path()
    return [
        replace(each, path=Path(os.path.abspath(start / each.path)).relative_to(root).as_posix())
        for each in sources
    ]


def _refuse_to_forget(output: Path, earlier: MigrationPlan, slug: str) -> None:
    """Raise Refused if the new plan could not cover the deleted files of an earlier one."""
    gone = earlier_plan.deleted_directories(earlier, output.parent)
    key = output.parent / KEY_FILE
    if not gone:
        return
    files = pluralize(len(gone), "deleted file")
    if earlier.project != slug:
        raise Refused(
            f"{output} covers {files} of the project {earlier.project}, which a plan for {slug} "
            f"would forget: give --output FILE, in another directory, or remove {output} if nobody "
            "needs it",
            code="refused.earlier_migration",
        )
    if not key.exists():
        raise Refused(
            f"{output} covers {files}, but the key of its hashes, {key}, is missing: bring it "
            f"back, or remove {output} if nobody needs it",
            code="refused.earlier_migration",
        )


def _read_stored(
    reached: Reached, secrets: Sequence[Secret], deleted: Sequence[PlannedSource]
) -> Mapping[Name, Stored]:
    layout = locate(reached.client, reached)
    known = {each.slug for each in reached.desired.environments}
    present = {each.name[:2] for each in secrets if each.name.environment in known}
    verify.require_held(layout, present)
    gone = {each.target for each in deleted if each.environment in known}
    return verify.read(reached.client, layout, present | gone)


def _compare(
    secrets: Sequence[Secret], made: MigrationPlan, stored: Mapping[Name, Stored]
) -> Comparison:
    """Return the comparison with Infisical; `only_there` lacks secrets of deleted files."""
    compared = compare(secrets, stored)
    planned = verify.planned_values(made)
    only_there = tuple(each for each in compared.only_there if each not in planned)
    return replace(compared, only_there=only_there)


def _describe_duration(reached: Reached, compared: Comparison) -> str:
    """Return a sentence on how long `migrate apply` takes with rate limits; empty if not long."""
    batches = pack(compared.new, (), {}, datetime.now(UTC).date())
    due = Work((), tuple(batches), {}).count_requests(len({each.environment for each in batches}))
    return reached.client.limiter.describe(due, "`migrate apply`")


def _describe_left(
    earlier: MigrationPlan | None,
    directory: Path,
    root: Path,
    sources: Sequence[Source],
    lost: Sequence[str],
) -> Iterator[str]:
    """Yield a note on files of the earlier plan that the new plan no longer has.

    Args:
        lost: the paths of deleted files that have no key in Infisical.
    """
    planned = {Path(os.path.abspath(root / each.path)) for each in sources}
    left = earlier_plan.find_unplanned(earlier, directory, planned) if earlier else []
    if left:
        yield (
            f"the earlier plan had {', '.join(left)} too: plan again with all paths, or give "
            "--output FILE, in another directory, for a second plan"
        )
    for path in lost:
        yield (
            f"{path} was deleted and Infisical has none of its keys: it is no longer in the plan"
        )


def _list_undecided(made: MigrationPlan) -> Iterator[str]:
    """Yield the decisions to make; one on a personal file replaces those on its conflicts."""
    undecided_files = [each for each in made.sources if each.decision == "undecided"]
    waiting = {each.target for each in undecided_files if find.is_personal(_name(each))}
    for source in made.sources:
        if source.decision == "skip":
            continue
        folded = {PERSONAL_CONFLICT} if source.target in waiting else set()
        if source.decision == "undecided":
            yield f"? {source.path}: {_explain(_describe_conflicts(source))}"
        for name, each in source.keys.items():
            left = [one for one in each.findings if one.kind not in folded]
            is_folded = len(left) < len(each.findings) and not _explain(left)
            if each.decision == "undecided" and not is_folded:
                yield f"? {source.path}:{each.line} {name}: {_explain(left)}"


def _describe_conflicts(source: PlannedSource) -> list[PlannedFinding]:
    """Return the findings on a file. One on a personal file gives the number of its conflicts."""
    of_keys = (one for each in source.keys.values() for one in each.findings)
    conflicts = sum(one.kind == PERSONAL_CONFLICT for one in of_keys)
    return [
        one.model_copy(update={"message": describe_personal_file(one.message, conflicts)})
        if one.kind == PERSONAL_FILE
        else one
        for one in source.findings
    ]


def _name(source: PlannedSource) -> str:
    return posixpath.basename(source.path)


def _explain(findings: Sequence[PlannedFinding]) -> str:
    return explain([each for each in findings if each.kind in BLOCKING])


def _lines(made: MigrationPlan, compared: Comparison) -> Iterator[str]:
    undecided = [*_list_undecided(made)]
    yield from undecided
    if undecided:
        yield ""
    open_files = {each.path for each in made.sources if each.decision == "undecided"}
    for source in made.sources:
        place = f"{source.environment or '?'}{source.folder or '/?'}"
        if source.deleted:
            stored = pluralize(len(source.stored_keys), "key")
            yield f"{source.path} → {place}: {stored} moved before, the file is deleted"
            continue
        left = _count_skipped(source, open_files) if source.decision != "skip" else ""
        keys = "skipped" if source.decision == "skip" else pluralize(len(source.keys), "key") + left
        yield f"{source.path} → {place}: {keys}, as {source.grammar} ({source.reason})"
    yield from _new(compared.new)
    yield from (
        f"~ {each.name} ({each.file}:{each.line}) has another value in Infisical"
        for each in compared.changed
    )
    yield from (f"  {each} is only in Infisical, and stays" for each in compared.only_there)
    yield from plan_file.describe_cut_values(made)
    yield (
        f"{len(compared.new)} new, {len(compared.same)} the same, {len(compared.changed)} changed, "
        f"{len(compared.only_there)} only in Infisical, {len(undecided)} to be decided"
    )


def _count_skipped(source: PlannedSource, open_files: Collection[str]) -> str:
    """Return the numbers of skipped keys, and of keys that wait for a decision on another file."""
    skipped = [each for each in source.keys.values() if each.decision == "skip"]
    others = {*cascades.paths(source)} - {source.path}
    kinds = () if others.isdisjoint(open_files) else (cascades.PERSONAL_OVERRIDE,)
    depending = sum(any(one.kind in kinds for one in each.findings) for each in skipped)
    counts = ((len(skipped) - depending, "skipped"), (depending, "undecided by a personal file"))
    return "".join(f", {count} {state}" for count, state in counts if count)


def _new(secrets: Sequence[Secret]) -> Iterator[str]:
    """Yield the names of new secrets, with one line for each file and place."""
    for (environment, folder, file), group in groupby(
        secrets, key=lambda each: (*each.name[:2], each.file)
    ):
        keys = [each.name.key for each in group]
        named = ", ".join(keys[:_NAMED])
        more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
        yield f"+ {environment}{folder} ({file}): {named}{more}"


def _data(made: MigrationPlan, compared: Comparison) -> dict[str, Any]:
    return {
        "plan": made.model_dump(mode="json"),
        "new": [str(each.name) for each in compared.new],
        "same": [str(each.name) for each in compared.same],
        "changed": [str(each.name) for each in compared.changed],
        "only_in_infisical": [str(each) for each in compared.only_there],
        "undecided": [each.removeprefix("? ") for each in _list_undecided(made)],
    }
