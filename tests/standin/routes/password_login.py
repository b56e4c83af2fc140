"""Log a person in with e-mail and password, then to one organization."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import sessions
from ..challenges import challenge, required_method
from ..crypto import secret_matches
from ..errors import bad_request, forbidden_error
from ..mail import text_mail
from ..people import may_log_in_by, whole
from ..store import Document, now, timestamp
from ..validation import choice, email, text
from ..web import ANYONE, PEOPLE, Call, route

if TYPE_CHECKING:
    from starlette.responses import Response


@route("POST", "/api/v3/auth/login", ANYONE)
def login(call: Call) -> Response:
    fields = call.fields({"email": email(), "password": text(1)})
    settings = call.server.instance.settings()
    for user in call.store.find("users", username=fields["email"]):
        hashed = user["passwordHash"]
        if (
            hashed
            and "email" in whole(user)["authMethods"]
            and may_log_in_by(call.store, settings, user, "email")
            and secret_matches(fields["password"], hashed)
        ):
            token, cookie = sessions.start(call, user)
            return sessions.answer({"accessToken": token}, cookie, call)
    raise bad_request("Invalid credentials")


@route("POST", "/api/v3/auth/select-organization", PEOPLE, needs_org=False)
def select_organization(call: Call) -> Document | Response:
    """Log in to an organization, and thereby accept its invitation.

    A person with a second factor gets a token for it, unless the caller's token has passed it.
    """
    fields = call.fields({"organizationId": text(1), "userAgent": choice("cli").optional("")})
    org_id = fields["organizationId"]
    user = call.store.get("users", call.actor.id)
    organization = call.store.get("organizations", org_id)
    membership = call.store.first("org_memberships", orgId=org_id, actorId=call.actor.id)
    if user is None or organization is None or membership is None:
        message = f"User does not have access to the organization with ID {org_id}"
        raise forbidden_error(message)
    if not membership["isActive"]:
        raise forbidden_error("User organization membership is inactive")
    call.store.update("org_memberships", membership["id"], status="accepted")
    method = required_method(organization, user)
    if method and call.actor.mfa_method != method:
        return challenge(call, user, org_id, method)
    _remember_device(call, user)
    call.store.update(
        "org_memberships",
        membership["id"],
        lastLoginAuthMethod=call.actor.auth_method,
        lastLoginTime=timestamp(now()),
    )
    session: Document = {"authMethod": call.actor.auth_method}
    if method:
        session |= {"isMfaVerified": True, "mfaMethod": method}
    token, cookie = sessions.start(call, user, org_id, program=fields["userAgent"], **session)
    return sessions.answer({"token": token, "isMfaEnabled": False}, cookie, call)


def _remember_device(call: Call, user: Document) -> None:
    """Send a mail about a login from an address or a browser that is new for this person."""
    forwarded = call.headers.get("x-forwarded-for", "127.0.0.1").split(",")[0].strip()
    device = {"ip": forwarded, "userAgent": call.headers.get("user-agent", "")}
    devices = whole(user)["devices"]
    if device in devices:
        return
    call.store.update("users", user["id"], devices=[*devices, device])
    body = text_mail(
        f"We're verifying a recent login for {user['email']}. "
        f"IP Address {device['ip']}, User Agent {device['userAgent']}"
    )
    mailer, subject = call.server.mailer, "Successful login from new device"
    call.afterwards(lambda: mailer.try_to_send(user["email"], subject, body))
