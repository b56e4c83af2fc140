"""A person's second factor: an authenticator app, its recovery codes, and codes by mail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from .. import sessions, tokens
from ..challenges import METHODS, record_failure, refuse_locked, send_code
from ..errors import (
    ApiError,
    bad_request,
    forbidden_error,
    not_found,
    something_went_wrong,
)
from ..mail import link_mail
from ..mailed_tokens import create_token, use_token
from ..people import OLD_KEYS, show, show_to_itself
from ..totp import RECOVERY_CODES, address, is_code, new_recovery_codes, new_secret
from ..validation import array, boolean, choice, exact, text
from ..web import ANYONE, PEOPLE, Call, route

if TYPE_CHECKING:
    from ..store import Document

_ABSENT = "TOTP configuration not found"
_UNVERIFIED = "TOTP configuration has not been verified"
_RECOVERY_CODE = exact(8, "Recovery code must be 8 characters")


@route("GET", "/api/v2/users/me", PEOPLE)
def read_self(call: Call) -> Document:
    return {"user": show_to_itself(call.store.get("users", call.actor.id) or {}) | OLD_KEYS}


@route("GET", "/api/v1/user", PEOPLE)
def read_self_for_the_page(call: Call) -> Document:
    own = show_to_itself(call.store.get("users", call.actor.id) or {})
    return {"user": own | {"lastSeenAnnouncementId": None, "encryptionVersion": 2}}


@route("PATCH", "/api/v2/users/me/mfa", PEOPLE)
def choose(call: Call) -> Document:
    """Turn the second factor on or off, without checking that there is an app."""
    fields = call.fields(
        {"isMfaEnabled": boolean().optional(), "selectedMfaMethod": choice(*METHODS).optional()}
    )
    if "isMfaEnabled" in fields:
        fields["mfaMethods"] = ["email"] if fields["isMfaEnabled"] else []
    return {"user": show(call.store.update("users", call.actor.id, **fields))}


@route("PUT", "/api/v2/users/me/auth-methods", PEOPLE, needs_org=False)
def choose_logins(call: Call) -> Document:
    """Change one's own login methods, without a proof."""
    methods = call.fields({"authMethods": array(text(1), 1)})["authMethods"]
    return {"user": show(call.store.update("users", call.actor.id, authMethods=methods))}


@route("DELETE", "/api/v2/users/me/sessions/{session_id}", PEOPLE)
def end_session(call: Call) -> Document:
    """End one of the person's own sessions; any other id gets the same answer."""
    found = call.store.get(sessions.TABLE, call.path["session_id"])
    if found and found["userId"] == call.actor.id:
        call.store.delete(sessions.TABLE, found["id"])
    return {"message": "Successfully revoked session"}


@route("GET", "/api/v1/user/me/totp", PEOPLE)
def read_app(call: Call) -> Document:
    app = _verified_app(call, call.actor.id)
    return {"isVerified": True, "recoveryCodes": _recovery_codes(call, app)}


@route("POST", "/api/v1/user/me/totp/register", PEOPLE, needs_org=False)
def register_app(call: Call) -> Document:
    user = call.store.get("users", call.actor.id) or {}
    app = call.store.first("totp_configs", userId=user["id"])
    if app and app["isVerified"]:
        raise bad_request("TOTP configuration for user already exists")
    if app is None:
        app = call.store.insert(
            "totp_configs",
            {
                "userId": user["id"],
                "isVerified": False,
                "encryptedSecret": call.server.cipher.encrypt(new_secret()),
                "encryptedRecoveryCodes": _seal(call, new_recovery_codes()),
            },
        )
    otp_url = address(user["username"], call.server.cipher.decrypt(app["encryptedSecret"]))
    return {"otpUrl": otp_url, "recoveryCodes": _recovery_codes(call, app)}


@route("POST", "/api/v1/user/me/totp/verify", PEOPLE, needs_org=False)
def verify_app(call: Call) -> Document:
    code = call.fields({"totp": text(trim=False)})["totp"]
    app = call.store.first("totp_configs", userId=call.actor.id)
    if app is None:
        raise not_found(_ABSENT)
    if app["isVerified"]:
        raise bad_request("TOTP configuration has already been verified")
    if not is_code(call.server.cipher.decrypt(app["encryptedSecret"]), code):
        raise bad_request("Invalid TOTP token")
    call.store.update("totp_configs", app["id"], isVerified=True)
    return {"recoveryCodes": _recovery_codes(call, app)}


@route("POST", "/api/v1/user/me/totp/recovery-codes", PEOPLE)
def add_recovery_codes(call: Call) -> Response:
    app = call.store.first("totp_configs", userId=call.actor.id, isVerified=True)
    if app is None:
        raise not_found("Valid TOTP configuration not found")
    left = _recovery_codes(call, app)
    if len(left) >= RECOVERY_CODES:
        raise bad_request(f"Cannot have more than {RECOVERY_CODES} recovery codes at a time")
    codes = [*left, *new_recovery_codes(RECOVERY_CODES - len(left))]
    call.store.update("totp_configs", app["id"], encryptedRecoveryCodes=_seal(call, codes))
    return Response(status_code=200)


@route("DELETE", "/api/v1/user/me/totp", PEOPLE)
def delete_app(call: Call) -> Response:
    app = call.store.first("totp_configs", userId=call.actor.id)
    if app is None:
        raise not_found(_ABSENT)
    call.store.delete("totp_configs", app["id"])
    return Response(status_code=200)


@route("GET", "/api/v2/auth/mfa/check/totp", ANYONE)
def check_app(call: Call) -> Document:
    user, _ = _challenged(call)
    found = call.store.first("totp_configs", userId=user["id"], isVerified=True)
    return {"isVerified": found is not None}


@route("GET", "/api/v2/auth/mfa/check/webauthn", ANYONE)
def check_passkeys(call: Call) -> Document:
    _challenged(call)
    return {"hasPasskeys": False}


@route("POST", "/api/v2/auth/mfa/send", ANYONE)
def send_again(call: Call) -> Document:
    user, claims = _challenged(call)
    if claims["requiredMfaMethod"] != "email":
        raise bad_request("Email MFA code cannot be sent when a different MFA method is required")
    refuse_locked(user)
    send_code(call, user)
    return {"message": "Successfully send new mfa code"}


@route("POST", "/api/v2/auth/mfa/verify", ANYONE, transaction=False)
def verify(call: Call) -> Response:
    method = choice(*METHODS).optional("email")
    fields = call.fields({"mfaToken": text(), "mfaMethod": method})
    return _finish(call, fields["mfaMethod"], fields["mfaToken"])


@route("POST", "/api/v2/auth/mfa/verify/recovery-code", ANYONE, transaction=False)
def verify_recovery_code(call: Call) -> Response:
    code = call.fields({"recoveryCode": _RECOVERY_CODE})["recoveryCode"]
    return _finish(call, "totp", code, is_recovery_code=True)


def _finish(call: Call, method: str, code: str, *, is_recovery_code: bool = False) -> Response:
    """Return a session, or count the failure in a transaction of its own."""
    database = call.server.database
    try:
        with database.transaction() as store:
            call.opened = store
            user, claims = _challenged(call)
            required = claims["requiredMfaMethod"]
            if method != required:
                message = f"Invalid MFA method. {required} verification is required."
                raise bad_request(message)
            refuse_locked(user)
            if method == "email":
                if not use_token(store, "mfa", user["id"], code):
                    raise something_went_wrong()
            elif is_recovery_code:
                _use_recovery_code(call, user, code)
            else:
                _use_code(call, user, code)
            unlocked = {"consecutiveFailedMfaAttempts": 0, "temporaryLockDateEnd": None}
            user = store.update("users", user["id"], **unlocked)
            session = {
                "authMethod": claims["authMethod"],
                "isMfaVerified": True,
                "mfaMethod": method,
            }
            org_id = claims["organizationId"]
            token, cookie = sessions.start(call, user, org_id, **session)
            return sessions.answer({"token": token}, cookie, call)
    except ApiError:
        _count_failure(call)
        raise


def _count_failure(call: Call) -> None:
    with call.server.database.transaction() as store:
        call.opened = store
        user, _ = _challenged(call)
        changed = record_failure(store, user)
        token = create_token(store, "unlock", user["id"]) if changed["isLocked"] else ""
    if token:
        site = call.server.config.site_url
        link = f"{site}/api/v1/user/{user['id']}/unlock?token={token}"
        body = link_mail("Your account is locked", link, "Unlock Account")
        call.server.mailer.try_to_send(user["email"], "Unlock your Infisical account", body)


@route("GET", "/api/v1/user/{user_id}/unlock", ANYONE)
def unlock(call: Call) -> Response:
    user = call.store.get("users", call.path["user_id"])
    if user and use_token(call.store, "unlock", user["id"], call.query.get("token", "")):
        call.store.update(
            "users",
            user["id"],
            isLocked=False,
            temporaryLockDateEnd=None,
            consecutiveFailedMfaAttempts=0,
        )
    location = f"{call.server.config.site_url}/login"
    return Response(status_code=302, headers={"Location": location})


def _challenged(call: Call) -> tuple[Document, Document]:
    """Return the person who is asked for a second factor, and the claims of the token."""
    header = call.headers.get("authorization")
    if not header:
        raise something_went_wrong()
    claims = tokens.verify(tokens.bearer(header), call.server.config.auth_secret)
    user = call.store.get("users", claims.get("userId", ""))
    if claims.get("authTokenType") != "mfaToken" or user is None:
        raise something_went_wrong()
    return user, claims


def _verified_app(call: Call, user_id: str) -> Document:
    app = call.store.first("totp_configs", userId=user_id)
    if app is None:
        raise not_found(_ABSENT)
    if not app["isVerified"]:
        raise bad_request(_UNVERIFIED)
    return app


def _use_code(call: Call, user: Document, code: str) -> None:
    if len(code) != 6:
        raise bad_request("Please use a valid TOTP code.")
    app = _verified_app(call, user["id"])
    is_right = is_code(call.server.cipher.decrypt(app["encryptedSecret"]), code)
    if not is_right or not call.server.lockouts.claim_code(user["id"], code):
        raise forbidden_error("Invalid TOTP")


def _use_recovery_code(call: Call, user: Document, code: str) -> None:
    app = _verified_app(call, user["id"])
    left = _recovery_codes(call, app)
    if code not in left:
        raise forbidden_error("Invalid TOTP recovery code")
    left.remove(code)
    call.store.update("totp_configs", app["id"], encryptedRecoveryCodes=_seal(call, left))


def _recovery_codes(call: Call, app: Document) -> list[str]:
    return call.server.cipher.decrypt(app["encryptedRecoveryCodes"]).split(",")


def _seal(call: Call, codes: list[str]) -> str:
    return call.server.cipher.encrypt(",".join(codes))
