"""Survey the secrets of a project by service and environment, for a report without a repository."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta

from infisical_iac.agent import contents
from infisical_iac.api.client import Client
from infisical_iac.check import hygiene
from infisical_iac.check.model import CheckFinding
from infisical_iac.migrate.find import mode
from infisical_iac.monitoring.model import PROBLEMS, ValueRow, ValueSurvey
from infisical_iac.stack.access_log import FolderReads
from infisical_iac.workspace.goal import Layout, slugs_of
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.stored_secrets import FoundSecrets, StoredSecret

_KINDS = [*PROBLEMS]


def version_reader(client: Client, layout: Layout) -> hygiene.ReadVersion:
    """Return a function that reads an earlier version of a secret."""

    def read(secret: StoredSecret, version: int) -> StoredSecret | None:
        project = layout.find(secret.environment, secret.folder)
        where = (project, secret.environment, secret.folder, secret.key)
        shown = contents.secret(client, *where, version=version)
        return StoredSecret.of(secret.environment, secret.folder, shown) if shown else None

    return read


def unread(
    secrets: list[StoredSecret],
    reads: FolderReads,
    layout: Layout,
    workspace: Workspace,
    now: datetime,
) -> Iterator[CheckFinding]:
    """Yield the findings on folders that nobody has read; the project file says for how long."""
    projects = {*layout.ids, workspace.project.slug, *slugs_of(workspace).values()}
    days = workspace.hygiene.unread_days
    yield from hygiene.find_unread(secrets, reads, projects, workspace, days, now)


def survey(
    listed: FoundSecrets,
    workspace: Workspace,
    now: datetime,
    read: hygiene.ReadVersion,
    not_read: Iterable[CheckFinding] = (),
) -> ValueSurvey:
    """Return the problems by service and environment, and notes on what is unknown.

    Args:
        listed: the secrets with their values.
        read: reads an earlier version of a secret.
        not_read: the findings on folders that nobody has read.
    """
    secrets = listed.secrets
    names: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for slug in (each.slug for each in workspace.environments):
        for each in _find(
            slug, secrets, {slug for _, slug in listed.refused}, workspace, now, read
        ):
            folder = each.place.removeprefix(slug).rpartition("/")[0] or "/"
            names[_service(folder, workspace), slug, each.kind].append(each.key)
    notes = [f"{each.place}: {each.message}" for each in hygiene.find_hidden(secrets)]
    for each in not_read:
        if each.is_note:
            notes.append(each.message)
            continue
        slug, _, folder = each.place.partition("/")
        names[_service(f"/{folder}", workspace), slug, each.kind].append(f"/{folder}")
    rows = [ValueRow(*place, tuple(sorted(found))) for place, found in names.items()]
    order = [each.slug for each in workspace.environments]
    rows.sort(key=lambda row: (row.service, order.index(row.environment), _KINDS.index(row.kind)))
    return ValueSurvey(rows, notes)


def oldest_read(workspace: Workspace, now: datetime) -> datetime:
    """Return the time since which the access log has to be read."""
    return now - timedelta(days=workspace.hygiene.unread_days)


def _find(
    slug: str,
    secrets: list[StoredSecret],
    refused: Collection[str],
    workspace: Workspace,
    now: datetime,
    read: hygiene.ReadVersion,
) -> Iterator[CheckFinding]:
    """Yield the findings on one environment."""
    here = [each for each in secrets if each.environment == slug]
    found = [
        *hygiene.find_old(here, workspace.hygiene.max_age, now, read),
        *hygiene.find_weak(here),
    ]
    if mode(slug) != "production":
        production = [each for each in secrets if mode(each.environment) == "production"]
        found += hygiene.find_equal([*here, *production])
    # Only keys that are missing here count.
    folders = {each.folder for each in secrets}
    others = {each.slug for each in workspace.environments} - {slug} | {*refused}
    unseen = {(other, folder) for other in others for folder in folders}
    found += hygiene.find_uneven(secrets, unseen, (), workspace)
    yield from (each for each in found if each.kind in _KINDS)


def _service(folder: str, workspace: Workspace) -> str:
    """Return the service with a folder or one above it; the folder if it has no service."""
    for name, one in workspace.services.items():
        if f"{folder}/".startswith(f"{one.folder.rstrip('/')}/"):
            return name
    return folder
