"""Set a new password by a link in a mail."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import Response

from .. import tokens
from ..crypto import hash_secret
from ..errors import something_went_wrong, unauthorized_error
from ..issue import recovery_token
from ..mail import link_mail
from ..mailed_tokens import create_token, use_token
from ..people import show, whole
from ..validation import email, text
from ..web import ANYONE, Call, route

if TYPE_CHECKING:
    from ..store import Document

SENT = "If an account exists with this email, a recovery link has been sent"


@route("POST", "/api/v1/account-recovery/send-email", ANYONE)
def send_email(call: Call) -> Document:
    """Send the link; the answer does not show whether there is such an account."""
    address = call.fields({"email": email()})["email"]
    user = call.store.first("users", username=address)
    if user and whole(user)["isAccepted"]:
        token = create_token(call.store, "password-reset", user["id"])
        query = f"token={token}&to={quote(address, safe='')}"
        link = f"{call.server.config.site_url}/account-recovery-reset?{query}"
        body = link_mail("Account Recovery", link, "Restore Access")
        mailer = call.server.mailer
        call.afterwards(lambda: mailer.try_to_send(address, "Infisical account recovery", body))
    return {"message": SENT}


@route("POST", "/api/v1/account-recovery/verify-email", ANYONE)
def verify_email(call: Call) -> Document:
    fields = call.fields({"email": email(), "code": text()})
    user = call.store.first("users", username=fields["email"])
    if user is None or not use_token(call.store, "password-reset", user["id"], fields["code"]):
        raise something_went_wrong()
    token = recovery_token(user, call.server.config.auth_secret)
    return {"user": show(user), "token": token, "userEncryptionVersion": 2}


@route("POST", "/api/v2/password/password-reset", ANYONE)
def reset_password(call: Call) -> Response:
    """Set the password, once a token; all sessions of the person end."""
    password = call.fields({"newPassword": text()})["newPassword"]
    header = call.headers.get("authorization")
    claims = tokens.verify(tokens.bearer(header), call.server.config.auth_secret)
    user = call.store.get("users", claims.get("userId", ""))
    used = user is None or claims.get("version") != whole(user)["sessionVersion"]
    if claims.get("authTokenType") != "accountRecoveryToken" or user is None or used:
        raise unauthorized_error("Invalid recovery token")
    call.store.update(
        "users",
        user["id"],
        passwordHash=hash_secret(password),
        sessionVersion=whole(user)["sessionVersion"] + 1,
    )
    return Response(status_code=200)
