"""Sessions of people: one for each person, address and program, renewed by a cookie."""

from __future__ import annotations

from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any, cast

from starlette.responses import JSONResponse, Response

from . import tokens
from .errors import not_found, unauthorized_error
from .issue import person_token

if TYPE_CHECKING:
    from .store import Document, Store
    from .web import Call

TABLE = "auth_token_sessions"
# Seconds after a renewal in which the former cookie still gets a token.
_GRACE = 10
_KEPT = ("authMethod", "organizationId", "isMfaVerified", "mfaMethod")
_REUSED = "Refresh token reuse detected. Session has been revoked for security."


def start(
    call: Call, user: Document, org_id: str | None = None, *, program: str = "", **claims: Any
) -> tuple[str, str]:
    """Return an access token and the text of the cookie that renews it.

    Args:
        program: the name of the session's program instead of the request's own.
    """
    forwarded = call.headers.get("x-forwarded-for", "127.0.0.1").split(",")[0].strip()
    agent = program or call.headers.get("user-agent", "")
    place = {"userId": user["id"], "ip": forwarded, "userAgent": agent}
    session = call.store.first(TABLE, **place) or call.store.insert(
        TABLE, place | {"accessVersion": 1, "refreshVersion": 1}
    )
    return _access(call, user, session, org_id, claims), _refresh(
        call, user, session, org_id, claims
    )


def answer(body: Document, cookie: str, call: Call) -> Response:
    """Return an answer that sets the cookie of a session, or deletes it."""
    response = JSONResponse(body)
    set_cookie(response, cookie, call)
    return response


def set_cookie(response: Response, cookie: str, call: Call) -> None:
    """Set the cookie of a session; an empty one deletes it."""
    secure = call.server.config.has_https
    age = None if cookie else 0
    response.set_cookie(
        "jid", cookie, age, path="/api", httponly=True, samesite="strict", secure=secure
    )


def renew(call: Call) -> Response:
    """Exchange the cookie for a token and the next cookie; a reused cookie ends the session."""
    user, session, claims = _validate(call)
    rest = {name: claims[name] for name in _KEPT if name in claims}
    org_id = rest.pop("organizationId", None)
    if claims["refreshVersion"] != session["refreshVersion"]:
        token = _access(call, user, session, org_id, rest)
        return JSONResponse({"token": token, "organizationId": org_id})
    grace = str(claims["refreshVersion"])
    call.server.sessions.set(f"refresh-grace:{session['id']}", grace, ex=_GRACE)
    session = call.store.update(TABLE, session["id"], refreshVersion=session["refreshVersion"] + 1)
    token = _access(call, user, session, org_id, rest)
    cookie = _refresh(call, user, session, org_id, rest)
    body = {"token": token, "refreshToken": cookie, "organizationId": org_id}
    return answer(body, cookie, call)


def end(call: Call) -> None:
    """End the session of the cookie, so that its tokens are refused."""
    _, session, _ = _validate(call)
    versions = {name: session[name] + 1 for name in ("accessVersion", "refreshVersion")}
    call.store.update(TABLE, session["id"], **versions)


def check(store: Store, claims: Document) -> None:
    """Raise a 404 or 401 answer for a token whose session has ended."""
    identifier = claims.get("tokenVersionId")
    if identifier is None:  # a token of an account that was just made
        return
    session = store.get(TABLE, identifier)
    if session is None:
        raise not_found("The requested entity is not found", "Session not found")
    if session["accessVersion"] != claims.get("sessionAccessVersion"):
        message = "User session is stale, please re-authenticate"
        raise unauthorized_error(message, "StaleSession")


def _validate(call: Call) -> tuple[Document, Document, Document]:
    """Return the person, session and claims of the cookie; raise an answer for an invalid one."""
    parsed = SimpleCookie(call.headers.get("cookie", ""))
    cookie = parsed["jid"].value if "jid" in parsed else ""
    if not cookie:
        raise not_found("Invalid token", "AuthTokenNotFound")
    claims = tokens.verify(cookie, call.server.config.auth_secret)
    if claims.get("authTokenType") != "refreshToken":
        raise unauthorized_error("The token provided is not a refresh token", "InvalidToken")
    user = call.store.get("users", claims.get("userId", ""))
    session = call.store.get(TABLE, claims.get("tokenVersionId", ""))
    if user is None or session is None:
        raise unauthorized_error("Invalid token", "InvalidToken")
    if claims["refreshVersion"] != session["refreshVersion"]:
        key = f"refresh-grace:{session['id']}"
        kept = cast("bytes | None", call.server.sessions.get(key))
        if kept is None or int(kept) != claims["refreshVersion"]:
            _revoke(call, session["id"])
            raise unauthorized_error(_REUSED, "TokenReuse")
    return user, session, claims


def _revoke(call: Call, identifier: str) -> None:
    """Delete a session in a transaction of its own: the refusal rolls back the caller's."""
    with call.server.database.transaction() as store:
        store.delete(TABLE, identifier)


def _access(
    call: Call, user: Document, session: Document, org_id: str | None, claims: Document
) -> str:
    own = {"tokenVersionId": session["id"], "sessionAccessVersion": session["accessVersion"]}
    return person_token(user, call.server.config, org_id, **{**claims, **own})


def _refresh(
    call: Call, user: Document, session: Document, org_id: str | None, claims: Document
) -> str:
    own = {
        "authTokenType": "refreshToken",
        "tokenVersionId": session["id"],
        "refreshVersion": session["refreshVersion"],
    }
    lifetime = call.server.config.refresh_lifetime
    return person_token(user, call.server.config, org_id, lifetime=lifetime, **{**claims, **own})
