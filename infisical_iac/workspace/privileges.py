"""The additional privileges that identities and persons have in a project."""

from typing import Any

from infisical_iac.api.client import Client
from infisical_iac.workspace.state import Privilege

OF_IDENTITIES = "/api/v2/identity-project-additional-privilege"
OF_PERSONS = "/api/v1/user-project-additional-privilege"


def read(client: Client, path: str, holder: dict[str, Any]) -> tuple[Privilege, ...]:
    """All privileges that somebody has.

    Args:
        client: for those of persons, with the administrator's own token.
        path: one of the above.
        holder: whose they are, as the query says it.

    Raises ApiError or Unreachable.
    """
    listed = client.get(path, params=holder)["privileges"]
    return tuple(_read(client, f"{path}/{each['id']}") for each in listed)


def _read(client: Client, path: str) -> Privilege:
    # Only the answer for a single one tells its permissions.
    read = client.get(path)["privilege"]
    return Privilege(
        read["id"],
        read["slug"],
        read["isTemporary"],
        tuple(read["permissions"]),
        read.get("createdAt", ""),
    )
