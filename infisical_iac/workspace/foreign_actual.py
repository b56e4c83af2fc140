"""Read everybody's access to the project, as much of it as possible side by side.

Where all is as the file says, that is one request for the persons of the organization, two for the
deployer's own login, one for each service's client secrets, which the credentials need too, and,
with the administrator's token, one for the service tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from infisical_iac.api import identities
from infisical_iac.api.client import Client
from infisical_iac.api.lists import gather
from infisical_iac.api.universal_auth import ClientSecret, client_secrets, universal_auth
from infisical_iac.core.errors import ApiError, Unreachable, UserError
from infisical_iac.workspace import model
from infisical_iac.workspace.foreign import EverybodysAccess, further_methods, strangers
from infisical_iac.workspace.model import Isolation, Workspace
from infisical_iac.workspace.people_actual import in_organization, read_people
from infisical_iac.workspace.state import Actual, People, Privilege

Json = dict[str, Any]


def read_access(
    client: Client,
    desired: Workspace,
    actual: Actual,
    *,
    isolation: Isolation,
    admin: Callable[[], Client] | None,
    admin_email: str,
    deployer: str,
) -> EverybodysAccess:
    """Read who can get at the project, whatever lets them.

    Args:
        client: with the token of the deployer.
        actual: as read just now.
        isolation: with `viewer`, the privilege API is not asked for anything.
        admin: logs in the first administrator, who alone sees service tokens and privileges of
            persons; None if there is no way to that login. Where it fails, all else is read.
        deployer: the client id that the deployer logs in with.

    Raises ApiError or Unreachable.
    """
    if actual.project is None:
        return EverybodysAccess(unseen=_unseen(actual, actual.people_unseen))
    # Here, for who logs it in may ask the current host, which no other thread knows.
    by_admin, reason = _administrator(actual, admin, admin_email)
    parts: list[Any] = gather(
        [
            partial(in_organization, client, actual.organization_id),
            partial(_identities, client, actual, actual.project.id, isolation, deployer),
            partial(_secrets_of_accounts, client, actual),
            partial(_by_admin, client, desired, actual, isolation, by_admin, admin_email, reason),
        ]
    )
    access: EverybodysAccess
    rulers, access, secrets, (people, tokens, unseen) = parts
    return replace(
        access,
        rulers=rulers,
        people=people,
        secrets={**secrets, **access.secrets},
        tokens=tokens,
        unseen=unseen,
    )


def _identities(
    client: Client, actual: Actual, project: str, isolation: Isolation, client_id: str
) -> EverybodysAccess:
    """Return what there is to say of the deployer's identity and of those that nobody declared."""
    own, secrets = _deployer(client, actual, client_id)
    foreign = [each["identityId"] for each in strangers(actual, own)]
    methods = [(id, method) for id, _, method in further_methods(actual, own)]
    parts: list[Any] = gather(
        [
            partial(identities.read_all, client, foreign),
            partial(_privileges, client, project, foreign if isolation == "privilege" else []),
            partial(_since, client, methods),
        ]
    )
    read, held, since = parts
    return EverybodysAccess(
        deployer=own,
        marked=frozenset(each.id for each in read if each.is_marked),
        privileges=held,
        secrets={own: secrets} if own else {},
        since=since,
    )


def _deployer(client: Client, actual: Actual, client_id: str) -> tuple[str, list[ClientSecret]]:
    """Return the id of the identity that a client id is of, and its client secrets."""
    admins = [each["identity"] for each in actual.listed.identities if each["role"] == "admin"]
    members = [each["identity"] for each in actual.listed.seats]
    for some in (admins, members):
        able = [each["id"] for each in some if "universal-auth" in each["authMethods"]]
        auths = gather([partial(_auth_or_none, client, id) for id in able])
        for id, found in zip(able, auths, strict=True):
            if found == client_id:
                return id, client_secrets(client, id)
    return "", []


def _auth_or_none(client: Client, id: str) -> str | None:
    try:
        auth = universal_auth(client, id)
    except ApiError as error:
        if error.status == 403:  # that of the identity which rules the instance
            return None
        raise
    return auth.client_id if auth else None


def _secrets_of_accounts(client: Client, actual: Actual) -> dict[str, list[ClientSecret]]:
    ids = [each.identity.id for each in actual.accounts.values() if each.auth is not None]
    return dict(zip(ids, gather([partial(client_secrets, client, id) for id in ids]), strict=True))


def _administrator(
    actual: Actual, admin: Callable[[], Client] | None, admin_email: str
) -> tuple[Client | None, str]:
    """Return the first administrator's client, or None and why there is none."""
    if admin is None:
        return None, "there is no way to the administrator's login here"
    if actual.admin is None or "admin" not in actual.admin.roles:
        return None, f"{admin_email} is no admin of the project yet"
    try:
        return admin(), ""
    except Unreachable:
        raise
    except UserError as error:
        return None, str(error)


def _by_admin(
    client: Client,
    desired: Workspace,
    actual: Actual,
    isolation: Isolation,
    by_admin: Client | None,
    admin_email: str,
    reason: str,
) -> tuple[People, list[Json], str]:
    """Return the persons in the project, its service tokens, and why some of that is not seen.

    Args:
        by_admin: the first administrator's client; None for the `reason`.
    """

    def people(by_admin: Client | None) -> People:
        # Of nobody as the administrator, no privileges are asked for.
        return actual.people or read_people(
            client,
            lambda: by_admin or client,
            organization=actual.organization_id,
            listed=actual.listed.persons,
            wanted=desired.people,
            admin_email=admin_email if by_admin and isolation == "privilege" else "",
        )

    if by_admin:
        try:
            project = actual.project.id if actual.project else ""
            return people(by_admin), _tokens(by_admin, project), ""
        except Unreachable:
            raise
        except UserError as error:
            reason = str(error)
    return people(None), [], _unseen(actual, reason)


def _unseen(actual: Actual, reason: str) -> str:
    """Return what is not looked at for a reason; nothing without one."""
    if not reason:
        return ""
    left = "; people of the file are left as they are" if actual.people_unseen else ""
    return (
        "service tokens and privileges of persons were not looked at, which the first "
        f"administrator alone sees: {reason}{left}"
    )


def _tokens(by_admin: Client, project: str) -> list[Json]:
    try:
        answer = by_admin.get(f"/api/v1/projects/{project}/service-token-data")
    except ApiError as error:
        if error.status == 404:  # a release that has none any more
            return []
        raise
    listed: list[Json] = answer["serviceTokenData"]
    return listed


def _privileges(
    client: Client, project: str, ids: Sequence[str]
) -> dict[str, tuple[Privilege, ...]]:
    reads = [
        partial(
            model.read,
            client,
            model.OF_IDENTITIES,
            {"identityId": id, "projectId": project},
        )
        for id in ids
    ]
    return dict(zip(ids, gather(reads), strict=True))


def _since(client: Client, methods: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    reads = [partial(_since_when, client, *each) for each in methods]
    return dict(zip(methods, gather(reads), strict=True))


def _since_when(client: Client, id: str, method: str) -> str:
    try:
        answer = client.get(f"/api/v1/auth/{method}/identities/{id}")
    except ApiError:  # it was listed: that it is there is what counts
        return ""
    return next((str(each["createdAt"]) for each in answer.values() if "createdAt" in each), "")
