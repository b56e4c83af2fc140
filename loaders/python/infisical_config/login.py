"""Log a person in: by e-mail, password and second factor, or in the browser."""

from __future__ import annotations

import json
import re
import socket
from base64 import urlsafe_b64decode
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .bootstrap import Bootstrap
from .callback import read_pasted, wait_for_browser
from .deadline import outcomes
from .errors import PERSON_TEXTS, ConfigError
from .keyring import Login
from .person import cookie_of, foreign_refusal, is_locked, is_route_missing, parse
from .retrying import PatientClient
from .route import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_TIMEOUT = 20.0
_ORGANIZATION = "/api/v1/organization"
_RECOVERY_CODE = re.compile(r".{8}")
_IN_THE_BROWSER = "log in by `with-secrets login --browser`"
_ENDED = "the login ended without an answer: start it again"


class Ask(Protocol):
    """A function that asks a person a question."""

    def __call__(self, question: str, *, hidden: bool = False) -> str: ...


@dataclass(frozen=True)
class Terminal:
    """The terminal of a person: functions to ask, to print and to open the browser."""

    ask: Ask
    tell: Callable[[str], None]
    open_page: Callable[[str], object] | None = None


@dataclass(frozen=True)
class LoginOptions:
    """The choices of a login.

    Attributes:
        organization: a name, a slug or an id.
        browser: whether to log in in the browser.
        paste: whether to ask for the token that the page shows.
    """

    email: str = ""
    organization: str = ""
    browser: bool = False
    paste: bool = False


class Reply(NamedTuple):
    """An answer of the server."""

    status: int
    body: Mapping[str, Any]
    cookie: str
    date: str


class Instance:
    """An Infisical that a person logs in at, with one connection."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._place = Bootstrap("", "", "", address, "", "")
        self._client = PatientClient(self._place, Route.to(address))
        # The server knows a session by address and program. Without the machine's name, a renewal
        # by one of two machines behind one address would end the session of the other.
        self._agent = f"infisical-config ({re.sub(r'[^A-Za-z0-9_.-]', '-', socket.gethostname())})"

    @property
    def client(self) -> PatientClient:
        """Return the client, with the full time for a request."""
        self._client.allow(_TIMEOUT)
        return self._client

    def ask(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        cookie: str = "",
        body: Mapping[str, str] | None = None,
        once: bool = False,
    ) -> Reply:
        """Return the answer to a request.

        Raises ConfigError, also for a refusal by something in place of Infisical.
        """
        headers = {"Accept": "application/json", "User-Agent": self._agent}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if cookie:
            headers["Cookie"] = f"jid={cookie}"
        if body:
            headers["Content-Type"] = "application/json"
        raw = json.dumps(body).encode() if body else None
        client = self.client
        client.forget_status()
        (outcome,) = outcomes(
            [lambda: client.send(method, path, headers, raw, once=once)], _TIMEOUT
        )
        if outcome is None:
            raise client.late()
        reply = outcome()
        date = reply.headers.get("Date", "")
        answer = parse(reply.body)
        if code := foreign_refusal(reply.status, answer):
            raise self._place.error(code, status=reply.status)
        return Reply(reply.status, answer, cookie_of(reply.headers), date)

    def unexpected(self, reply: Reply) -> ConfigError:
        """Return the error of an answer that is none of the expected ones."""
        if reply.status == 429:
            return self._place.error("rate_limited")
        if reply.status >= 500:
            return self._place.error("server", status=reply.status)
        return self._place.error("not_infisical")

    def locked_error(self, email: str) -> ConfigError:
        """Return the error of an account that is locked."""
        text = PERSON_TEXTS["locked"].format(address=self.address, person=email)
        return ConfigError("locked", text)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


@contextmanager
def connect(address: str) -> Iterator[Instance]:
    """Yield a new connection, as an open one could end while a person types."""
    instance = Instance(address)
    try:
        yield instance
    finally:
        instance.close()


def log_in(address: str, terminal: Terminal, options: LoginOptions) -> Login:
    """Log a person in, and return the login.

    Nothing is tried twice: the third wrong code would lock the account.

    Raises ConfigError.
    """
    with connect(address) as instance:
        has_passwords = _has_passwords(instance)
    if options.paste or options.browser or not has_passwords:
        return _log_in_by_browser(address, terminal, options.email, paste=options.paste)
    email = options.email or terminal.ask("E-mail (empty: log in in the browser): ").lower()
    if not email:
        return _log_in_by_browser(address, terminal)
    password = terminal.ask(f"Password of {email}: ", hidden=True)
    if not password:
        raise ConfigError("not_configured", _ENDED)
    with connect(address) as instance:
        token = _check_password(instance, email, password)
        organizations = _list_organizations(instance, token)
    chosen = _choose(organizations, address, terminal, options.organization)
    with connect(address) as instance:
        selected = _select(instance, token, chosen, email)
    if selected.method:
        selected = _verify(address, terminal, selected, email)
    return Login(address, email, str(chosen["name"]), selected.token, selected.refresh)


def claims_of(token: str) -> Mapping[str, Any]:
    """Return the claims of a token, which nobody has verified."""
    part = token.partition(".")[2].partition(".")[0]
    try:
        return parse(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return {}


class _Selected(NamedTuple):
    """A token, and the second factor that the login still needs, if any."""

    token: str
    refresh: str
    method: str = ""


def _has_passwords(instance: Instance) -> bool:
    try:
        reply = instance.ask("GET", "/api/v1/admin/config")
    except ConfigError as error:
        if error.code != "unreachable":
            raise
        message = f"{error}; `with-secrets doctor` says why"  # it may be the certificate
        raise ConfigError(error.code, message) from None
    config = reply.body.get("config")
    if reply.status != 200 or not isinstance(config, dict):
        raise instance.unexpected(reply)
    methods = config.get("enabledLoginMethods")
    return not isinstance(methods, list) or "email" in methods


def _log_in_by_browser(
    address: str, terminal: Terminal, expected: str = "", *, paste: bool = False
) -> Login:
    if paste:
        found = read_pasted(terminal.ask("Token that the page shows: ", hidden=True))
    else:
        found = wait_for_browser(address, terminal.tell, terminal.open_page)
    with connect(address) as instance:
        reply = instance.ask("GET", "/api/v1/user", token=found.token)
        user = reply.body.get("user")
        email = user.get("email") if isinstance(user, dict) else None
        if reply.status != 200 or not isinstance(email, str):
            message = f"{address} refused the token of the browser: log in again"
            raise ConfigError("refused", message)
        organizations = _list_organizations(instance, found.token)
    if expected and expected != email.lower():  # any program of this machine can reach the port
        message = (
            f"the browser sent the login of {email}, not of {expected}: log out there, and log"
            " in again"
        )
        raise ConfigError("refused", message)
    claims = claims_of(found.token)
    own = claims.get("subOrganizationId") or claims.get("organizationId")
    names = [str(each["name"]) for each in organizations if each.get("id") == own]
    return Login(address, email, next(iter(names), ""), found.token, "")


def _check_password(instance: Instance, email: str, password: str) -> str:
    """Return a token without an organization; raises ConfigError."""
    body = {"email": email, "password": password}
    reply = instance.ask("POST", "/api/v3/auth/login", body=body, once=True)
    token = reply.body.get("accessToken")
    if reply.status == 200 and isinstance(token, str) and token:
        return token
    if is_locked(reply.status, reply.body):
        raise instance.locked_error(email)
    if reply.body.get("error") == "Captcha Required":
        raise ConfigError(
            "refused",
            f"{instance.address} asks for a captcha after too many wrong passwords of {email}:"
            f" reset the password, or {_IN_THE_BROWSER}",
        )
    if reply.status in (400, 401, 403, 422):
        raise ConfigError(
            "refused",
            f"{instance.address} refused the e-mail or the password of {email}: check both, or, if"
            " the account is one of Google, GitHub or another provider, "
            f"{_IN_THE_BROWSER}",
        )
    raise instance.unexpected(reply)


def _list_organizations(instance: Instance, token: str) -> list[Mapping[str, Any]]:
    """List the organizations of a person, also those whose invitation is not accepted yet.

    Choosing one accepts it. An older server lists only the others.
    """
    reply = instance.ask("GET", f"{_ORGANIZATION}/accessible-with-sub-orgs", token=token)
    if is_route_missing(reply.status, reply.body):
        reply = instance.ask("GET", _ORGANIZATION, token=token)
    if is_locked(reply.status, reply.body):
        raise instance.locked_error("this person")
    found = reply.body.get("organizations")
    if reply.status != 200 or not isinstance(found, list):
        raise instance.unexpected(reply)
    return [one for each in found for one in (each, *_list_below(each))]


def _list_below(organization: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the sub-organizations of an organization, with its name in theirs."""
    return [
        {**each, "name": f"{organization['name']} / {each['name']}"}
        for each in organization.get("subOrganizations") or ()
    ]


def _choose(
    organizations: Sequence[Mapping[str, Any]], address: str, terminal: Terminal, name: str
) -> Mapping[str, Any]:
    """Return the only organization, the one with the name, or the one that the person names."""
    names = [str(each["name"]) for each in organizations]
    if not names:
        raise ConfigError(
            "not_configured",
            f"this account is in no organization at {address}: ask for an invitation",
        )
    if not name and len(names) == 1:
        return organizations[0]
    if not name:
        for number, each in enumerate(names, 1):
            terminal.tell(f"  {number}  {each}")
    answer = name or terminal.ask("Organization (number or name): ")
    for one in organizations:
        if answer in (one.get("name"), one.get("slug"), one.get("id")):
            return one
    is_number = not name and answer.isascii() and answer.isdecimal()
    if is_number and 1 <= int(answer) <= len(names):
        return organizations[int(answer) - 1]
    raise ConfigError(
        "not_configured",
        f"there is no organization {answer} for this account: choose one of {', '.join(names)}",
    )


def _select(
    instance: Instance, token: str, organization: Mapping[str, Any], email: str
) -> _Selected:
    """Log in to an organization; raises ConfigError."""
    path, body = "/api/v3/auth/select-organization", {"organizationId": str(organization["id"])}
    reply = instance.ask("POST", path, token=token, body=body, once=True)
    found = reply.body.get("token")
    if reply.status == 200 and isinstance(found, str) and found:
        method = reply.body.get("mfaMethod") or "email"
        return _Selected(found, reply.cookie, str(method) if reply.body.get("isMfaEnabled") else "")
    if is_locked(reply.status, reply.body):
        raise instance.locked_error(email)
    if reply.body.get("error") == "SmtpError":
        raise ConfigError(
            "server",
            f"{instance.address} can't send the code for the second factor of {email}: tell who"
            " runs it",
        )
    if reply.status in (400, 403):
        raise ConfigError(
            "refused",
            f"{instance.address} does not let {email} log in to {organization['name']} by"
            f" password: {_IN_THE_BROWSER}",
        )
    raise instance.unexpected(reply)


def _verify(address: str, terminal: Terminal, challenge: _Selected, email: str) -> _Selected:
    """Ask for the second factor, once; raises ConfigError."""
    method = challenge.method
    if method not in ("totp", "email"):
        raise ConfigError(
            "refused",
            f"the second factor of {email} needs a browser ({method}): {_IN_THE_BROWSER}",
        )
    question = f"Code from the mail to {email}: "
    if method == "totp":
        question = "Code of the authenticator app, or a recovery code: "
    code = terminal.ask(question, hidden=True)
    if not code:
        raise ConfigError("not_configured", _ENDED)
    path, body = "/api/v2/auth/mfa/verify", {"mfaToken": code, "mfaMethod": method}
    if method == "totp" and _RECOVERY_CODE.fullmatch(code):
        path, body = f"{path}/recovery-code", {"recoveryCode": code}
    with connect(address) as instance:
        reply = instance.ask("POST", path, token=challenge.token, body=body, once=True)
        token = reply.body.get("token")
        if reply.status == 200 and isinstance(token, str) and token:
            return _Selected(token, reply.cookie)
        if is_locked(reply.status, reply.body):
            raise instance.locked_error(email)
        # The server answers a wrong code from an e-mail with 500.
        if reply.status not in (400, 401, 403, 422, 500):
            raise instance.unexpected(reply)
    raise ConfigError(
        "refused",
        f"{address} refused the code of {email}: log in again with a new one, and not more than"
        " twice, because the third wrong one locks the account for five minutes",
    )
