"""`infisical-iac migrate history`: search git repositories for values of secrets."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from infisical_iac.cli.options import (
    FOUND,
    LocalPath,
    inventory_option,
    json_option,
    project_file_option,
)
from infisical_iac.core.errors import UserError
from infisical_iac.core.terminal import console, print_data
from infisical_iac.core.wording import pluralize
from infisical_iac.migrate import git, plan_file, verify
from infisical_iac.migrate.history import (
    Commit,
    HistoryPlace,
    Hit,
    Searched,
    rotations,
    search,
    write_hashes,
)
from infisical_iac.migrate.plan_file import PLAN_FILE
from infisical_iac.migrate.search_terms import (
    KnownValues,
    SearchTerms,
    in_env_files,
    in_files,
    with_stored,
)
from infisical_iac.workspace.memory import locate
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.reach import reach


def lines(
    searched: Sequence[Searched],
    terms: SearchTerms,
    command: str,
    unknown: Mapping[str, str],
    *,
    lists_skipped: bool = False,
) -> Iterator[str]:
    """Yield the result as lines: what was found, what was skipped, and what to do.

    Args:
        unknown: the values that are gone or can't be read, with the reason.
        lists_skipped: whether each value that is too common to search for has a line.
    """
    for each in searched:
        yield f"{each.repository}: {each.objects:,} objects, {each.size / 1e6:,.1f} MB"
        for label, hits in groupby(each.hits, key=lambda hit: hit.label):
            yield f"  {label}"
            yield from (f"    {_where(hit)}, {hit.form}" for hit in hits)
    for label, reason in unknown.items():
        yield f"{label} was not searched for: {reason}"
    if lists_skipped:
        yield from (f"Skipped {label}: {reason}" for label, reason in terms.skipped.items())
    elif terms.skipped:
        verb = "is" if len(terms.skipped) == 1 else "are"
        yield (
            f"{pluralize(len(terms.skipped), 'value')} {verb} too common to search for: "
            "`infisical-iac migrate history --skipped` lists them."
        )
    found = rotations(searched)
    yield f"{len(found)} of {pluralize(len(terms.searched), 'value')} found."
    if found:
        yield "Rotate these first:"
    for rotation in found:
        since = f"in history since {rotation.since}" if rotation.since else "in no commit"
        yield f"  {rotation.label}: {since}, {', '.join(rotation.repositories)}"
    if command:
        yield "Then, to rewrite the history, run in a fresh clone of each repository:"
        yield f"  {command}"


def as_data(
    searched: Sequence[Searched], terms: SearchTerms, command: str, unknown: Mapping[str, str]
) -> dict[str, Any]:
    """Return the result as data for JSON."""
    return {
        "repositories": [
            {
                "path": str(each.repository),
                "objects": each.objects,
                "bytes": each.size,
                "hits": [_hit(hit) for hit in each.hits],
            }
            for each in searched
        ],
        "searched": terms.searched,
        "skipped": {**terms.skipped, **unknown},
        "rotate": [
            {"label": each.label, "since": each.since, "repositories": each.repositories}
            for each in rotations(searched)
        ],
        "filter_repo": command,
    }


def _hit(hit: Hit) -> dict[str, Any]:
    place = hit.place
    return {
        "label": hit.label,
        "form": hit.form,
        "kind": hit.kind,
        "path": hit.path,
        "objects": hit.objects,
        "commits": place.commits if place else 0,
        "first": _commit(place.first) if place else None,
        "last": _commit(place.last) if place else None,
    }


def _commit(commit: Commit) -> dict[str, str]:
    return {"commit": commit.name, "date": commit.date}


def _where(hit: Hit) -> str:
    if hit.kind == "tag":
        return f"message of a tag ({_short(hit.objects)})"
    if hit.place is None:
        return f"{hit.kind} in no commit ({_short(hit.objects)})"
    if hit.kind == "commit":
        return f"message in {_span(hit.place)}"
    if hit.kind == "file name":
        return f"name of a file in {hit.path or 'the root'}, in {_span(hit.place)}"
    return f"{hit.path}, in {_span(hit.place)}"


def _span(place: HistoryPlace) -> str:
    first, last = (f"{each.name[:12]} ({each.date})" for each in (place.first, place.last))
    return (
        f"commit {first}" if place.commits == 1 else f"{place.commits} commits, {first} to {last}"
    )


def _short(objects: Sequence[str]) -> str:
    more = f" and {len(objects) - 3} more" if len(objects) > 3 else ""
    return f"object {', '.join(name[:12] for name in objects[:3])}{more}"


@click.command()
@click.argument(
    "repositories",
    metavar="REPO...",
    nargs=-1,
    required=True,
    type=LocalPath(exists=True, file_okay=False),
)
@click.option(
    "--plan",
    type=LocalPath(exists=True, dir_okay=False),
    help=f"The plan with the values to search for. [default: {PLAN_FILE} here, or in a REPO]",
)
@inventory_option
@project_file_option("--workspace-file")
@click.option(
    "--env-file",
    "env_files",
    multiple=True,
    type=LocalPath(exists=True, dir_okay=False),
    help="Instead of a plan: a file with the values to search for; may be given again.",
)
@click.option(
    "--grammar", default="dotenv", show_default=True, help="Grammar of the files of --env-file."
)
@click.option(
    "--filter-repo",
    type=LocalPath(dir_okay=False),
    help="Write the hashes of all file versions that hold a value to this file, for "
    "git-filter-repo.",
)
@click.option(
    "--skipped",
    "lists_skipped",
    is_flag=True,
    help="List the values that are too common to search for, each with the reason.",
)
@json_option
@click.pass_context
def history(
    ctx: click.Context,
    repositories: Sequence[Path],
    plan: Path | None,
    inventory: str,
    project_file: Path | None,
    env_files: Sequence[Path],
    grammar: str,
    filter_repo: Path | None,
    lists_skipped: bool,
    as_json: bool,
) -> None:
    """Search all objects of each git repository REPO for the values, and list what must be rotated.

    A REPO that is in no repository stands for all repositories below it.

    The search covers every branch, tag, stash, reflog and unreferenced object, for each value in
    plain text, in base64, URL-encoded and JSON-escaped. Short and common values are skipped:
    --skipped lists their keys. No value is ever shown. The values are those of the plan: from the
    files, or from Infisical once the files are deleted.

    Exit status: 0 if nothing is found; 2 if something is; 1 for an error.
    """
    if plan and env_files:
        raise UserError("--plan and --env-file exclude each other: give one of them")
    if env_files:
        known = KnownValues(in_env_files(env_files, grammar))
    else:
        known = _read_plan_values(plan or _plan_file(repositories), inventory, project_file)
    terms = SearchTerms(known.values)
    searched = [search(repository, terms) for repository in _find_repositories(repositories)]
    command = write_hashes(filter_repo, searched) if filter_repo else ""
    if as_json:
        print_data(as_data(searched, terms, command, known.unknown))
    else:
        to = console()
        found = lines(searched, terms, command, known.unknown, lists_skipped=lists_skipped)
        for line in found:
            to.print(Text(line))
    ctx.exit(FOUND if any(each.hits for each in searched) else 0)


def _find_repositories(directories: Sequence[Path]) -> list[Path]:
    """Return the repositories of these directories, or below them, each once."""
    found = (each for directory in directories for each in git.repositories(directory))
    return [*{each.resolve(): each for each in found}.values()]


def _plan_file(repositories: Sequence[Path]) -> Path:
    places = [each / PLAN_FILE for each in (Path(), *repositories)]
    file = next((each for each in places if each.is_file()), None)
    if file is None:
        raise UserError(
            f"there is no {PLAN_FILE} here or in {' or '.join(map(str, repositories))}: name the "
            "plan with --plan, or files with --env-file",
            code="error.no_values",
        )
    return file


def _read_plan_values(file: Path, inventory: str, project_file: Path | None) -> KnownValues:
    """Return the values of a plan; those that no file has any more are read from Infisical."""
    plan, key = plan_file.load(file), plan_file.load_key(file)
    known = in_files(plan, file.parent / plan.root, key)
    if not known.moved:
        return known
    with reach(inventory, project_file, None, needs_admin=False) as reached:
        plan.require_project(file, reached.desired)
        layout = locate(reached.client, reached)
        places = {each.name[:2] for each in known.moved.values()}
        places |= _importable(known, reached.desired)
        return with_stored(known, verify.read(reached.client, layout, places), key)


def _importable(known: KnownValues, workspace: Workspace) -> set[tuple[str, str]]:
    """Return the places that services with lost values read, where somebody may have put them."""
    lost = {each.name[:2] for each in known.lost.values()}
    return {
        (slug, readable)
        for slug, folder in lost
        for service in workspace.services.values()
        if service.folder == folder
        for readable in service.readable
    }
