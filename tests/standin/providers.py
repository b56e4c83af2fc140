"""Google, GitHub and GitLab as the real server uses them: their addresses, and who logs in.

Token and profile requests go through HTTPS_PROXY only with NODE_USE_ENV_PROXY=1; those to GitHub's
API do always. Certificates are checked by the system's authorities and NODE_EXTRA_CA_CERTS.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger("standin")
_SECONDS = 10.0
_GITHUB_API = "https://api.github.com"
_Json = Any


class ProviderError(Exception):
    """A provider refused, or can't be reached; the text names the step."""


@dataclass(frozen=True)
class ProviderPerson:
    """A person at a provider; `is_verified` is whether the provider vouches for the address."""

    id: str
    email: str
    first_name: str
    last_name: str
    is_verified: bool


@dataclass(frozen=True)
class Provider:
    """A provider with the credentials that are registered there."""

    name: str
    client_id: str
    client_secret: str = field(repr=False)
    authorize: str = ""
    token: str = ""
    person: str = ""
    scope: str = ""

    def page(self, callback: str, state: str, verifier: str) -> str:
        """Return the address that a person is sent to."""
        digest = hashlib.sha256(verifier.encode()).digest()
        query = {
            "response_type": "code",
            "redirect_uri": callback,
            "scope": self.scope,
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
            "state": state,
            "client_id": self.client_id,
        }
        return f"{self.authorize}?{urlencode(query).replace('+', '%20')}"


@dataclass(frozen=True)
class Providers:
    """The providers that are on, by name, and how they are reached."""

    known: Mapping[str, Provider] = field(default_factory=dict)
    extra_ca: str = ""
    has_env_proxy: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Providers:
        """Read the variables; a provider without id or secret is off."""
        gitlab = environment.get("CLIENT_GITLAB_LOGIN_URL") or environment.get("URL_GITLAB_LOGIN")
        gitlab = (gitlab or "https://gitlab.com").rstrip("/")
        addresses = {
            "google": {
                "authorize": "https://accounts.google.com/o/oauth2/v2/auth",
                "token": "https://www.googleapis.com/oauth2/v4/token",
                "person": "https://www.googleapis.com/oauth2/v3/userinfo",
                "scope": "profile email",
            },
            "github": {
                "authorize": "https://github.com/login/oauth/authorize",
                "token": "https://github.com/login/oauth/access_token",
                "scope": "user:email read:org",
            },
            "gitlab": {
                "authorize": f"{gitlab}/oauth/authorize",
                "token": f"{gitlab}/oauth/token",
                "person": f"{gitlab}/api/v4/user",
                "scope": "read_user",
            },
        }
        known = {}
        for name, own in addresses.items():
            client_id = environment.get(f"CLIENT_ID_{name.upper()}_LOGIN", "")
            secret = environment.get(f"CLIENT_SECRET_{name.upper()}_LOGIN", "")
            if client_id and secret:
                known[name] = Provider(name, client_id, secret, **own)
        return cls(
            known,
            environment.get("NODE_EXTRA_CA_CERTS", ""),
            environment.get("NODE_USE_ENV_PROXY") == "1",
        )

    def identify(
        self, provider: Provider, code: str, verifier: str, callback: str
    ) -> ProviderPerson:
        """Exchange a code for a token, and that for the person. Raises ProviderError."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": callback,
            "client_id": provider.client_id,
            "client_secret": provider.client_secret,
            "code_verifier": verifier,
        }
        answer = self._ask(provider.token, self.has_env_proxy, urlencode(form).encode())
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not token:
            raise ProviderError("Failed to obtain access token")
        if provider.name == "github":
            return self._github_person(token)
        person = self._ask(provider.person, self.has_env_proxy, token=token)
        if provider.name == "google":
            return ProviderPerson(
                str(person["sub"]),
                person["email"],
                person.get("given_name", ""),
                person.get("family_name", ""),
                str(person.get("email_verified")).lower() == "true",
            )
        name = person.get("name") or person.get("username", "")
        return ProviderPerson(
            str(person["id"]), person["email"], name, "", bool(person.get("confirmed_at"))
        )

    def _github_person(self, token: str) -> ProviderPerson:
        """Choose the primary verified address, else a verified one, else the primary one."""
        emails = self._ask(f"{_GITHUB_API}/user/emails", True, token=token)
        for needed in (("primary", "verified"), ("verified",), ("primary",)):
            chosen = [each for each in emails if all(each[name] is True for name in needed)]
            if chosen:
                break
        else:
            raise ProviderError("No email found for GitHub account")
        person = self._ask(f"{_GITHUB_API}/user", True, token=token)
        name = person.get("name") or person["login"]
        address = chosen[0]
        return ProviderPerson(str(person["id"]), address["email"], name, "", address["verified"])

    def _ask(self, url: str, by_proxy: bool, form: bytes | None = None, token: str = "") -> _Json:
        context = ssl.create_default_context()
        if self.extra_ca:
            try:
                context.load_verify_locations(self.extra_ca)
            except OSError:
                log.warning("Ignoring extra certs from `%s`, load failed", self.extra_ca)
        proxies = urllib.request.ProxyHandler(None if by_proxy else {})
        opener = urllib.request.build_opener(proxies, urllib.request.HTTPSHandler(context=context))
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(url, form, headers)
        try:
            with opener.open(request, timeout=_SECONDS) as answer:
                text = answer.read().decode()
        except (OSError, urllib.error.URLError) as error:
            log.error("Failed to ask %s: %s", url, error)
            raise ProviderError("Failed to obtain access token") from None
        try:
            return json.loads(text)
        except ValueError:
            return dict(parse_qsl(text))  # GitHub's form of a token
