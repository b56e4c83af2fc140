"""Read the actual access to the project, in parallel as far as possible.

If nothing differs, this takes one request for the people of the organization, two for groups, two
for the deployer's own login, one for each service's client secrets, which the credentials need too,
and one for the service tokens, with the administrator's token.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from infisical_iac.agent import identities
from infisical_iac.agent.api import all_of, gather, gather_by
from infisical_iac.agent.identities import ClientSecret, client_secrets, universal_auth
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, Unreachable, UserError
from infisical_iac.workspace import foreign, privileges
from infisical_iac.workspace.foreign import AccessState, ForeignAccess
from infisical_iac.workspace.goal import Goal, pair
from infisical_iac.workspace.people_actual import in_organization, read_people
from infisical_iac.workspace.state import Actual, People, PersonState, Privilege

Json = dict[str, Any]
_NO_ACCESS = "no-access"


def find_foreign(
    client: Client,
    goal: Goal,
    actual: Actual,
    admin: Callable[[], Client] | None,
    *,
    deployer: str,
    deployer_secret: str,
) -> tuple[AccessState, list[ForeignAccess], list[str]]:
    """Return the actual access, the part that the file neither gives nor accepts, and notes."""
    access = read_access(client, goal, actual, admin, deployer)
    if access.secrets.get(access.deployer) and not foreign.own_secret(access, deployer_secret):
        unseen = (
            "client secrets of the deployer were not inspected, because several may be the one in "
            "use: revoke in Infisical those that it does not use"
        )
        access = replace(access, unseen="; ".join(filter(None, [access.unseen, unseen])))
    found = foreign.find(goal, actual, access, deployer_secret)
    return access, *foreign.filter_accepted(found, goal.desired, access)


def read_access(
    client: Client,
    goal: Goal,
    actual: Actual,
    admin: Callable[[], Client] | None,
    deployer: str,
) -> AccessState:
    """Return the actual access to the project.

    Args:
        actual: the actual state, as just read.
        admin: logs in the first administrator; None if that is impossible. Only the administrator
            sees service tokens and privileges of people. If the login fails, everything else is
            read.
        deployer: the client id that the deployer logs in with.
    """
    if not actual.project_ids:
        return AccessState(unseen=_describe_unseen(actual, actual.people_unseen))
    # The login runs in this thread: it may need the current host, which no other thread knows.
    by_admin, reason = _administrator(goal, actual, admin)
    first: list[Any] = gather(
        [
            partial(in_organization, client, actual.organization_id),
            partial(_deployer, client, actual, deployer),
            partial(_secrets_of_accounts, client, actual),
            partial(_groups, client, "/api/v1/organizations"),
        ]
    )
    people_in_organization, (own, own_secrets), secrets, groups = first
    whole = AccessState(
        deployer=own,
        people_in_organization=people_in_organization,
        secrets={**secrets, **({own: own_secrets} if own else {})},
        groups_in_organization=groups,
    )
    methods = [(id, method) for id, _, method in foreign.further_methods(actual, own)]
    of_project = partial(_in_project, client, by_admin=by_admin, reason=reason, whole=whole)
    pairs = pair(goal, actual)
    found: list[Any] = gather(
        [
            partial(gather_by, methods, partial(_since, client)),
            *(partial(of_project, *each) for each in pairs if each[1].project),
        ]
    )
    since, *states = found
    unseen = "; ".join(dict.fromkeys(each.unseen for each in states if each.unseen))
    if not goal.is_split:
        only: AccessState = states[0]
        return replace(only, since=since)
    there = [each.key for each, state in pairs if state.project]
    return replace(
        whole,
        since=since,
        unseen=unseen,
        people=_merge([each.people for each in states]),
        parts=dict(zip(there, states, strict=True)),
    )


def _merge(found: Sequence[People]) -> People:
    """Return the people of several projects, each as in the project that was joined first."""
    members: dict[str, PersonState] = {}
    for people in found:
        for email, each in people.members.items():
            known = members.setdefault(email, each)
            if each.roles != (_NO_ACCESS,) and (
                known.roles == (_NO_ACCESS,) or each.created < known.created
            ):
                members[email] = each
    return People(members, {})


def _in_project(
    client: Client,
    goal: Goal,
    actual: Actual,
    *,
    by_admin: Client | None,
    reason: str,
    whole: AccessState,
) -> AccessState:
    """Return the access to one project, with that to the organization from `whole`."""
    parts: list[Any] = gather(
        [
            partial(_identities, client, goal, actual, whole),
            partial(_by_admin, client, goal, actual, by_admin, reason),
            # Older releases have none.
            partial(client.find, f"/api/v1/secret-syncs?projectId={actual.project_id}"),
            # Without groups in the organization no project has one.
            partial(_groups, client, f"/api/v1/projects/{actual.project_id}")
            if whole.groups_in_organization
            else list,
        ]
    )
    access: AccessState
    access, (people, tokens, unseen), syncs, groups = parts
    return replace(
        access,
        people=people,
        groups=groups,
        tokens=tokens,
        syncs=syncs["secretSyncs"] if syncs else (),
        unseen="; ".join(filter(None, [unseen, access.unseen])),
    )


def _groups(client: Client, path: str) -> list[Json]:
    try:
        return all_of(client, f"{path}/memberships/groups", "groupMemberships")
    except ApiError as error:
        if error.status != 404:  # older releases have no such list
            raise
        return []


def _identities(client: Client, goal: Goal, actual: Actual, whole: AccessState) -> AccessState:
    """Return the access of the deployer's identity and of undeclared identities."""
    own = whole.deployer
    strangers = [each["identityId"] for each in foreign.find_undeclared(actual, own)]
    # In each of several projects the deployer is an admin, whose rights no privilege widens.
    holders = [*strangers, *([own] if own and not goal.key else [])]
    if not goal.grants:  # otherwise these privileges are compared with the file
        accounts = actual.accounts.values()
        holders += [each.identity.id for each in accounts if each.roles is not None]
    parts: list[Any] = gather(
        [
            partial(identities.read_all, client, strangers),
            partial(_privileges, client, goal, actual, holders),
        ]
    )
    read, (held, unseen) = parts
    return replace(
        whole,
        marked=frozenset(each.id for each in read if each.is_marked),
        privileges=held,
        unseen=unseen,
    )


def _privileges(
    client: Client, goal: Goal, actual: Actual, ids: Sequence[str]
) -> tuple[dict[str, tuple[Privilege, ...]], str]:
    """Return privileges by identity, and a sentence on why they could not be read."""

    def read(id: str) -> tuple[Privilege, ...]:
        return privileges.read_of_identity(client, id, actual.project_id, actual.project_slug)

    try:
        # One identity is read first: if the release has no privileges, that is the only request.
        first, *others = ids or [""]
        found = {first: read(first)} if first else {}
        return {**found, **gather_by(others, read)}, ""
    except ApiError as error:
        # Isolation by role or by project needs no privileges.
        if goal.grants or error.status not in (400, 403, 404):
            raise
        # Without the route there are no privileges that could widen access.
        has_route = error.status != 404 or goal.isolation != "projects"
        return {}, f"privileges of identities were not inspected: {error}" if has_route else ""


def _deployer(client: Client, actual: Actual, client_id: str) -> tuple[str, list[ClientSecret]]:
    """Return the id of the identity with a client id, and its client secrets."""
    admins = [each["identity"] for each in actual.listed.identities if each["role"] == "admin"]
    members = [each["identity"] for each in actual.listed.seats]
    # The server does not show the login of the identity that administers the instance.
    auth = partial(universal_auth, client, absent=(403, 404))
    for some in (admins, members):
        able = [each["id"] for each in some if "universal-auth" in each["authMethods"]]
        for id, found in gather_by(able, auth).items():
            if found and found.client_id == client_id:
                return id, client_secrets(client, id)
    return "", []


def _secrets_of_accounts(client: Client, actual: Actual) -> dict[str, list[ClientSecret]]:
    ids = [each.identity.id for each in actual.accounts.values() if each.auth is not None]
    return gather_by(ids, partial(client_secrets, client))


def _administrator(
    goal: Goal, actual: Actual, admin: Callable[[], Client] | None
) -> tuple[Client | None, str]:
    """Return the first administrator's client; or None, and the reason."""
    if admin is None:
        return None, "the administrator's login is not available here"
    there = [each for each in (actual, *actual.parts.values()) if each.project]
    if not all(each.admin and "admin" in each.admin.roles for each in there):
        return None, f"{goal.admin_email} is not an admin of the project yet"
    try:
        return admin(), ""
    except Unreachable:
        raise
    except UserError as error:
        return None, str(error)


def _by_admin(
    client: Client, goal: Goal, actual: Actual, by_admin: Client | None, reason: str
) -> tuple[People, list[Json], str]:
    """Return the people in the project, its service tokens, and why any were not read."""

    def people(by_admin: Client | None) -> People:
        # Without an administrator, no privileges are requested.
        seen = goal if by_admin else replace(goal, admin_email="")
        if goal.grants and actual.people:
            return actual.people
        return read_people(client, seen, lambda: by_admin or client, actual.listed.persons)

    if by_admin:
        try:
            return people(by_admin), _tokens(by_admin, actual.project_id), ""
        except Unreachable:
            raise
        except UserError as error:
            reason = str(error)
    return people(None), [], _describe_unseen(actual, reason)


def _describe_unseen(actual: Actual, reason: str) -> str:
    """Return a note on what was not read for a reason; empty without a reason."""
    if not reason:
        return ""
    left = "; people of the file are left as they are" if actual.people_unseen else ""
    return (
        "service tokens and privileges of persons, which only the first administrator sees, were "
        f"not inspected: {reason}{left}"
    )


def _tokens(by_admin: Client, project: str) -> list[Json]:
    # Newer releases may have none.
    answer = by_admin.find(f"/api/v1/projects/{project}/service-token-data")
    return answer["serviceTokenData"] if answer else []


def _since(client: Client, id_and_method: tuple[str, str]) -> str:
    id, method = id_and_method
    try:
        answer = client.get(f"/api/v1/auth/{method}/identities/{id}")
    except ApiError:  # it was listed, so it exists; only its date is unknown
        return ""
    return next((str(each["createdAt"]) for each in answer.values() if "createdAt" in each), "")
