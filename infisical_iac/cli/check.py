"""`infisical-iac check`: check a repository of services for secrets and missing keys."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.core import ParameterSource
from rich.table import Table
from rich.text import Text

from infisical_iac.agent.api import gather_by
from infisical_iac.agent.contents import is_visible
from infisical_iac.check import hygiene, model, usage
from infisical_iac.check.env_files import MIGRATED, TRACKED, UNTRACK
from infisical_iac.check.model import CheckFinding, Judged, summarize
from infisical_iac.check.repository import Repository, complete
from infisical_iac.check.sarif import as_sarif
from infisical_iac.check.survey import oldest_read, unread, version_reader
from infisical_iac.check.usage import find_outdated, write_samples
from infisical_iac.cli.options import (
    FOUND,
    LocalPath,
    inventory_option,
    json_option,
    project_file_option,
)
from infisical_iac.core import atomic, bundle
from infisical_iac.core.errors import printable
from infisical_iac.core.terminal import as_json as as_json_text
from infisical_iac.core.terminal import console, echo, print_data
from infisical_iac.core.wording import join_first, join_names, pluralize
from infisical_iac.migrate import git
from infisical_iac.workspace.environment_contents import Names
from infisical_iac.workspace.goal import Layout, Reached
from infisical_iac.workspace.load import declared_file, load
from infisical_iac.workspace.memory import locate
from infisical_iac.workspace.reach import reach
from infisical_iac.workspace.stored_secrets import StoredSecret, read_secrets

_NAMED = 10  # The most files that one line names: a person has to remove each.
_OFFLINE = (
    "Keys were not compared with Infisical: leave out --offline to do so, once it is deployed."
)


def print_json(repository: Repository, judged: Judged, seen: "_Readable | None") -> None:
    """Print the findings as JSON, and the age of each secret and of its value.

    Args:
        seen: the secrets read from Infisical; None if it was not queried.
    """
    now = datetime.now(UTC)
    print_data(
        {
            "services": repository.services,
            "compared_with_infisical": seen is not None,
            "secrets": [
                {
                    "environment": each.environment,
                    "folder": each.folder,
                    "key": each.key,
                    "version": each.version,
                    "days_since_change": (now - each.changed).days,
                    "days_with_value": (now - age.since).days,
                    "may_be_older": age.is_least,
                }
                for each, age in (seen.ages.items() if seen else ())
            ],
            "findings": [_data(each) for each in judged.findings if not each.is_note],
            "notes": [_data(each) for each in judged.findings if each.is_note],
            "accepted": [{**_data(each), "reason": reason} for each, reason in judged.accepted],
        }
    )


def _data(finding: CheckFinding) -> dict[str, Any]:
    left_out = ("is_note", "cause")  # only the text merges the findings of a cause
    return {key: value for key, value in asdict(finding).items() if key not in left_out}


def print_text(
    repository: Repository, judged: Judged, *, is_compared: bool, only_here: bool = False
) -> None:
    """Print the services, the findings, the notes, and last the remedies that several share.

    Args:
        is_compared: whether keys were compared with Infisical.
        only_here: whether notes on services that are not in the repository are only counted.
    """
    to = console()
    to.print(_table(repository))
    to.print()
    shown = [
        each
        for each in judged.findings
        if not (only_here and each.is_note) or repository.is_about_services_here(each.place)
    ]
    lines, remedies = summarize(_merge_files(shown))
    for line in sorted(lines, key=lambda each: each.finding.is_note):
        to.print(_line(line.finding, line.text))
    for remedy, kinds in remedies.items():
        to.print(Text(printable(f"→ {', '.join(kinds)}: {remedy}")))
    if judged.accepted:
        to.print(Text(f"{pluralize(len(judged.accepted), 'finding')} accepted.", style="dim"))
    if left := len(judged.findings) - len(shown):
        notes = f"{pluralize(left, 'note')} on services that are not here: --json lists them."
        to.print(Text(notes, style="dim"))
    if not is_compared:
        to.print(Text(f"? {_OFFLINE}", style="cyan"))
    found = sum(not each.finding.is_note for each in lines)
    sign, style = ("✗", "red") if found else ("✓", "green")
    to.print(Text(f"{sign} {pluralize(found, 'finding')}", style=style))


def _merge_files(found: Sequence[CheckFinding]) -> list[CheckFinding]:
    """Return the findings, merged into one on migrated files and one on other tracked files."""
    found = _merge_migrated(found)
    tracked = [each for each in found if each.kind == TRACKED]
    if len(tracked) < 2:
        return found
    message = f"Git tracks these {len(tracked)} files. {UNTRACK}"
    merged = CheckFinding(TRACKED, join_first([e.place for e in tracked], _NAMED), "", message)
    return [merged if each is tracked[0] else each for each in found if each not in tracked[1:]]


def _merge_migrated(found: Sequence[CheckFinding]) -> list[CheckFinding]:
    """Return the findings, with all findings on migrated files merged into one."""
    migrated = [each for each in found if each.kind == MIGRATED]
    places = {each.place for each in migrated}
    tracked = [each for each in found if each.kind == TRACKED and each.place in places]
    rest = [each for each in found if each not in migrated and each not in tracked]
    if not migrated:
        return rest
    message = migrated[0].message
    is_unready = any(each.kind in ("no-loader", "no-package") for each in found)
    if len(migrated) > 1 or is_unready:
        what = "it" if len(migrated) == 1 else f"the {len(migrated)} files"
        when = ", once the services below have a loader" if is_unready else ""
        message = (
            f"{'Its' if len(migrated) == 1 else 'Their'} secrets are in Infisical, as `migrate "
            f"apply` proved. Delete {what}{when}: `infisical-iac migrate clean`."
        )
    if tracked:
        files = pluralize(len(tracked), "file")
        message += f" It takes {files} out of git's index."
    named = ", ".join(each.place for each in migrated[:_NAMED])
    more = f" and {len(migrated) - _NAMED} more" if len(migrated) > _NAMED else ""
    return [CheckFinding(MIGRATED, f"{named}{more}", "", message), *rest]


def _table(repository: Repository) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("service", "directory", "folder"):
        table.add_column(name, overflow="fold")
    for name in ("keys needed", "optional"):
        table.add_column(name, justify="right")
    for name, (reads, _) in repository.code_by_service.items():
        homes = ", ".join(each or "." for each in repository.services[name])
        counts = (str(len(reads.needed)), str(len(reads.optional)))
        table.add_row(name, printable(homes), repository.workspace.services[name].folder, *counts)
    return table


def _line(found: CheckFinding, text: str) -> Text:
    sign, style = ("· ", "dim") if found.is_note else ("✗ ", "red")
    line = Text(sign, style=style).append(printable(found.place), style="bold")
    return line.append(printable(f" {found.kind}: {text}"))


@click.command()
@click.argument(
    "repository",
    metavar="[REPO]",
    default=".",
    type=LocalPath(exists=True, file_okay=False),
)
@inventory_option
@project_file_option("--workspace-file")
@click.option("--offline", is_flag=True, help="Check the files only, without asking Infisical.")
@click.option(
    "--fix",
    is_flag=True,
    help="First correct each .infisical.json and .env.example.",
)
@click.option(
    "--values",
    is_flag=True,
    help="Also read values, to find weak, equal and old ones; no value is shown.",
)
@click.option(
    "--sarif",
    type=LocalPath(dir_okay=False),
    help="Also write the findings to this file as SARIF, for code scanning.",
)
@json_option
@click.pass_context
def check(
    ctx: click.Context,
    repository: Path,
    inventory: str,
    project_file: Path | None,
    offline: bool,
    fix: bool,
    values: bool,
    sarif: Path | None,
    as_json: bool,
) -> None:
    """Check that a repository of services holds no secret, and that Infisical has every key that
    the code reads, and no others.

    It reads `.env` files and ignore rules, each service's loader and .infisical.json, and the keys
    that the code reads, in every environment. From Infisical it reads only names and times, unless
    you give --values. How old secrets may get is in the project file, as `hygiene`. Exceptions are
    in REPO/.infisical-check.yaml, each with a reason. If you name a REPO, notes on services that
    are not in it are only counted; --json lists them.

    Exit status: 0 if nothing was found; 2 if something was; 1 for an error.
    """
    if offline and (fix or values):
        needs = "--fix needs the project's id from Infisical" if fix else "--values needs Infisical"
        raise click.UsageError(f"{needs}: leave out --offline")
    layout, address, seen = Layout(), "", None
    if offline:
        # This loads all settings, which the comparison with Infisical does not need.
        from infisical_iac.init.repository import is_sample

        file = project_file or declared_file(inventory)
        inspected = Repository(repository, load(file), is_sample=is_sample(file))
    else:
        with reach(inventory, project_file, None, needs_admin=False) as reached:
            workspace, address = reached.desired, reached.address
            layout = locate(reached.client, reached, partly=True)
            slugs = [each.slug for each in workspace.environments]
            listed = read_secrets(reached.client, layout, slugs, values=values)
            if fix:
                written = complete(repository, workspace, layout, address)
                written += write_samples(
                    repository, Repository(repository, workspace).find_samples()
                )
                if written:
                    echo(f"Wrote {join_names(written)}.", err=True)
            inspected = Repository(repository, workspace)
            names = _names(listed.secrets)
            unseen = _find_unseen(reached, layout, inspected, names, listed.refused)
            read_version = cache(version_reader(reached.client, layout)) if values else None
            ages = _find_ages(listed.secrets, read_version) if as_json else {}
            seen = _Readable(listed.secrets, names, unseen, ages)
            found = _findings(inspected, layout, address, seen)
            found += _find_hygiene(reached, layout, seen, found, read_version)
    if offline:
        found = _findings(inspected, layout, address, None)
    judged = model.judge(found, inspected.exceptions(), model.NAME)
    if sarif:
        _write_sarif(sarif, inspected, judged)
    if as_json:
        print_json(inspected, judged, seen)
    else:
        is_given = ctx.get_parameter_source("repository") is not ParameterSource.DEFAULT
        print_text(inspected, judged, is_compared=seen is not None, only_here=is_given)
    ctx.exit(FOUND if any(not each.is_note for each in judged.findings) else 0)


class _Readable(NamedTuple):
    """The secrets that this login may see.

    Attributes:
        unseen: the folders that it may not read.
        ages: the age of each value; empty if it was not asked for.
    """

    secrets: Sequence[StoredSecret]
    names: Names
    unseen: Collection[usage.Place]
    ages: Mapping[StoredSecret, hygiene.Age]


def _find_ages(
    secrets: Iterable[StoredSecret], read: hygiene.ReadVersion | None
) -> dict[StoredSecret, hygiene.Age]:
    first = datetime.min.replace(tzinfo=UTC)
    return gather_by(secrets, lambda each: hygiene.find_age(each, read, first))


def _names(secrets: Iterable[StoredSecret]) -> Names:
    names: dict[tuple[str, str], list[str]] = {}
    for each in secrets:
        names.setdefault((each.environment, each.folder), []).append(each.key)
    return names


def _find_hygiene(
    reached: Reached,
    layout: Layout,
    seen: _Readable,
    found: Sequence[CheckFinding],
    read_version: hygiene.ReadVersion | None,
) -> list[CheckFinding]:
    """Return the findings on the secrets themselves.

    Args:
        found: the findings so far.
        read_version: reads an earlier version of a secret; None if no values were read.
    """
    rules, secrets, now = reached.desired.hygiene, seen.secrets, datetime.now(UTC)
    more = [*hygiene.find_old(secrets, rules.max_age, now, read_version)]
    if read_version:
        more += hygiene.find_equal(secrets)
        more += hygiene.find_weak(secrets)
        more += hygiene.find_hidden(secrets)
    more += hygiene.find_uneven(secrets, seen.unseen, found, reached.desired)
    if rules.unread_days and reached.read_accesses:
        reads = reached.read_accesses(oldest_read(reached.desired, now))
        more += unread([*secrets], reads, layout, reached.desired, now)
    elif rules.unread_days:
        message = "Unread folders were not searched: name the host with -i to read its access log."
        more.append(CheckFinding("not-checked", "hygiene", "", message, is_note=True))
    return more


def _write_sarif(file: Path, repository: Repository, judged: Judged) -> None:
    folders = {
        each: name for name, one in repository.workspace.services.items() for each in one.readable
    }
    folders |= {one.folder: name for name, one in repository.workspace.services.items()}
    root = repository.root.resolve()
    prefix = root.relative_to(git.top(root) or root).as_posix()
    log = as_sarif(
        judged.findings,
        judged.accepted,
        repository.services,
        folders,
        bundle.version(),
        "" if prefix == "." else prefix,
    )
    with atomic.explain_failure(file):
        atomic.write(file, as_json_text(log, indent=2) + "\n")


def _find_unseen(
    reached: Reached,
    layout: Layout,
    repository: Repository,
    names: Names,
    refused: Collection[tuple[str, str]],
) -> set[usage.Place]:
    """Return the folders with keys of services that this login may not read."""

    def is_hidden(doubt: tuple[usage.Place, str]) -> bool:
        (slug, folder), key = doubt
        project = layout.find(slug, folder)
        if not project or (project, slug) in refused:
            return True
        return not is_visible(reached.client, project, slug, folder, key)

    doubts = [*usage.find_doubtful(repository.code_by_service, names, repository.workspace)]
    return {place for (place, _), hidden in gather_by(doubts, is_hidden).items() if hidden}


def _findings(
    repository: Repository, layout: Layout, address: str, seen: _Readable | None
) -> list[CheckFinding]:
    names = seen.names if seen else None
    found = [*repository.files(names), *repository.starts(layout, address)]
    held = repository.code_by_service
    for name, (reads, _) in held.items():
        dynamic = f"{name} reads keys here whose names were not checked: only a run shows them."
        found += (CheckFinding("dynamic-read", each, "", dynamic, True) for each in reads.dynamic)
        found += (
            CheckFinding("not-checked", path, "", why, True) for path, why in reads.unread.items()
        )
    found += repository.find_absent()
    found += find_outdated(repository.find_samples())
    if seen is not None:
        found += usage.find_unseen(seen.unseen)
        found += usage.find_missing(held, seen.names, repository.workspace, seen.unseen)
        found += usage.find_unused(held, repository.elsewhere(), seen.names, repository.workspace)
    return found
