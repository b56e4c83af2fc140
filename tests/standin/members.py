"""Members of a project, people and identities: their roles, and their form in answers."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from uuid import uuid4

from .errors import bad_request, not_found
from .store import Document, Store, timestamp
from .validation import Field, boolean, choice, record, text

BUILT_IN_ROLES = ("admin", "member", "viewer", "no-access")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
TEMPORARY = {
    "isTemporary": boolean().optional(False),
    "temporaryMode": choice("relative").optional(None),
    "temporaryRange": text(1).optional(None),
    "temporaryAccessStartTime": text(1).optional(None),
}
ROLE: Field = record({"role": text(1), **TEMPORARY})


def join_project(
    store: Store, project_id: str, kind: str, actor_id: str, roles: list[Document]
) -> Document:
    """Make a person or an identity a member with these roles."""
    return store.insert(
        "project_memberships",
        {
            "projectId": project_id,
            "actorType": kind,
            "actorId": actor_id,
            "roles": complete_roles(roles),
        },
    )


def complete_roles(roles: list[Document]) -> list[Document]:
    """Return roles with ids and times; raise a 400 or 404 answer for invalid ones."""
    if not roles:
        raise bad_request("At least one role is required")
    for role in roles:
        if role["role"] not in BUILT_IN_ROLES:
            raise not_found(f"Project role with slug '{role['role']}' not found")
    return [{"id": str(uuid4()), "role": r["role"], **duration(r)} for r in roles]


def duration(grant: Document) -> Document:
    """Return the fields for how long a role or privilege lasts."""
    if not grant.get("isTemporary"):
        start = end = span = mode = None
    else:
        mode, span = "relative", grant.get("temporaryRange") or ""
        amount = re.fullmatch(r"(\d+)\s*([smhdwy])", span)
        begun = grant.get("temporaryAccessStartTime")
        if not amount or not begun:
            raise bad_request("Temporary access needs a range such as 1h and a start time")
        begin = datetime.fromisoformat(begun)
        length = timedelta(seconds=int(amount[1]) * SECONDS[amount[2]])
        start, end = timestamp(begin), timestamp(begin + length)
    return {
        "isTemporary": bool(grant.get("isTemporary")),
        "temporaryMode": mode,
        "temporaryRange": span,
        "temporaryAccessStartTime": start,
        "temporaryAccessEndTime": end,
    }


def shown_role(role: Document) -> Document:
    """Return a role as lists of members show it; custom roles need a license."""
    return role | {"customRoleName": None, "customRoleSlug": None}
