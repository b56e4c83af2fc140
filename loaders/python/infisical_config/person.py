"""A person's own access in a start: the stored token, renewed once it has expired."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .errors import ABSENT, IN_PLACE_OF, NOT_FOUND, TEXTS, ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message

    from .errors import Code
    from .keyring import Login, Logins
    from .retrying import PatientClient

_RENEW = "/api/v1/auth/token"
# Statuses of proxies and firewalls that deny access, and of an ingress that can't reach Infisical.
_OUTAGES = (401, 403, NOT_FOUND, 407)
# The server's error for a token of a session that was ended.
_SESSION_GONE = "Session not found"


class Person:
    """A person's login, with its latest token."""

    def __init__(self, login: Login, logins: Logins) -> None:
        self._login = login
        self._logins = logins

    @property
    def email(self) -> str:
        return self._login.email

    @property
    def token(self) -> str:
        return self._login.token

    def renew(self, client: PatientClient) -> None:
        """Get a new token, unless another process has got one in the meantime.

        Raises ConfigError `login_needed` if the login has ended.
        """
        address = self._login.address
        with self._logins.locked(address):
            known = self._logins.find(address)
            if known and known.token != self._login.token:
                self._login = known
                return
            if not self._login.refresh:
                raise self._login_ended()
            headers = {
                "Accept": "application/json",
                "User-Agent": "infisical-config",
                "Cookie": f"jid={self._login.refresh}",
            }
            reply = client.send("POST", _RENEW, headers)
            body = parse(reply.body)
            code = foreign_refusal(reply.status, body)
            if code == "unreachable":
                text = ABSENT if reply.status == NOT_FOUND else IN_PLACE_OF
                raise ConfigError(code, text.format(address=address, status=reply.status))
            if code is None and reply.status in (400, 401, 403, 404):
                raise self._login_ended()
            token = body.get("token")
            if reply.status != 200 or not isinstance(token, str) or not token:
                text = TEXTS["not_infisical"].format(address=address)
                raise ConfigError("not_infisical", text)
            # If the answer has no new cookie, another process has just received and kept it.
            refresh = cookie_of(reply.headers)
            self._login = replace(self._login, token=token, refresh=refresh or self._login.refresh)
            if refresh:
                self._logins.keep(self._login)

    def _login_ended(self) -> ConfigError:
        words = {"person": self.email, "address": self._login.address}
        return ConfigError("login_needed", TEXTS["login_needed"].format(**words))


def parse(body: bytes) -> Mapping[str, Any]:
    """Return the object of an answer in JSON; an empty one if it is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def cookie_of(headers: Message) -> str:
    """Return the cookie that renews a token; empty without one in the answer."""
    found = (re.match(r"jid=([^;]+)", each) for each in headers.get_all("Set-Cookie") or ())
    return next((each[1] for each in found if each), "")


def foreign_refusal(status: int, body: Mapping[str, Any]) -> Code | None:
    """Return the code of a refusal by something in place of Infisical, such as a proxy.

    Such a refusal says nothing about the credential. Infisical's own refusals name their status and
    error in the body. Returns None for these and all other answers.
    """
    if not 400 <= status < 500 or status == 429:
        return None
    if body.get("statusCode") == status and isinstance(body.get("error"), str):
        return None
    return "unreachable" if status in _OUTAGES else "not_infisical"


def is_route_missing(status: int, body: Mapping[str, Any]) -> bool:
    """Return whether the server has no such route, in the words of its framework.

    A missing project or folder has another name, such as `SecretPathNotFound`.
    """
    is_framework = body.get("error") == "Not Found"
    return status == 404 and is_framework and str(body.get("message")).startswith("Route ")


def is_session_gone(status: int, body: Mapping[str, Any]) -> bool:
    """Return whether a list was refused because the session was ended elsewhere."""
    return status == 404 and body.get("error") == _SESSION_GONE


def is_locked(status: int, body: Mapping[str, Any]) -> bool:
    """Return whether an account is locked, whatever its token may."""
    found = re.search(r"\block", str(body.get("message")), re.IGNORECASE)
    return body.get("error") == "UserLocked" or bool(status == 401 and found)
