"""Bootstrap an instance; as measured, this is not atomic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..crypto import hash_secret
from ..errors import bad_request
from ..instance import stored_settings
from ..issue import bootstrap_token, new_slug
from ..people import ACCOUNT
from ..validation import email, text
from ..web import ANYONE, Call, route
from .identities import create_identity
from .organizations import create_organization

if TYPE_CHECKING:
    from ..store import Document, Store

FIELDS = {"email": email(), "password": text(1), "organization": text(1)}


@route("POST", "/api/v1/admin/bootstrap", ANYONE, transaction=False)
def bootstrap(call: Call) -> Document:
    """Check, hash, then write step by step: simultaneous calls all succeed."""
    fields = call.fields(FIELDS)
    database = call.server.database
    with database.transaction() as store:
        _refuse_second_time(store, fields["email"])
    password_hash = hash_secret(fields["password"])
    with database.transaction() as store:
        user = store.insert("users", admin_user(fields["email"], password_hash))
    with database.transaction() as store:
        organization = create_organization(
            store, fields["organization"], new_slug(fields["organization"]), user["id"]
        )
    with database.transaction() as store:
        identity = create_identity(store, organization["id"], "Instance Admin Identity", "admin")
        store.update("identities", identity["id"], authMethods=["token-auth"])
        token = bootstrap_token(store, identity["id"], call.server.config.auth_secret)
    with database.transaction() as store:
        call.server.instance.change(store, initialized=True, adminIdentityIds=[identity["id"]])
    return _answer(user, organization, identity, token)


def admin_user(address: str, password_hash: str) -> Document:
    return ACCOUNT | {
        "username": address,
        "email": address,
        "firstName": "Admin",
        "lastName": "User",
        "superAdmin": True,
        "isEmailVerified": True,
        "isAccepted": True,
        "passwordHash": password_hash,
    }


def _refuse_second_time(store: Store, address: str) -> None:
    if stored_settings(store)["initialized"]:
        raise bad_request("Instance has already been set up")
    if store.first("users", username=address):
        raise bad_request("User already exists")


def _answer(user: Document, organization: Document, identity: Document, token: str) -> Document:
    shown = ("username", "firstName", "lastName", "email", "id", "superAdmin")
    return {
        "message": "Successfully bootstrapped instance",
        "user": {name: user[name] for name in shown},
        "organization": {name: organization[name] for name in ("id", "name", "slug")},
        "identity": {
            "id": identity["id"],
            "name": identity["name"],
            "credentials": {"token": token},
        },
    }
