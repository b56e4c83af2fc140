"""Test the OAuth provider of the tests, by the steps that Infisical's server takes."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests import oauth_provider
from tests.certificates import OwnAuthority
from tests.oauth_provider import OAuthProvider, ProviderAccount
from tests.ports import free_port
from tests.serving import serving

from .services import port_open, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = str(Path(oauth_provider.__file__))
CALLBACK = "https://secrets.example.com/api/v1/sso/x"
VERIFIER = "a-verifier-of-enough-length-for-pkce-0123456789"
ANNA = ProviderAccount("anna@example.com")
BOB = ProviderAccount("bob@example.com", "Bob", is_verified=False)
PAGES = {
    "google": "/o/oauth2/v2/auth",
    "github": "/login/oauth/authorize",
    "gitlab": "/oauth/authorize",
}
TOKENS = {
    "google": "/oauth2/v4/token",
    "github": "/login/oauth/access_token",
    "gitlab": "/oauth/token",
}


@pytest.fixture
def provider() -> Iterator[OAuthProvider]:
    with serving(OAuthProvider(callbacks=[CALLBACK], accounts=[ANNA, BOB])) as running:
        yield running


def _query(provider: OAuthProvider, **changes: str) -> dict[str, str]:
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    return {
        "client_id": provider.client,
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "state": "fake-state",
        "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
        **changes,
    }


def _choose(provider: OAuthProvider, kind: str, email: str) -> dict[str, list[str]]:
    """Follow the page's link for an account, and return the query of the callback."""
    page = httpx.get(provider.url + PAGES[kind], params=_query(provider))
    links = [html.unescape(each) for each in re.findall(r'href="([^"]+)"', page.text)]
    (link,) = [each for each in links if email.replace("@", "%40") in each]
    answer = httpx.get(provider.url + link)
    location = answer.headers["Location"]
    assert location.startswith(CALLBACK)
    return parse_qs(urlsplit(location).query)


def _exchange(provider: OAuthProvider, kind: str, code: str, **changes: str) -> httpx.Response:
    form = {
        "client_id": provider.client,
        "client_secret": provider.secret,
        "grant_type": "authorization_code",
        "redirect_uri": CALLBACK,
        "code": code,
        "code_verifier": VERIFIER,
        **changes,
    }
    return httpx.post(provider.url + TOKENS[kind], data=form)


def _log_in(provider: OAuthProvider, kind: str, email: str) -> dict[str, str]:
    """Return the header with a token of an account."""
    (code,) = _choose(provider, kind, email)["code"]
    return {"Authorization": f"Bearer {_exchange(provider, kind, code).json()['access_token']}"}


@pytest.mark.parametrize(
    ("kind", "path", "expected"),
    [
        ("google", "/oauth2/v3/userinfo", {"email": ANNA.email, "email_verified": True}),
        ("github", "/user", {"login": "anna", "id": ANNA.id}),
        ("gitlab", "/api/v4/user", {"email": ANNA.email, "id": ANNA.id}),
    ],
)
def test_a_login_gives_the_person(
    provider: OAuthProvider, kind: str, path: str, expected: dict[str, Any]
) -> None:
    person = httpx.get(provider.url + path, headers=_log_in(provider, kind, ANNA.email)).json()
    assert person | expected == person


def test_an_address_may_be_unverified(provider: OAuthProvider) -> None:
    token = _log_in(provider, "github", BOB.email)
    (address,) = httpx.get(f"{provider.url}/user/emails", headers=token).json()
    assert (address["email"], address["verified"]) == (BOB.email, False)
    token = _log_in(provider, "gitlab", BOB.email)
    assert httpx.get(f"{provider.url}/api/v4/user", headers=token).json()["confirmed_at"] is None


@pytest.mark.parametrize("kind", ["google", "github", "gitlab"])
def test_an_unregistered_callback_is_refused(provider: OAuthProvider, kind: str) -> None:
    other = "https://other.example.com/api/v1/sso/x"
    page = httpx.get(provider.url + PAGES[kind], params=_query(provider, redirect_uri=other))
    assert (page.status_code, "Location" in page.headers) == (400, False)


def test_an_unknown_client_is_refused(provider: OAuthProvider) -> None:
    page = httpx.get(provider.url + PAGES["google"], params=_query(provider, client_id="other"))
    assert page.status_code == 401


def test_a_denied_consent_returns_an_error(provider: OAuthProvider) -> None:
    assert _choose(provider, "gitlab", "nobody") == {
        "error": ["access_denied"],
        "state": ["fake-state"],
    }


@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [
        ("google", 401, "invalid_client"),
        ("github", 200, "incorrect_client_credentials"),
        ("gitlab", 401, "invalid_client"),
    ],
)
def test_a_wrong_client_secret_is_refused(
    provider: OAuthProvider, kind: str, status: int, error: str
) -> None:
    (code,) = _choose(provider, kind, ANNA.email)["code"]
    answer = _exchange(provider, kind, code, client_secret="wrong")
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_a_code_is_good_once_and_with_its_verifier(provider: OAuthProvider) -> None:
    (code,) = _choose(provider, "gitlab", ANNA.email)["code"]
    assert _exchange(provider, "gitlab", code).status_code == 200
    assert _exchange(provider, "gitlab", code).status_code == 400
    (code,) = _choose(provider, "gitlab", ANNA.email)["code"]
    assert _exchange(provider, "gitlab", code, code_verifier="other").status_code == 400


def test_a_token_is_needed_for_the_person(provider: OAuthProvider) -> None:
    for path in ("/oauth2/v3/userinfo", "/user", "/user/emails", "/api/v4/user"):
        assert httpx.get(provider.url + path).status_code == 401


def test_the_program_speaks_tls_and_logs(tmp_path: Path) -> None:
    authority = OwnAuthority(tmp_path)
    pair = authority.issue("github.com", "localhost")
    port, log = free_port(), tmp_path / "log"
    program = subprocess.Popen(
        [
            # As on a host, which has no other module of the tests.
            *(sys.executable, "-P", PROGRAM, "--port", str(port)),
            *("--client", "fake-id", "--secret", "fake-secret", "--callback", CALLBACK),
            *("--account", ANNA.email, "--unverified", BOB.email, "--log", str(log)),
            *("--certificate", str(pair.certificate), "--key", str(pair.key)),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    )
    try:
        wait_until(lambda: port_open(port), "The provider did not open its port")
        context = ssl.create_default_context(cafile=str(authority.ca))
        answer = httpx.get(f"https://localhost:{port}/user", verify=context)
        program.terminate()
        program.communicate(timeout=10)
    finally:
        program.kill()
    assert (answer.status_code, program.returncode) == (401, 0)
    assert f"GET localhost:{port}/user 401" in log.read_text().splitlines()
