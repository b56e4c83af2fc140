"""Find the readers of migrated secrets: services by a login, others by their grants."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from infisical_iac.agent.api import gather
from infisical_iac.api import login
from infisical_iac.core.errors import ApiError, UserError
from infisical_iac.migrate import verify
from infisical_iac.migrate.model import Name
from infisical_iac.migrate.verify import (
    Expected,
    Seen,
    merge,
    of_services,
    readers,
    unintended_reads,
)
from infisical_iac.workspace import credential_file, credentials, people_actual
from infisical_iac.workspace.goal import Layout, Reached
from infisical_iac.workspace.model import ServiceAccount
from infisical_iac.workspace.people_actual import Member

_NOT_ASKED = (
    "no service logged in to test its access, which is judged by roles and privileges only, "
    "because at a URL the services' credentials are not known: give --credentials the directory of "
    "their <service>.<environment>.env files"
)
# Only a platform's own jobs and pods have its tokens, so nobody else can log in as these services.
_BY_TOKEN = (
    "{identity}: its access is not tested by a login, which takes its platform's token ({claims}), "
    "but judged by its roles and privileges"
)
_NO_ADMIN = (
    "only an administrator who is in the project sees privileges; at a URL, set "
    "INFISICAL_ADMIN_EMAIL and INFISICAL_ADMIN_PASSWORD"
)


@dataclass(frozen=True)
class MovedAccess:
    """The access to migrated secrets.

    Attributes:
        problems: sentences on members that read too much or too little, or could not be checked.
        readers: the members of the projects, as data for JSON.
        notes: sentences on checks that were impossible.
        is_checked: whether the members of the projects could be listed.
    """

    problems: list[str]
    readers: list[dict[str, Any]]
    notes: list[str]
    is_checked: bool = True


def inspect_access(
    reached: Reached, layout: Layout, expected: Mapping[Name, Expected], directory: Path | None
) -> MovedAccess:
    """Return the access to the secrets of a plan.

    The readers of a secret are members of the project that holds it.

    Args:
        layout: the projects that hold the secrets.
        directory: the directory of the services' credentials; None for those on the host. A URL
            has none.

    Raises UserError, except if the deployer may not list the members.
    """
    seen: Seen = {}
    problems: list[str] = []
    notes = [_NOT_ASKED]
    if directory is not None or reached.remember is not None:
        seen, problems = _ask_services(reached, layout, expected, directory)
        notes = [
            _BY_TOKEN.format(identity=each.identity, claims=each.auth)
            for each in reached.desired.accounts()
            if each.auth is not None
        ]
    held = _by_project(layout, expected)
    try:
        present, unseen = _members(reached, [*held])
    except ApiError as error:
        if error.status != 403:
            raise
        problems += verify.access(expected, reached.desired, seen, reached.isolation)
        return MovedAccess(
            problems, [], [*notes, f"other readers could not be listed: {error}"], False
        )
    found = merge(
        each
        for project, names in held.items()
        for each in readers(present[project], names, reached.desired, seen)
    )
    services = {**of_services(found, reached.desired), **seen}
    problems += verify.access(expected, reached.desired, services, reached.isolation)
    problems += unintended_reads(found, reached.desired)
    return MovedAccess(problems, [each.data for each in found], [*notes, *unseen])


def _by_project(
    layout: Layout, expected: Mapping[Name, Expected]
) -> dict[str, dict[Name, Expected]]:
    """Return the secrets by the id of their project; a single project holds all of them."""
    found: dict[str, dict[Name, Expected]] = {layout.whole: {}} if layout.whole else {}
    for name, each in expected.items():
        if project := layout.find(*name[:2]):
            found.setdefault(project, {})[name] = each
    return found


def _members(
    reached: Reached, projects: Sequence[str]
) -> tuple[Mapping[str, list[Member]], list[str]]:
    """Return the members by project, and a note on those whose privileges are unknown."""
    machines = people_actual.list_member_identities(
        reached.client, reached, projects, reached.deployer
    )
    people = partial(people_actual.list_member_people, reached.client, reached, projects)
    why = _NO_ADMIN
    try:
        persons = people(reached.admin if reached.has_admin else None)
    except UserError as error:
        persons, why = people(None), str(error)
    unseen = {
        each.name
        for some in persons.values()
        for each in some
        if each.part != "administrator" and each.privileges is None
    }
    note = f"{', '.join(sorted(unseen))}: judged by roles only, without privileges: {why}"
    return {each: [*machines[each], *persons[each]] for each in projects}, [note] if unseen else []


def _ask_services(
    reached: Reached, layout: Layout, expected: Mapping[Name, Expected], directory: Path | None
) -> tuple[Seen, list[str]]:
    """Return the secrets that each service reads, and a sentence on each that could not log in."""
    accounts = [each for each in reached.desired.accounts() if each.auth is None]
    texts = [_credentials(each, directory) for each in accounts]

    def ask(text: str) -> set[Name] | str:
        """Return the secrets that a service reads, or a sentence on why that is unknown."""
        credential = credential_file.parse(text)
        if credential is None:
            return "its credentials file is missing, malformed, or can't be read"
        anonymous = reached.client.with_token("")
        try:
            client = login.universal(anonymous, credential.client_id, credential.client_secret)
            return verify.ask(client, layout, expected)
        except UserError as error:
            return str(error)

    seen, failed = {}, []
    for account, answer in zip(accounts, gather([partial(ask, t) for t in texts]), strict=True):
        if isinstance(answer, str):
            failed.append(
                f"{account.identity}: its access could not be tested by a login: {answer}"
            )
        else:
            seen[account.identity] = answer
    return seen, failed


def _credentials(account: ServiceAccount, directory: Path | None) -> str:
    # A service that is renamed by the next apply has its file under the former name.
    names = [f"{name}.env" for name in (account.credentials, account.former_credentials) if name]
    if directory is None:
        from infisical_iac.core.remote import run

        command = "".join(f"cat {credentials.DIRECTORY}/{name} 2>/dev/null || " for name in names)
        # `run` strips the end of the last line.
        return run(f"{command}true", doing=f"read {credentials.path(account)}") + "\n"
    for name in names:
        with suppress(OSError):
            return (directory / name).read_text("utf-8", errors="replace")
    return ""
