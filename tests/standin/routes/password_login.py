"""Log a person in with e-mail and password, then to one organization."""

from __future__ import annotations

from ..crypto import secret_matches
from ..errors import bad_request, forbidden_error
from ..issue import person_token
from ..store import Document, now, timestamp
from ..validation import email, text
from ..web import ANYONE, PEOPLE, Call, route


@route("POST", "/api/v3/auth/login", ANYONE)
def login(call: Call) -> Document:
    fields = call.fields({"email": email(), "password": text(1)})
    for user in call.store.find("users", username=fields["email"]):
        hashed = user["passwordHash"]
        if hashed and secret_matches(fields["password"], hashed):
            return {"accessToken": person_token(user, call.server.config.auth_secret)}
    raise bad_request("Invalid credentials")


@route("POST", "/api/v3/auth/select-organization", PEOPLE, needs_org=False)
def select_organization(call: Call) -> Document:
    """Log in to an organization, and thereby accept its invitation."""
    org_id = call.fields({"organizationId": text(1)})["organizationId"]
    user = call.store.get("users", call.actor.id)
    membership = call.store.first("org_memberships", orgId=org_id, actorId=call.actor.id)
    if user is None or membership is None:
        raise forbidden_error("You are not a member of this organization")
    call.store.update(
        "org_memberships",
        membership["id"],
        status="accepted",
        lastLoginAuthMethod="email",
        lastLoginTime=timestamp(now()),
    )
    token = person_token(user, call.server.config.auth_secret, org_id)
    return {"token": token, "isMfaEnabled": False}
