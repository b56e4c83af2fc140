"""Invite people to an organization, and let them complete their accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from .. import tokens
from ..access import require_org_action
from ..crypto import hash_secret
from ..errors import bad_request, not_found, something_went_wrong, unauthorized_error
from ..issue import person_token, signup_token
from ..mail import link_mail
from ..mailed_tokens import create_token, use_token
from ..people import accepts_invitation, find_or_invite, is_member, show, whole
from ..validation import array, email, text
from ..web import ANYONE, PEOPLE, Call, route

if TYPE_CHECKING:
    from ..store import Document

SUBJECT = "Infisical organization invitation"
ACCOUNT = {
    "type": text(1),
    "email": email(),
    "firstName": text(),
    "lastName": text().optional(None),
    "password": text(1, trim=False),
    "organizationName": text().optional(None),
}


@route("POST", "/api/v1/invite-org/signup", PEOPLE)
def invite(call: Call) -> Document:
    """Invite people; like the real server, report no mail that was refused."""
    require_org_action(call.store, call.actor, "create", "member")
    fields = call.fields(
        {
            "inviteeEmails": array(email(), 1),
            "organizationId": text(1),
            "organizationRoleSlug": text(1).optional("member"),
        }
    )
    addresses, org_id = fields["inviteeEmails"], fields["organizationId"]
    by_link = accepts_invitation(call.server.instance.settings())
    links, new = [], False
    for address in addresses:
        if is_member(call.store, org_id, address):
            continue
        new = True
        user = find_or_invite(
            call.store, org_id, address, fields["organizationRoleSlug"], by_link=by_link
        )
        if not by_link:
            continue
        token = create_token(call.store, "invitation", user["id"])
        if not call.server.mailer.is_on:
            links.append({"email": address, "link": _link(call, org_id, address, token)})
        _send(call, org_id, address, token, must_arrive=False)
    message = f"Send an invite link to {', '.join(addresses)}"
    return {"message": message} | ({"completeInviteLinks": links} if new else {})


@route("POST", "/api/v1/invite-org/signup-resend", PEOPLE)
def invite_again(call: Call) -> Document:
    require_org_action(call.store, call.actor, "create", "member")
    requested = call.fields({"membershipId": text()})["membershipId"]
    member = call.store.get("org_memberships", requested)
    if member is None:
        raise something_went_wrong()
    if member["status"] != "invited":
        raise bad_request("Organization invitation already accepted")
    address, org_id = member["inviteEmail"], member["orgId"]
    token = create_token(call.store, "invitation", member["actorId"])
    if not call.server.mailer.is_on:
        return {"signupToken": {"email": address, "link": _link(call, org_id, address, token)}}
    _send(call, org_id, address, token, must_arrive=True)
    return {}


@route("POST", "/api/v1/invite-org/verify", ANYONE)
def verify(call: Call) -> Document:
    """Exchange the code of a link for a token that completes the account."""
    fields = call.fields({"email": email(), "organizationId": text(), "code": text()})
    user = call.store.first("users", username=fields["email"])
    if user is None:
        raise not_found("User not found")
    place = {"orgId": fields["organizationId"], "actorId": user["id"]}
    member = call.store.first("org_memberships", **place)
    if member is None:
        raise not_found("No pending invitation found")
    if member["status"] != "invited":
        raise bad_request("User is already a member of this organization")
    if not use_token(call.store, "invitation", user["id"], fields["code"]):
        raise something_went_wrong()
    call.store.update("users", user["id"], isEmailVerified=True)
    done = {"message": "Successfully verified email"}
    if whole(user)["isAccepted"]:
        return done
    return done | {"token": signup_token(user, call.server.config.auth_secret)}


@route("POST", "/api/v3/signup/complete-account", ANYONE)
def complete_account(call: Call) -> Document:
    fields = call.fields(ACCOUNT)
    header = call.headers.get("authorization")
    claims = tokens.verify(tokens.bearer(header), call.server.config.auth_secret)
    user = call.store.get("users", claims.get("userId", ""))
    if claims.get("authTokenType") != "signupToken" or user is None:
        raise unauthorized_error("Invalid token")
    if user["username"] != fields["email"] or whole(user)["isAccepted"]:
        raise bad_request("Invalid token")
    user = call.store.update(
        "users",
        user["id"],
        firstName=fields["firstName"],
        lastName=fields["lastName"],
        isEmailVerified=True,
        isAccepted=True,
        authMethods=["email"],
        passwordHash=hash_secret(fields["password"]),
    )
    return {
        "message": "Successfully set up account",
        "user": show(user),
        "token": person_token(user, call.server.config),
    }


def _send(call: Call, org_id: str, address: str, token: str, *, must_arrive: bool) -> None:
    organization = call.store.get("organizations", org_id) or {"name": ""}
    text = f"You've been invited to join {organization['name']} on Infisical"
    link = _link(call, org_id, quote(address, safe=""), token)
    mail = (address, SUBJECT, link_mail(text, link, "Accept Invite"))
    mailer = call.server.mailer
    call.afterwards(lambda: (mailer.send if must_arrive else mailer.try_to_send)(*mail))


def _link(call: Call, org_id: str, address: str, token: str) -> str:
    query = f"token={token}&to={address}&organization_id={org_id}"
    return f"{call.server.config.site_url}/signupinvite?{query}"
