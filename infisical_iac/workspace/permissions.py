"""Say what a service may do, in the server's own terms."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infisical_iac.workspace.model import ServiceAccount
from infisical_iac.workspace.state import Privilege

PRIVILEGE = "read-own-folder"


def reading(account: ServiceAccount) -> list[dict[str, Any]]:
    """The permissions to read an account's folders in its environment, and nothing else.

    Secrets that come through an import are shown if their source may be read, so the imported
    folders are named like the own one; no right to see imports as such is needed.
    """
    return reading_of(account.environment, account.readable)


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
    """Return whether two lists of permissions grant the same, however each is written."""
    return sorted(map(_canonical, some)) == sorted(map(_canonical, others))


def named(
    privileges: Iterable[Privilege], slug: str, grants: Sequence[Mapping[str, Any]]
) -> Privilege | None:
    """The privilege of a name, if there is one.

    The server lets another be renamed to a name that is taken. Of several, it is one that grants
    just `grants` if there is such, and the first otherwise.
    """
    return min(
        (each for each in privileges if each.slug == slug),
        key=lambda each: each.is_temporary or not are_equal(each.permissions, grants),
        default=None,
    )


def _canonical(permission: Mapping[str, Any]) -> str:
    subject, actions = listed(permission["subject"]), listed(permission["action"])
    conditions = {
        key: {"$eq": value} if isinstance(value, str) else value
        for key, value in (permission.get("conditions") or {}).items()
    }
    inverted = bool(permission.get("inverted"))
    return json.dumps([sorted(subject), sorted(actions), conditions, inverted], sort_keys=True)


def listed(value: Any) -> list[str]:
    """One or several, as the server writes subjects and actions, always as a list."""
    return [value] if isinstance(value, str) else list(value)
