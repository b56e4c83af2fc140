"""Test logins by Google, GitHub and GitLab at a provider on loopback.

The answers are those of the real server with the same provider. Google's and GitHub's addresses are
fixed, so a proxy leads them here.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.certificates import OwnAuthority
from tests.oauth_provider import OAuthProvider, ProviderAccount
from tests.proxy import ForwardProxy
from tests.serving import serving

from .mailed import invite, join
from .world import EMAIL, PASSWORD, bootstrap, log_in, ok

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import StartStandin
    from .services import Standin

ANNA, BOB = "anna@example.com", "bob@example.com"
KINDS = ("google", "github", "gitlab")
ALL = ["email", "google", "github", "gitlab", "saml", "oidc", "ldap"]
FIXED = ("accounts.google.com", "www.googleapis.com", "github.com", "api.github.com")
CONFIG = "/api/v1/admin/config"


class Site(NamedTuple):
    """A server with all three logins, its provider, and the proxy between them."""

    standin: Standin
    provider: OAuthProvider
    proxy: ForwardProxy
    org_id: str

    def admin(self) -> httpx.Client:
        return log_in(self.standin, self.org_id)


@pytest.fixture
def site(start: StartStandin, database: str, tmp_path: Path) -> Iterator[Site]:
    authority = OwnAuthority(tmp_path)
    pair = authority.issue("localhost", *FIXED)
    provider = OAuthProvider(certificate=pair.certificate, key=pair.key)
    with serving(provider), serving(ForwardProxy()) as forward:
        for name in FIXED:
            forward.routes[f"{name}:443"] = ("127.0.0.1", provider.port)
        variables = {
            "CLIENT_GITLAB_LOGIN_URL": provider.url,
            "NODE_EXTRA_CA_CERTS": str(authority.ca),
            "HTTPS_PROXY": forward.url,
            "NODE_USE_ENV_PROXY": "1",
        }
        for kind in KINDS:
            variables[f"CLIENT_ID_{kind.upper()}_LOGIN"] = provider.client
            variables[f"CLIENT_SECRET_{kind.upper()}_LOGIN"] = provider.secret
        standin = start(database, **variables).wait()
        provider.callbacks = [f"{standin.url}/api/v1/sso/{kind}" for kind in KINDS]
        provider.accounts = [ProviderAccount(ANNA), ProviderAccount(BOB, "Bob", False)]
        org_id = ok(bootstrap(standin.client()))["organization"]["id"]
        yield Site(standin, provider, forward, org_id)


def _log_in(site: Site, kind: str, email: str, browser: httpx.Client) -> httpx.Response:
    """Go to the provider, choose an account there, and come back; return the last answer."""
    left = browser.get(f"/api/v1/sso/redirect/{kind}")
    assert left.status_code == 302, left.text
    there = urlsplit(left.headers["Location"])
    with httpx.Client(base_url=site.provider.url, verify=False) as visitor:
        page = visitor.get(f"{there.path}?{there.query}")
        links = [html.unescape(each) for each in re.findall(r'href="([^"]+)"', page.text)]
        (link,) = [each for each in links if email.replace("@", "%40") in each]
        back = visitor.get(link).headers["Location"]
    return browser.get(back)


def _person(site: Site, email: str) -> tuple[str, list[str]]:
    """Return the status of a person's membership, and the person's ways to log in."""
    admin = site.admin()
    members = ok(admin.get(f"/api/v2/organizations/{site.org_id}/memberships"))["users"]
    users = ok(admin.get("/api/v1/admin/user-management/users"))["users"]
    (methods,) = [each["authMethods"] for each in users if each["email"] == email]
    found = [each["status"] for each in members if each["user"]["email"] == email]
    return (found or [""])[0], methods


def _refusal(answer: httpx.Response) -> tuple[int, str, str]:
    body = answer.json()
    return answer.status_code, body["message"], body["error"]


@pytest.mark.parametrize("kind", KINDS)
def test_without_its_variables_a_login_is_a_500(standin: Standin, kind: str) -> None:
    answer = standin.client().get(f"/api/v1/sso/redirect/{kind}")
    assert _refusal(answer) == (500, "Something went wrong", "InternalServerError")


@pytest.mark.parametrize(
    ("kind", "page", "scope"),
    [
        ("google", "https://accounts.google.com/o/oauth2/v2/auth", "profile email"),
        ("github", "https://github.com/login/oauth/authorize", "user:email read:org"),
        ("gitlab", "https://localhost:{port}/oauth/authorize", "read_user"),
    ],
)
def test_a_login_leads_to_the_page_of_the_provider(
    site: Site, kind: str, page: str, scope: str
) -> None:
    answer = site.standin.client().get(f"/api/v1/sso/redirect/{kind}")
    place, _, query = answer.headers["Location"].partition("?")
    given = {name: values[0] for name, values in parse_qs(query).items()}
    assert (answer.status_code, place) == (302, page.format(port=site.provider.port))
    assert given["redirect_uri"] == f"{site.standin.url}/api/v1/sso/{kind}"
    assert (given["scope"], given["client_id"]) == (scope, site.provider.client)
    assert (given["response_type"], given["code_challenge_method"]) == ("code", "S256")
    assert "sessionId=" in answer.headers["Set-Cookie"]


def test_another_host_name_gets_the_callback_of_the_site(site: Site) -> None:
    headers = {"Host": "other.example.com"}
    answer = site.standin.client().get("/api/v1/sso/redirect/gitlab", headers=headers)
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert query["redirect_uri"] == [f"{site.standin.url}/api/v1/sso/gitlab"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_password_account_is_linked_and_logged_in(site: Site, kind: str) -> None:
    join(site.standin, site.admin(), site.org_id, ANNA)
    with site.standin.client() as browser:
        answer = _log_in(site, kind, ANNA, browser)
        assert answer.status_code == 302
        assert answer.headers["Location"] == f"{site.standin.url}/login/select-organization"
        token = ok(browser.post("/api/v1/auth/token"))["token"]
    with site.standin.client(token) as person:
        url = "/api/v3/auth/select-organization"
        assert ok(person.post(url, json={"organizationId": site.org_id}))["token"]
    assert _person(site, ANNA) == ("accepted", ["email", kind])


def test_an_invited_person_needs_no_link(site: Site) -> None:
    ok(invite(site.admin(), site.org_id, ANNA))
    with site.standin.client() as browser:
        answer = _log_in(site, "gitlab", ANNA, browser)
        assert answer.headers["Location"].endswith("?signup_completed=true")
        token = ok(browser.post("/api/v1/auth/token"))["token"]
    assert _person(site, ANNA)[0] == "invited"
    url = "/api/v3/auth/select-organization"
    ok(site.standin.client(token).post(url, json={"organizationId": site.org_id}))
    assert _person(site, ANNA) == ("accepted", ["email", "gitlab"])


def test_a_stranger_gets_an_account_only_while_sign_up_is_open(site: Site) -> None:
    ok(site.admin().patch(CONFIG, json={"allowSignUp": False}))
    refused = _log_in(site, "google", ANNA, site.standin.client())
    assert _refusal(refused) == (400, "Sign up disabled", "Oauth 2 login")
    ok(site.admin().patch(CONFIG, json={"allowSignUp": True}))
    assert _log_in(site, "google", ANNA, site.standin.client()).status_code == 302
    assert _person(site, ANNA) == ("", ["google"])


def test_an_address_that_the_provider_does_not_vouch_for_is_asked_for_a_code(site: Site) -> None:
    ok(invite(site.admin(), site.org_id, BOB))
    answer = _log_in(site, "gitlab", BOB, site.standin.client())
    assert answer.headers["Location"].startswith(f"{site.standin.url}/signup/sso?token=")
    assert "jid=" not in answer.headers.get("Set-Cookie", "")


def test_a_denied_consent_and_a_foreign_state_lead_to_an_error_page(site: Site) -> None:
    denied = _log_in(site, "github", "nobody", site.standin.client())
    assert (denied.status_code, denied.headers["Location"]) == (302, "/login/provider/error")
    foreign = site.standin.client().get("/api/v1/sso/gitlab?code=x&state=y")
    assert foreign.headers["Location"] == "/login/provider/error"


def test_a_wrong_client_secret_is_a_500_at_the_end(site: Site) -> None:
    site.provider.secret = "another-fake-secret"
    answer = _log_in(site, "gitlab", ANNA, site.standin.client())
    assert _refusal(answer) == (500, "Something went wrong", "InternalServerError")


def test_a_disabled_login_is_refused_except_to_admins(site: Site) -> None:
    admin = site.admin()
    join(site.standin, admin, site.org_id, ANNA)
    ok(admin.patch(CONFIG, json={"enabledLoginMethods": ["email", "google"]}))
    refused = _log_in(site, "gitlab", ANNA, site.standin.client())
    status, message, error = _refusal(refused)
    assert (status, "Gitlab" in message, error) == (400, True, "Oauth 2 login")
    site.provider.accounts.append(ProviderAccount(EMAIL))
    assert _log_in(site, "gitlab", EMAIL, site.standin.client()).status_code == 302


def test_methods_are_limited_to_a_list_with_one_of_the_administrator(site: Site) -> None:
    admin = site.admin()
    status, message, _ = _refusal(admin.patch(CONFIG, json={"enabledLoginMethods": ["google"]}))
    assert (status, "lockout" in message) == (400, True)
    empty = admin.patch(CONFIG, json={"enabledLoginMethods": []})
    assert empty.status_code == 422
    assert empty.json()["message"][0]["code"] == "custom"
    reset = admin.patch(CONFIG, json={"enabledLoginMethods": None})
    assert reset.status_code == 422
    ok(admin.put("/api/v2/users/me/auth-methods", json={"authMethods": ["email", "google"]}))
    ok(admin.patch(CONFIG, json={"enabledLoginMethods": ["google"]}))
    assert ok(site.standin.client().get(CONFIG))["config"]["enabledLoginMethods"] == ["google"]
    ok(admin.patch(CONFIG, json={"enabledLoginMethods": ALL}))


def test_without_passwords_admins_log_in_and_invitations_have_no_link(site: Site) -> None:
    admin = site.admin()
    join(site.standin, admin, site.org_id, ANNA)
    ok(admin.put("/api/v2/users/me/auth-methods", json={"authMethods": ["email", "google"]}))
    ok(admin.patch(CONFIG, json={"enabledLoginMethods": ["google"]}))
    login = {"email": ANNA, "password": PASSWORD}
    refused = site.standin.client().post("/api/v3/auth/login", json=login)
    assert _refusal(refused) == (400, "Invalid credentials", "BadRequest")
    admin = site.admin()
    assert ok(invite(admin, site.org_id, BOB))["completeInviteLinks"] == []
    assert _person(site, BOB)[0] == "accepted"


def test_a_provider_is_reached_through_the_proxy_only_where_node_uses_it(
    site: Site, start: StartStandin, database: str
) -> None:
    """GitHub's API goes through it in any case, the token of a login does not."""
    assert _log_in(site, "google", ANNA, site.standin.client()).status_code == 302
    assert site.proxy.requests.count("CONNECT www.googleapis.com:443 passed") == 2
    site.proxy.requests.clear()
    variables = {
        "CLIENT_ID_GITLAB_LOGIN": site.provider.client,
        "CLIENT_SECRET_GITLAB_LOGIN": site.provider.secret,
        "CLIENT_GITLAB_LOGIN_URL": site.provider.url.replace("localhost", "127.0.0.1"),
        "HTTPS_PROXY": site.proxy.url,
    }
    other = start(database, **variables).wait()
    site.provider.callbacks.append(f"{other.url}/api/v1/sso/gitlab")
    moved = site._replace(standin=other)
    assert _log_in(moved, "gitlab", ANNA, other.client()).status_code == 500
    assert site.proxy.requests == []


def test_an_untrusted_provider_is_a_500(site: Site, start: StartStandin, database: str) -> None:
    variables = {
        "CLIENT_ID_GITLAB_LOGIN": site.provider.client,
        "CLIENT_SECRET_GITLAB_LOGIN": site.provider.secret,
        "CLIENT_GITLAB_LOGIN_URL": site.provider.url,
    }
    other = start(database, **variables).wait()
    site.provider.callbacks.append(f"{other.url}/api/v1/sso/gitlab")
    answer = _log_in(site._replace(standin=other), "gitlab", ANNA, other.client())
    assert answer.status_code == 500
