"""What a service may do, in the server's own terms."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from infisical_iac.workspace.model import ServiceAccount

PRIVILEGE = "read-own-folder"


def reading(account: ServiceAccount) -> list[dict[str, Any]]:
    """The permissions to read an account's folders in its environment, and nothing else.

    Secrets that come through an import are shown if their source may be read, so the imported
    folders are named like the own one; no right to see imports as such is needed.
    """
    return [
        {
            "subject": "secrets",
            "action": ["describeSecret", "readValue"],
            "conditions": {
                "environment": {"$eq": account.environment},
                "secretPath": {"$eq": folder},
            },
        }
        for folder in account.readable
    ]


def are_equal(some: Iterable[Mapping[str, Any]], others: Iterable[Mapping[str, Any]]) -> bool:
    """Whether two lists of permissions grant the same, however each is written."""
    return sorted(map(_canonical, some)) == sorted(map(_canonical, others))


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
