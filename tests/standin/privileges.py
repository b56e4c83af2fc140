"""Additional privileges: permissions of one member beyond its roles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import bad_request, not_found, something_went_wrong
from .members import TEMPORARY, duration
from .validation import Field, anything, array, boolean, record, text

if TYPE_CHECKING:
    from .store import Document, Store

PERMISSION = record(
    {
        "subject": text(1),
        "action": anything(),
        "conditions": anything().optional(),
        "inverted": boolean().optional(False),
    }
)
ON_CREATE: dict[str, Field] = {
    "slug": text(1, 60),
    "type": record(TEMPORARY),
    "permissions": array(PERMISSION),
}
ON_CHANGE = {name: field.optional() for name, field in ON_CREATE.items()}
SHOWN = (
    "id",
    "slug",
    "isTemporary",
    "temporaryMode",
    "temporaryRange",
    "temporaryAccessStartTime",
    "temporaryAccessEndTime",
    "createdAt",
    "updatedAt",
)


def create_privilege(store: Store, member: Document, fields: Document) -> Document:
    """Give a member a privilege; raise a 400 answer if the slug exists."""
    _refuse_taken(store, member, fields["slug"])
    kept = {name: member[name] for name in ("projectId", "actorType", "actorId")}
    granted = {"slug": fields["slug"], "permissions": _normal(fields["permissions"])}
    return store.insert("additional_privileges", kept | granted | duration(fields["type"]))


def change_privilege(store: Store, privilege: Document, fields: Document) -> Document:
    """Change the given `fields`; raise a 500 answer if they are none, or incomplete."""
    if not fields:
        raise something_went_wrong("Update by id")
    lasts = fields.get("type", privilege)
    if lasts["isTemporary"] and "permissions" not in fields:
        raise something_went_wrong()
    changes: Document = {}
    if "slug" in fields:  # the real server accepts a slug in use too
        changes["slug"] = fields["slug"]
    if "permissions" in fields:
        changes["permissions"] = _normal(fields["permissions"])
    if "type" in fields:
        changes |= duration(fields["type"])
    return store.update("additional_privileges", privilege["id"], **changes)


def find_privilege(store: Store, identifier: str, kind: str) -> Document:
    privilege = store.get("additional_privileges", identifier)
    if privilege is None or privilege["actorType"] != kind:
        raise not_found(f"Privilege with id {identifier} not found")
    return privilege


def shown_privilege(privilege: Document, permissions: bool = True) -> Document:
    """Return a privilege as the API shows it; lists leave the permissions out."""
    shown = {name: privilege[name] for name in SHOWN}
    return shown | ({"permissions": privilege["permissions"]} if permissions else {})


def _refuse_taken(store: Store, member: Document, slug: str) -> None:
    key = {"projectId": member["projectId"], "actorId": member["actorId"], "slug": slug}
    if store.first("additional_privileges", **key):
        raise bad_request(f"Additional privilege with name {slug} exists")


def _normal(permissions: list[Document]) -> list[Document]:
    def actions(permission: Document) -> list[str]:
        action = permission["action"]
        return [action] if isinstance(action, str) else list(action)

    return [{**permission, "action": actions(permission)} for permission in permissions]
