"""Identities that were made a second time, because the first was no longer recognized.

The one that the host remembers counts, and elsewhere the oldest with this project's mark. Of the
others no more is taken away than what this project gave them in this project of Infisical.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from infisical_iac.api import identities
from infisical_iac.api.client import Client
from infisical_iac.api.identities import Identity
from infisical_iac.api.lists import gather
from infisical_iac.api.universal_auth import client_secrets, universal_auth_path
from infisical_iac.workspace.change import Call, Change
from infisical_iac.workspace.credentials import description
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.state import AccountState, Duplicate


def find_duplicates(
    client: Client,
    desired: Workspace,
    project: str,
    members: Sequence[Mapping[str, Any]],
    accounts: Mapping[str, AccountState],
) -> tuple[Duplicate, ...]:
    """Return the members of a project that have the name of an account and are not the account.

    Without this project's mark it is one only if this project made a client secret for it:
    anybody may give an identity any name.

    Args:
        members: as the server lists them.
        accounts: what counts, by name.

    Raises ApiError or Unreachable.
    """
    counting = {each.identity.id for each in accounts.values()}
    listed = [
        each["identityId"]
        for each in members
        if each["identity"]["name"] in accounts and each["identityId"] not in counting
    ]
    found = identities.read_all(client, listed)
    held = gather([partial(_secrets, client, desired, each) for each in found])
    return tuple(
        Duplicate(each.id, each.name, secrets)
        for each, secrets in zip(found, held, strict=True)
        if each.is_marked or secrets
    )


def _secrets(client: Client, desired: Workspace, identity: Identity) -> tuple[str, ...]:
    if not identity.has_universal_auth:
        return ()
    ours = {
        description(account) for account in desired.accounts() if account.identity == identity.name
    }
    return tuple(
        each.id for each in client_secrets(client, identity.id) if each.description in ours
    )


def removals(project: str, duplicates: Sequence[Duplicate]) -> Iterator[tuple[str, Change]]:
    """Yield the id of each duplicate, and the end of its access to a project."""
    for each in duplicates:
        path = universal_auth_path(each.id)
        calls = (
            *(Call("POST", (path, "client-secrets", id, "revoke"), {}) for id in each.secrets),
            # Its privileges go with it.
            Call("DELETE", ("/api/v1/projects", project, "memberships/identities", each.id)),
        )
        count = len(each.secrets)
        secrets = f" and {count} client secret{'' if count == 1 else 's'}" if count else ""
        detail = f"membership{secrets} of {each.id}"
        yield each.id, Change("-", f"access of the duplicate {each.name}", detail, calls)
