"""Read the actual state in a few waves of parallel requests."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

from infisical_iac.agent import contents, identities
from infisical_iac.agent.api import gather, gather_by
from infisical_iac.agent.identities import client_secrets, universal_auth
from infisical_iac.api.client import Client
from infisical_iac.api.rate_limits import READS, RateClass
from infisical_iac.core.errors import SettingsError, Unreachable, UserError
from infisical_iac.workspace import environment_contents, privileges, structure
from infisical_iac.workspace.access import is_granted
from infisical_iac.workspace.credentials import is_made_for
from infisical_iac.workspace.goal import Goal, find_unnamed_parts, split
from infisical_iac.workspace.memory import find_listed, find_project, known_folders
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.oidc import METHOD, read_oidc
from infisical_iac.workspace.people_actual import (
    in_organization,
    list_people,
    memberships,
    names_of,
    person,
    read_people,
    refuse,
)
from infisical_iac.workspace.state import (
    AccountState,
    Actual,
    Duplicate,
    EnvironmentState,
    Import,
    People,
    Privilege,
    ProjectState,
    ServerLists,
    deleted_environments,
    roles_of,
)
from infisical_iac.workspace.structure import match_environments

Json = dict[str, Any]

# The requests by what they read.
# The identity, its login and its client secrets.
_OF_ACCOUNT = 3
# The list of an account's privileges in a project.
_OF_SEAT = 1
# The fields of an environment, and its folders; there are imports of each folder too.
_OF_ENVIRONMENT = 2
# One of several projects: identities, people, folders and imports; syncs and service tokens.
_OF_PROJECT = 6


def read(client: Client, goal: Goal, admin: Callable[[], Client] | None = None) -> Actual:
    """Return the actual state of everything that the project file manages.

    Args:
        client: with the token of the deployer, an admin of organization and project.
        admin: logs the first administrator in; called only if the project file names people. If
            it fails, people are left out, and everything else is read.

    Raises UserError for people who can't have their roles.
    """
    refuse(goal)
    has_privileges = not goal.apart or privileges.are_served(client)
    read_all = _read_parts if goal.is_split else _read_whole
    return replace(
        read_all(client, goal, admin, has_privileges=has_privileges), has_privileges=has_privileges
    )


def _read_whole(
    client: Client, goal: Goal, admin: Callable[[], Client] | None, *, has_privileges: bool
) -> Actual:
    """Return the actual state of an isolation with one project."""
    desired = goal.desired
    first: list[Any] = gather(
        [
            partial(find_project, client, desired.project.slug, goal.memory),
            partial(_read_organization, client),
        ]
    )
    (project, slug_holder), (organization, everybody) = first
    asked = goal.grants and bool(desired.people)
    listed = ServerLists(everybody)
    if project is None:
        seen, unseen = _people(client, goal, admin, []) if asked else (None, "")
        return Actual(
            organization,
            accounts=_accounts(client, organization, goal, listed),
            people=seen,
            people_unseen=unseen,
            elsewhere=_list_all_environments(client),
            listed=listed,
        )
    state = ProjectState.of(project)
    announce_reading(client, goal, everybody, len(project["environments"]))
    seats, persons = gather(
        [
            partial(identities.memberships, client, state.id),
            partial(memberships, client, state.id),
        ]
    )
    listed = ServerLists(everybody, seats, persons)
    environments, accounts = _environments_and_accounts(
        client,
        project,
        goal,
        partial(
            _accounts, client, organization, goal, listed, state, has_privileges=has_privileges
        ),
    )
    seen, unseen = _people(client, goal, admin, persons) if asked else (None, "")
    return Actual(
        organization_id=organization,
        project=state,
        environments=tuple(sorted(environments, key=lambda each: each.position)),
        deleted=deleted_environments(project),
        accounts=accounts,
        duplicates=_duplicates(client, desired, seats, accounts),
        admin=person(persons, goal.admin_email),
        people=seen,
        people_unseen=unseen,
        slug_holder=slug_holder,
        listed=listed,
    )


def _read_parts(
    client: Client, goal: Goal, admin: Callable[[], Client] | None, *, has_privileges: bool
) -> Actual:
    """Return the actual state of the isolation `projects`, with four requests for each project."""
    first: list[Any] = gather(
        [partial(contents.projects, client), partial(_read_organization, client)]
    )
    projects, (organization, everybody) = first
    listed = ServerLists(everybody)
    goals = split(goal)
    found = {key: find_listed(projects, each.memory) for key, each in goals.items()}
    announce_reading(client, goal, everybody, sum(bool(each) for each, _ in found.values()))
    accounts = _accounts(client, organization, goal, listed)
    people, unseen = _everybody(client, goal, organization, admin)
    own = frozenset(each.identity.id for each in accounts.values())

    def part(key: str) -> Actual:
        project, slug_holder = found[key]
        here = goals[key]
        known = {name: each for name, each in accounts.items() if name in here.desired.identities()}
        start = Actual(
            organization,
            accounts=known,
            people=people,
            slug_holder=slug_holder,
            listed=listed,
            slug=here.desired.project.slug,
            has_privileges=has_privileges,
            kin=own - {each.identity.id for each in known.values()},
        )
        if project is None:
            return start
        there = _read_part(client, here, start, project)
        # Anybody may make a project, also with the slug that this one is about to get.
        is_new = bool(goal.memory.projects) and not here.memory.project
        is_taken = is_new and _has_strangers(here, there)
        return replace(start, slug_holder=project["id"]) if is_taken else there

    by_id = {each["id"]: each for each in projects}
    left = {
        key: by_id[each.project]
        for key, each in find_unnamed_parts(goal).items()
        if each.project in by_id
    }

    def read_unnamed(key: str) -> Actual:
        id = left[key]["id"]
        persons = list_people(goal, memberships(client, id), people)
        seats = ServerLists(seats=identities.memberships(client, id))
        state = ProjectState.of(left[key])
        return Actual(organization, project=state, people=persons, listed=seats, kin=own)

    return Actual(
        organization,
        accounts=accounts,
        people=people,
        people_unseen=unseen,
        listed=listed,
        parts=gather_by(goals, part),
        unnamed=gather_by(left, read_unnamed),
    )


def _read_part(client: Client, goal: Goal, start: Actual, project: Json) -> Actual:
    """Return the state of one of several projects.

    Args:
        start: the state without the project, with the accounts in it.
        project: the project as `projects` lists it.
    """
    id, desired = project["id"], goal.desired
    seats, persons, folders = (
        identities.memberships(client, id),
        memberships(client, id),
        {
            each["slug"]: contents.folders(client, id, each["slug"])
            for each in project["environments"]
        },
    )
    members = {each["identityId"]: roles_of(each) for each in seats}
    accounts = {
        name: replace(each, roles=members.get(each.identity.id))
        for name, each in start.accounts.items()
    }
    # Here only jobs that see names have a privilege; other access is by roles.
    for name in goal.apart if start.has_privileges else ():
        there_is = accounts.get(name)
        if there_is and there_is.roles is not None:
            held = privileges.read_of_identity(client, there_is.identity.id, id, project["slug"])
            accounts[name] = replace(there_is, privileges=held)
    environments = tuple(
        EnvironmentState(each["id"], each["slug"], each["name"], position, folders[each["slug"]])
        for position, each in enumerate(project["environments"], start=1)
    )
    there = replace(
        start, project=ProjectState.of(project), environments=environments, accounts=accounts
    )
    ours = match_environments(desired, there, goal.memory.environments)
    deleted = () if ours else deleted_environments(contents.project_of(client, id))
    imports = {
        each.id: _imports(
            client,
            id,
            each,
            desired,
            known_folders(desired, there, goal.memory, slug, each),
        )
        for slug, each in ours.items()
    }
    return replace(
        there,
        environments=tuple(
            replace(each, imports=imports.get(each.id, {})) for each in environments
        ),
        deleted=deleted,
        duplicates=_duplicates(client, desired, seats, accounts),
        admin=person(persons, goal.admin_email),
        people=list_people(goal, persons, start.people),
        listed=replace(start.listed, seats=seats, persons=persons),
    )


def _has_strangers(goal: Goal, actual: Actual) -> bool:
    """Return whether a project has members other than ours and admins of the organization."""
    everybody = actual.listed.identities
    admins = {each["identity"]["id"] for each in everybody if each["role"] == "admin"}
    known = {goal.admin_email.lower(), *goal.desired.people}
    return any(
        each["identityId"] not in {*admins, *actual.own, *actual.kin}
        for each in actual.listed.seats
    ) or any(known.isdisjoint(names_of(each["user"])) for each in actual.listed.persons)


def _everybody(
    client: Client, goal: Goal, organization: str, admin: Callable[[], Client] | None
) -> tuple[People, str]:
    """Return the people of the organization, and why the administrator can't invite others."""
    if not goal.desired.people:
        return People({}, {}), ""
    usernames = {
        name: user["username"]
        for user in (each["user"] for each in in_organization(client, organization))
        for name in names_of(user)
    }
    unseen = ""
    if {*goal.desired.people} - {goal.admin_email.lower(), *usernames}:
        unseen = _find_refusal(admin)
    return People({}, usernames), unseen


def _people(
    client: Client, goal: Goal, admin: Callable[[], Client] | None, listed: list[Json]
) -> tuple[People | None, str]:
    """Return the people; or None, and why the administrator can't log in to see them all."""
    log_in = cache(admin) if admin else None
    if len(listed) > 1 or {*goal.desired.people} - {goal.admin_email.lower()}:
        unseen = _find_refusal(log_in)
        if unseen:
            return None, unseen
    return read_people(client, goal, log_in, listed), ""


def _find_refusal(admin: Callable[[], Client] | None) -> str:
    """Log the administrator in, if that is possible here, and return why the login fails.

    The login runs in this thread: it may need the current host, which no other thread knows. Raises
    SettingsError and Unreachable, as another login would not help.
    """
    try:
        if admin:
            admin()
    except (SettingsError, Unreachable):
        raise
    except UserError as error:
        return str(error)
    return ""


def _read_organization(client: Client) -> tuple[str, list[Json]]:
    """Return the id of the organization, and its identities as the server lists them."""
    organization = identities.organization_id(client)
    return organization, identities.in_organization(client, organization)


def _list_all_environments(client: Client) -> dict[str, str]:
    return {
        environment["id"]: project["slug"]
        for project in contents.projects(client)
        for environment in project["environments"]
    }


def _environments_and_accounts(
    client: Client, project: Json, goal: Goal, accounts: Callable[[], dict[str, AccountState]]
) -> tuple[list[EnvironmentState], dict[str, AccountState]]:
    if any(service.renamed_from for service in goal.desired.services.values()):
        # The former folder of a renamed service is found in the privilege of its identity.
        found = accounts()
        return _environments(client, project, goal, found), found
    both: list[Any] = gather([partial(_environments, client, project, goal, {}), accounts])
    return both[0], both[1]


def _environments(
    client: Client, project: Json, goal: Goal, accounts: Mapping[str, AccountState]
) -> list[EnvironmentState]:
    id, desired, memory = project["id"], goal.desired, goal.memory
    read = gather(partial(_read_environment, client, id, each) for each in project["environments"])
    there = Actual("", environments=tuple(read), accounts=accounts)
    ours = match_environments(desired, there, memory.environments)
    known = [known_folders(desired, there, memory, slug, each) for slug, each in ours.items()]
    imports = gather(
        partial(_imports, client, id, each, desired, folders)
        for each, folders in zip(ours.values(), known, strict=True)
    )
    imported = {each.id: found for each, found in zip(ours.values(), imports, strict=True)}
    return [replace(each, imports=imported.get(each.id, {})) for each in read]


def _read_environment(client: Client, project: str, listed: Json) -> EnvironmentState:
    slug = listed["slug"]
    detail = client.get(f"/api/v1/projects/{project}/environments/slug/{slug}")["environment"]
    found = contents.folders(client, project, slug)
    return EnvironmentState(listed["id"], slug, detail["name"], detail["position"], found)


def _imports(
    client: Client,
    project: str,
    there: EnvironmentState,
    desired: Workspace,
    known: Mapping[str, str],
) -> dict[str, list[Import]]:
    now = structure.match_folders(desired, there.folders, known)
    importing = {each for service in desired.services.values() for each in service.readable}
    read = partial(environment_contents.read_imports, client, project, there.slug)
    here = [each for each in sorted(importing) if each in now]
    return gather_by(here, lambda each: read(now[each]))


def _accounts(
    client: Client,
    organization: str,
    goal: Goal,
    listed: ServerLists,
    project: ProjectState | None = None,
    *,
    has_privileges: bool = True,
) -> dict[str, AccountState]:
    names = goal.desired.identities()
    everybody = [each["identity"] for each in listed.identities]
    own = identities.find_all(client, organization, names, goal.memory.identities, everybody)
    desired = {each.identity: each for each in goal.desired.every_account()}
    members = {each["identityId"]: roles_of(each) for each in listed.seats}

    def read_account(name: str) -> AccountState:
        identity, account = own[name], desired[name]
        auth, oidc = None, None
        if account.auth is None:
            auth = universal_auth(client, identity.id) if identity.has_universal_auth else None
        elif METHOD in identity.auth_methods:
            oidc = read_oidc(client, identity.id)
        roles = members.get(identity.id)
        held: tuple[Privilege, ...] = ()
        is_held = has_privileges and is_granted(account, goal.isolation)
        if project and roles is not None and is_held:
            held = privileges.read_granting(client, identity.id, project.id, project.slug)
        return AccountState(identity, auth, roles, held, oidc)

    return gather_by(own, read_account)


def _duplicates(
    client: Client,
    desired: Workspace,
    seats: Sequence[Json],
    accounts: Mapping[str, AccountState],
) -> tuple[Duplicate, ...]:
    """Return other identities in the project that have the name of an account's identity.

    The account's own identity is the one that the host remembers, or else the oldest with this
    project's mark. An identity without the mark is a duplicate only if this project made a client
    secret for it: anybody may give an identity any name.
    """
    own = {each.identity.id for each in accounts.values()}
    ours = {account.identity: account for account in desired.every_account()}
    listed = [
        each["identityId"]
        for each in seats
        if each["identity"]["name"] in accounts and each["identityId"] not in own
    ]

    def duplicate(identity: identities.Identity) -> Duplicate:
        held = client_secrets(client, identity.id) if identity.has_universal_auth else []
        made = [each.id for each in held if is_made_for(ours[identity.name], each)]
        return Duplicate(identity.id, identity.name, tuple(made))

    found = gather_by(identities.read_all(client, listed), duplicate)
    return tuple(each for it, each in found.items() if it.is_marked or each.secrets)


def announce_reading(
    client: Client, goal: Goal, listed: Sequence[Mapping[str, Any]], places: int
) -> None:
    """Print how long reading the project takes, if that is long.

    Args:
        listed: the identities of the organization, as the server lists them.
        places: the number of environments of the project, or of projects if there are several.
    """
    names = {name for pair in goal.desired.identities().items() for name in pair}
    accounts = sum(each["identity"]["name"] in names for each in listed)
    client.limiter.announce(count_reads(goal, accounts, places), "reading the project")


def count_reads(goal: Goal, accounts: int, places: int) -> Counter[RateClass]:
    """Return the number of requests that reading takes."""
    declared = goal.desired.accounts()
    reads = accounts * _OF_ACCOUNT
    if goal.is_split:
        seats = sum(len(each.readable) for each in declared)
        reads += accounts * seats * _OF_SEAT // max(1, len(declared)) + places * _OF_PROJECT
        seen = sum(not each.sees_values for each in goal.desired.jobs())
        reads += seen * places * _OF_SEAT
    else:
        folders = {folder for each in declared for folder in each.readable}
        reads += accounts * _OF_SEAT
        reads += places * (_OF_ENVIRONMENT + len(folders))
    return Counter({READS: reads})
