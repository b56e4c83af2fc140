"""Grant additional privileges to identities, and compare their permissions."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from infisical_iac.agent.api import ApiClient

# The name of the privilege by which an identity reads its folders.
PRIVILEGE = "read-own-folder"
OF_IDENTITIES = "/api/v2/identity-project-additional-privilege"
OF_PERSONS = "/api/v1/user-project-additional-privilege"


def list_privileges(client: ApiClient, path: str, holder: Mapping[str, Any]) -> list[Any]:
    """Return all privileges of an identity or a person, as the server shows each.

    Args:
        client: a client; for privileges of persons, with the administrator's own token.
        path: the path of the kind of privileges, such as OF_IDENTITIES.
        holder: the query that selects the holder.
    """
    listed = client.get(path, params=holder)["privileges"]
    # Only the answer for a single privilege has its permissions.
    return [client.get(f"{path}/{each['id']}")["privilege"] for each in listed]


def grant(slug: str, permissions: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the body of a request that creates or updates a permanent privilege."""
    return {"slug": slug, "type": {"isTemporary": False}, "permissions": permissions}


def seat(role: str) -> dict[str, Any]:
    """Return the body of a request that gives a member of a project one permanent role."""
    return {"roles": [{"role": role, "isTemporary": False}]}


def reading_of(environment: str, folders: Iterable[str]) -> list[dict[str, Any]]:
    """Return the permissions to read folders of an environment, and nothing else."""
    return [
        {
            "subject": "secrets",
            "action": ["describeSecret", "readValue"],
            "conditions": {
                "environment": {"$eq": environment},
                "secretPath": {"$eq": folder},
            },
        }
        for folder in folders
    ]


def are_equal(some: Iterable[Mapping[str, Any]], others: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether two lists of permissions grant the same, in whatever form."""
    return sorted(map(_canonical, some)) == sorted(map(_canonical, others))


def _canonical(permission: Mapping[str, Any]) -> str:
    subject, actions = as_list(permission["subject"]), as_list(permission["action"])
    conditions = {
        key: {"$eq": value} if isinstance(value, str) else value
        for key, value in (permission.get("conditions") or {}).items()
    }
    inverted = bool(permission.get("inverted"))
    return json.dumps([sorted(subject), sorted(actions), conditions, inverted], sort_keys=True)


def as_list(value: Any) -> list[str]:
    """Return one value or several as a list; the server writes subjects and actions both ways."""
    return [value] if isinstance(value, str) else list(value)
