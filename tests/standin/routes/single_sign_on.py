"""Log people in by Google, GitHub or GitLab, and renew sessions by their cookie."""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.responses import RedirectResponse, Response

from .. import sessions
from ..errors import ApiError, bad_request, something_went_wrong
from ..issue import signup_token
from ..mail import text_mail
from ..mailed_tokens import create_token
from ..people import ACCOUNT, may_log_in_by, whole
from ..providers import Provider, ProviderError
from ..web import ANYONE, Call, route

if TYPE_CHECKING:
    from ..providers import ProviderPerson
    from ..store import Document, Store

_ERROR = "Oauth 2 login"
_SESSION_SECONDS = 600
_SPELLING = {"google": "Google", "github": "Github", "gitlab": "Gitlab"}
_VERIFIED = {
    "google": "isGoogleVerified",
    "github": "isGitHubVerified",
    "gitlab": "isGitLabVerified",
}


@route("GET", "/api/v1/sso/redirect/{provider}", ANYONE, transaction=False)
def redirect(call: Call) -> Response:
    """Send a person to the page of a provider; without its variables the answer is a 500."""
    provider = _provider(call)
    state, verifier, session = (secrets.token_urlsafe(size) for size in (18, 32, 24))
    callback = _callback(call, provider)
    kept = {"state": state, "verifier": verifier, "callback": callback, "name": provider.name}
    call.server.sessions.set(_key(session), json.dumps(kept), ex=_SESSION_SECONDS)
    answer = RedirectResponse(provider.page(callback, state, verifier), 302)
    secure = call.server.config.has_https
    answer.set_cookie("sessionId", session, httponly=True, samesite="lax", secure=secure)
    return answer


@route("GET", "/api/v1/sso/{provider}", ANYONE, transaction=False)
def come_back(call: Call) -> Response:
    """Log in the person that the provider names, in a transaction after the provider's answers."""
    provider = _provider(call)
    session = _take_session(call, provider)
    if session is None or "code" not in call.query:
        return RedirectResponse("/login/provider/error", 302)
    try:
        person = call.server.config.providers.identify(
            provider, call.query["code"], session["verifier"], session["callback"]
        )
    except (ProviderError, KeyError, TypeError):
        raise something_went_wrong() from None
    site = session["callback"].partition("/api/")[0]
    with call.server.database.transaction() as store:
        call.opened = store
        answer = _log_in(call, store, provider.name, person, site)
    for action in call.later:
        action()
    return answer


@route("POST", "/api/v1/auth/token", ANYONE)
def renew(call: Call) -> Response:
    """Exchange the cookie of a session for a token."""
    return sessions.renew(call)


@route("POST", "/api/v1/auth/logout", ANYONE)
def log_out(call: Call) -> Response:
    """End the session of the cookie; without a valid cookie, the answer is the same."""
    with suppress(ApiError):
        sessions.end(call)
    return sessions.answer({"message": "Successfully logged out"}, "", call)


def _log_in(call: Call, store: Store, name: str, person: ProviderPerson, site: str) -> Response:
    address = person.email.lower()
    alias = store.first("user_aliases", aliasType=name, externalId=person.id)
    user = store.get("users", alias["userId"]) if alias else None
    user = user or store.first("users", username=address)
    settings = call.server.instance.settings()
    if user and not may_log_in_by(store, settings, user, name):
        message = f"Login with {_SPELLING[name]} is disabled by administrator."
        raise bad_request(message, _ERROR)
    was_accepted = bool(user and whole(user)["isAccepted"])
    if user is None:
        user = _sign_up(store, settings, name, person)
    elif person.is_verified:
        user = _link(store, user, name, person)
    if alias is None:
        alias = store.insert(
            "user_aliases",
            {"userId": user["id"], "aliasType": name, "externalId": person.id},
        )
    if person.is_verified or alias.get("isEmailVerified"):
        store.update("user_aliases", alias["id"], isEmailVerified=True)
        user = store.update("users", user["id"], isEmailVerified=True, isAccepted=True)
        return _start_session(call, user, name, site, is_new=not was_accepted)
    return _ask_for_code(call, store, user, name, site)


def _sign_up(store: Store, settings: Document, name: str, person: ProviderPerson) -> Document:
    if not settings["allowSignUp"]:
        raise bad_request("Sign up disabled", _ERROR)
    domain = person.email.partition("@")[2]
    allowed = settings["allowedSignUpDomain"]
    if allowed and domain not in [each.strip() for each in allowed.split(",")]:
        raise bad_request(f"Email with a domain (@{domain}) is not supported", _ERROR)
    address = person.email.lower()
    return store.insert(
        "users",
        ACCOUNT
        | {
            "username": address,
            "email": address,
            "firstName": person.first_name,
            "lastName": person.last_name,
            "authMethods": [name],
            _VERIFIED[name]: person.is_verified,
        },
    )


def _link(store: Store, user: Document, name: str, person: ProviderPerson) -> Document:
    methods = whole(user)["authMethods"]
    if name in methods:
        return user
    return store.update(
        "users",
        user["id"],
        authMethods=[*methods, name],
        firstName=person.first_name,
        lastName=person.last_name,
        **{_VERIFIED[name]: True},
    )


def _start_session(call: Call, user: Document, name: str, site: str, *, is_new: bool) -> Response:
    query = "?signup_completed=true" if is_new else ""
    answer = RedirectResponse(f"{site}/login/select-organization{query}", 302)
    _, cookie = sessions.start(call, user, authMethod=name)
    sessions.set_cookie(answer, cookie, call)
    return answer


def _ask_for_code(call: Call, store: Store, user: Document, name: str, site: str) -> Response:
    """Send a code to an address that the provider does not vouch for."""
    code = create_token(store, "verification", user["id"])
    mailer, subject = call.server.mailer, f"Infisical confirmation code: {code}"
    call.afterwards(lambda: mailer.send(user["email"], subject, text_mail(f"Code: {code}")))
    token = signup_token(user, call.server.config.auth_secret, authMethod=name)
    return RedirectResponse(f"{site}/signup/sso?token={token}", 302)


def _provider(call: Call) -> Provider:
    """Return the provider of the path; raise a 500 answer for one that is off."""
    name = call.path["provider"]
    if name not in _SPELLING:
        url = f"/api/v1/sso/{name}"
        raise ApiError(404, f"Route GET:{url} not found", "Not Found")
    provider = call.server.config.providers.known.get(name)
    if provider is None:
        raise something_went_wrong()
    return provider


def _callback(call: Call, provider: Provider) -> str:
    """Return the callback; a request by another host name than SITE_URL's gets that of SITE_URL."""
    site = call.server.config.site_url
    host = call.headers.get("x-forwarded-host") or call.headers.get("host", "")
    if host == urlsplit(site).netloc:
        scheme = call.headers.get("x-forwarded-proto", "http").partition(",")[0]
        site = f"{scheme}://{host}"
    return f"{site}/api/v1/sso/{provider.name}"


def _take_session(call: Call, provider: Provider) -> Document | None:
    """Return the session of the cookie, once, if it belongs to this provider and state."""
    session = _cookies(call).get("sessionId", "")
    kept = call.server.sessions.getdel(_key(session)) if session else None
    found: Document = json.loads(kept) if isinstance(kept, bytes | str) else {}
    belongs = found.get("name") == provider.name and found.get("state") == call.query.get("state")
    return found if belongs else None


def _cookies(call: Call) -> dict[str, str]:
    parsed = SimpleCookie(call.headers.get("cookie", ""))
    return {name: each.value for name, each in parsed.items()}


def _key(session: str) -> str:
    return f"oauth-session:{session}"
