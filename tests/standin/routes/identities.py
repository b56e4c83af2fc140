"""Machine identities of an organization."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from ..access import require_org_action
from ..errors import bad_request, forbidden_error, not_found
from ..validation import array, boolean, record, text
from ..web import Call, route

if TYPE_CHECKING:
    from ..store import Document, Store

METADATA = array(record({"key": text(1), "value": text(1)}))


def create_identity(
    store: Store,
    org_id: str,
    name: str,
    role: str,
    metadata: list[Document] | None = None,
    protected: bool = False,
) -> Document:
    identity = store.insert(
        "identities",
        {
            "name": name,
            "orgId": org_id,
            "hasDeleteProtection": protected,
            "authMethods": [],
            "metadata": _with_ids(metadata or []),
        },
    )
    membership = {"orgId": org_id, "actorType": "identity", "actorId": identity["id"]}
    login = {"roleId": None, "lastLoginAuthMethod": None, "lastLoginTime": None}
    store.insert("org_memberships", membership | {"role": role} | login)
    return identity


def find_identity(call: Call, identity_id: str | None = None, *, scoped: bool = False) -> Document:
    """Return the identity of the path in the caller's organization; raise a 404 answer."""
    requested = identity_id or call.path["identity_id"]
    identity = call.store.get("identities", requested)
    is_here = identity is not None and identity["orgId"] == call.actor.org_id
    # The organization does not know an identity that belongs to a project.
    if identity is None or not is_here or (identity.get("projectId") and not scoped):
        raise not_found(f"Failed to find identity with id {requested}")
    return identity


@route("POST", "/api/v1/identities")
def create(call: Call) -> Document:
    fields = call.fields(
        {
            "name": text(1),
            "organizationId": text(1),
            "role": text(1).optional("no-access"),
            "hasDeleteProtection": boolean().optional(False),
            "metadata": METADATA.optional([]),
        }
    )
    require_org_action(call.store, call.actor, "create", "identity")
    identity = create_identity(
        call.store,
        fields["organizationId"],
        fields["name"],
        fields["role"],
        fields["metadata"],
        fields["hasDeleteProtection"],
    )
    shown = _plain(identity) | {"authMethods": [], "metadata": identity["metadata"]}
    return {"identity": shown}


@route("GET", "/api/v1/identities")
def list_all(call: Call) -> Document:
    require_org_action(call.store, call.actor, "read", "identity")
    identities = call.store.find("identities", orgId=call.query.get("orgId", call.actor.org_id))
    identities = [each for each in identities if not each.get("projectId")]
    identities.sort(key=lambda identity: identity["name"].lower())
    shown = [_membership(call.store, identity) for identity in identities]
    return {"identities": shown, "totalCount": len(identities)}


@route("GET", "/api/v1/identities/details", ("identity",))
def details(call: Call) -> Document:
    organization = call.store.get("organizations", call.actor.org_id or "") or {}
    shown = {name: organization[name] for name in ("id", "name", "slug")}
    return {"identityDetails": {"organization": shown}}


@route("GET", "/api/v1/identities/{identity_id}")
def read(call: Call) -> Document:
    require_org_action(call.store, call.actor, "read", "identity")
    identity = find_identity(call)
    shown = _membership(call.store, identity)
    shown["identity"] |= {
        "orgId": identity["orgId"],
        "activeLockoutAuthMethods": active_lockouts(call, identity),
    }
    return {"identity": shown | {"metadata": identity["metadata"]}}


@route("PATCH", "/api/v1/identities/{identity_id}")
def change(call: Call) -> Document:
    fields = call.fields(
        {
            "name": text(1).optional(),
            "role": text(1).optional(),
            "hasDeleteProtection": boolean().optional(),
            "metadata": METADATA.optional(),
        }
    )
    require_org_action(call.store, call.actor, "edit", "identity")
    identity = find_identity(call)
    refuse_instance_admin(call, identity["id"])
    if "name" not in fields and not fields.get("hasDeleteProtection"):
        fields.pop("hasDeleteProtection", None)  # the real server ignores a `false` on its own
    if role := fields.pop("role", None):
        call.store.update("org_memberships", _member(call.store, identity)["id"], role=role)
    if "metadata" in fields:
        fields["metadata"] = _with_ids(fields["metadata"])
    identity = call.store.update("identities", identity["id"], **fields)
    return {"identity": _plain(identity) | {"metadata": identity["metadata"]}}


@route("DELETE", "/api/v1/identities/{identity_id}")
def delete(call: Call) -> Document:
    require_org_action(call.store, call.actor, "delete", "identity")
    identity = find_identity(call)
    refuse_instance_admin(call, identity["id"])
    if identity["hasDeleteProtection"]:
        raise bad_request("Identity has delete protection")
    for table in (
        "identity_universal_auths",
        "identity_ua_client_secrets",
        "identity_access_tokens",
        "identity_token_auths",
        "identity_oidc_auths",
    ):
        call.store.delete_where(table, identityId=identity["id"])
    for table in ("org_memberships", "project_memberships", "additional_privileges"):
        call.store.delete_where(table, actorId=identity["id"])
    call.store.delete("identities", identity["id"])
    return {"identity": _plain(identity)}


def refuse_instance_admin(call: Call, identity_id: str) -> None:
    """Raise a 403 answer unless a super admin changes the instance admin identity."""
    ruling = call.server.instance.settings()["adminIdentityIds"] or ()
    if identity_id in ruling and not call.actor.super_admin:
        raise forbidden_error(
            "You are attempting to modify an instance admin identity. This requires elevated "
            "instance admin privileges",
            "ForbiddenError",
        )


def active_lockouts(call: Call, identity: Document) -> list[str]:
    return ["universal-auth"] if call.server.lockouts.is_locked(identity["id"]) else []


def _with_ids(metadata: list[Document]) -> list[Document]:
    return [{"id": str(uuid4()), **entry} for entry in metadata]


def _plain(identity: Document) -> Document:
    shown = ("id", "name", "createdAt", "updatedAt", "hasDeleteProtection", "orgId")
    own = {name: identity[name] for name in shown}
    return own | {"authMethod": None, "projectId": None}


def _member(store: Store, identity: Document) -> Document:
    return store.find("org_memberships", orgId=identity["orgId"], actorId=identity["id"])[0]


def _membership(store: Store, identity: Document) -> Document:
    member = _member(store, identity)
    shown = ("id", "role", "roleId", "orgId", "createdAt", "updatedAt")
    logins = ("lastLoginAuthMethod", "lastLoginTime")
    named = ("name", "id", "hasDeleteProtection", "authMethods")
    return {
        **{name: member[name] for name in (*shown, *logins)},
        "identityId": identity["id"],
        "identity": {name: identity[name] for name in named},
    }
