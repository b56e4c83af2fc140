"""The second step of a login: who is asked for a second factor, and the locks after failures."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from .errors import ApiError
from .issue import mfa_token
from .mail import MailError, text_mail
from .mailed_tokens import create_token
from .people import whole
from .store import now, timestamp

if TYPE_CHECKING:
    from .store import Document, Store
    from .web import Call

METHODS = ("email", "totp", "webauthn")
_DELAYS = (5, 30, 60)
_EACH = 3
_LOCKED = (
    "User is locked due to multiple failed login attempts. An email has been sent to you in order "
    "to unlock your account. You can also reset your password to unlock your account."
)
_NOT_SENT = (
    "Failed to send email. This is likely due to a misconfigured SMTP server. "
    "Please check your SMTP settings and try again."
)
_LOCKED_FOR_NOW = (
    "User is temporary locked due to multiple failed login attempts. Try again after {time}. "
    "You can also reset your password now to proceed."
)


def required_method(organization: Document, user: Document) -> str | None:
    """Return the method that a login asks for: the organization's, if it enforces one."""
    if organization["enforceMfa"]:
        return organization["selectedMfaMethod"] or "email"
    user = whole(user)
    return (user["selectedMfaMethod"] or "email") if user["isMfaEnabled"] else None


def challenge(call: Call, user: Document, org_id: str, method: str) -> Document:
    """Return the answer to a login that needs a second factor; raise a 403 answer for a lock."""
    refuse_locked(user)
    if method == "email":
        send_code(call, user)
    token = mfa_token(user, call.server.config.auth_secret, org_id, method, call.actor.auth_method)
    return {"token": token, "isMfaEnabled": True, "mfaMethod": method}


def send_code(call: Call, user: Document) -> None:
    code = create_token(call.store, "mfa", user["id"])

    def send() -> None:
        try:
            body = text_mail(f"MFA code: {code}")
            call.server.mailer.send(user["email"], "Infisical MFA code", body)
        except MailError:
            raise ApiError(500, _NOT_SENT, "SmtpError") from None

    call.afterwards(send)


def refuse_locked(user: Document) -> None:
    """Raise a 403 answer while a person is locked."""
    user = whole(user)
    if user["isLocked"]:
        raise ApiError(403, _LOCKED, "UserLocked")
    if user["temporaryLockDateEnd"]:
        left = (datetime.fromisoformat(user["temporaryLockDateEnd"]) - now()).total_seconds()
        if left > 0:
            shown = f"{-(-left // 60):.0f} minutes" if left > 60 else f"{-(-left // 1):.0f} seconds"
            raise ApiError(403, _LOCKED_FOR_NOW.format(time=shown), "UserLocked")


def record_failure(store: Store, user: Document) -> Document:
    """Count a failure: each third one locks for longer, the twelfth until the person unlocks."""
    count = whole(user)["consecutiveFailedMfaAttempts"] + 1
    changes: Document = {"consecutiveFailedMfaAttempts": count}
    if count >= _EACH * (len(_DELAYS) + 1):
        changes |= {"isLocked": True, "temporaryLockDateEnd": None}
    elif count % _EACH == 0:
        end = now() + timedelta(minutes=_DELAYS[count // _EACH - 1])
        changes["temporaryLockDateEnd"] = timestamp(end)
    return store.update("users", user["id"], **changes)
