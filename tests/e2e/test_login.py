"""Test logins by Google, GitHub and GitLab, from the first apply to their removal.

All three are one server of the tests. GitLab's address is a setting. Those of Google and GitHub are
fixed, so Infisical asks them through a proxy, which leads their names to that server; an authority
of one's own has signed its certificate. The tests of this module follow one another on one host.
"""

import json
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.certificates import OwnAuthority
from tests.e2e import backing
from tests.e2e.configured import ConfiguredHost, take_back
from tests.e2e.inspection import administrator, api
from tests.oauth_provider import OAuthProvider, ProviderAccount
from tests.proxy import ForwardProxy
from tests.serving import serving
from tests.staging.host import StagingHost

pytestmark = pytest.mark.real

_SECRET, _NEXT = "fa$ke 'client' secret", "another-fake-secret"
_ANNA, _STRANGER = "anna@example.com", "stranger@example.com"
_CONFIG = "/api/v1/admin/config"
# The names that Infisical asks through the proxy for the login of a person.
_ASKED = {
    "google": {"www.googleapis.com:443"},
    "github": {"github.com:443", "api.github.com:443"},
    "gitlab": set[str](),
}
_NAMES = ("accounts.google.com", "www.googleapis.com", "github.com", "api.github.com")
_VARIABLES = {kind: f"CLIENT_SECRET_{kind.upper()}_LOGIN" for kind in _ASKED}
_GIVEN = dict.fromkeys(_VARIABLES.values(), _SECRET)
# No answer of the API takes a restriction of the methods back: as it is stored by the stand-in, and
# by a real server, and cached by both.
_FORGET_METHODS = """
DO $$ BEGIN
    UPDATE super_admin SET "enabledLoginMethods" = NULL;
EXCEPTION WHEN undefined_column THEN
    UPDATE super_admin SET data = data || '{"enabledLoginMethods": null}';
END $$
"""
_FORGET_CACHED = (
    "docker exec infisical-redis-1 sh -c 'REDISCLI_AUTH=$REDIS_PASSWORD redis-cli del "
    "infisical-admin-cfg instance-settings'"
)


@dataclass
class _World(ConfiguredHost):
    """A host, the providers, and the proxy between it and two of them."""

    provider: OAuthProvider
    proxy: ForwardProxy
    trust: ssl.SSLContext
    organization: str = ""

    def methods(self) -> list[str] | None:
        with api(self.host) as client:
            found: list[str] | None = client.get(_CONFIG)["config"]["enabledLoginMethods"]
            return found

    def sign_in(self, kind: str, email: str) -> str:
        """Sign in as a browser does; return the address of who is signed in, or the refusal."""
        with api(self.host) as client:
            browser = client._http
            page = browser.get(f"/api/v1/sso/redirect/{kind}", follow_redirects=False)
            chosen = httpx.URL(page.headers["Location"]).copy_merge_params({"account": email})
            assert kind == "gitlab" or chosen.host in _NAMES
            # A browser has a way of its own to the provider.
            here = chosen.copy_with(host=self.provider.host, port=self.provider.port)
            back = httpx.URL(httpx.get(here, verify=self.trust).headers["Location"])
            answer = browser.get(back.raw_path.decode(), follow_redirects=False)
            if answer.status_code != httpx.codes.FOUND:
                refusal: str = answer.json()["message"]
                return refusal
            person = client.with_token(client.post("/api/v1/auth/token")["token"])
            body = {"organizationId": self.organization}
            token = person.post("/api/v3/auth/select-organization", json=body)["token"]
            signed_in: str = client.with_token(token).get("/api/v2/users/me")["user"]["email"]
            return signed_in


@pytest.fixture(scope="module")
def world(deployed_host: StagingHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_World]:
    """The world before logins are set; without the last provider, people log in by e-mail again."""
    directory = tmp_path_factory.mktemp("login")
    authority, address = OwnAuthority(directory / "authority"), backing.gateway(deployed_host)
    pair = authority.issue(address, *_NAMES)
    provider = OAuthProvider(secret=_SECRET, host=address, certificate=pair.certificate)
    provider.key = pair.key
    provider.accounts = [ProviderAccount(_ANNA), ProviderAccount(_STRANGER)]
    with serving(provider), serving(ForwardProxy(host=address, deny_others=True)) as proxy:
        proxy.routes = {f"{name}:443": (address, provider.port) for name in _NAMES}
        login = {kind: {"client_id": provider.client} for kind in _ASKED}
        login["gitlab"]["address"] = f"https://{address}:{provider.port}"
        through = {"outbound_proxy": proxy.url, "no_proxy": (address,)}
        settings = {"login": login, "extra_ca": str(authority.ca), **through}
        trust = ssl.create_default_context(cafile=str(authority.ca))
        made = _World(deployed_host, directory, settings, provider, proxy, trust)
        with take_back(made):
            yield made
        methods = made.methods()
        backing.sql(deployed_host, _FORGET_METHODS)
        deployed_host.run(_FORGET_CACHED)
        assert (made.methods(), methods is None or "email" in methods) == (None, True)


@pytest.mark.parametrize(
    ("given", "change", "fact"),
    [
        ({}, {}, "CLIENT_SECRET_GOOGLE_LOGIN_FILE"),
        (_GIVEN | {_VARIABLES["github"]: "obviously-fake"}, {}, "CLIENT_SECRET_GITHUB_LOGIN"),
        (_GIVEN, {"extra_ca": ""}, "extra_ca"),
    ],
)
def test_a_login_that_does_not_work_changes_nothing(
    world: _World, given: dict[str, str], change: dict[str, Any], fact: str
) -> None:
    """The other refusals are in tests/unit/instance/test_login_script.py."""
    world.assert_refused(fact, given, **change)


@pytest.fixture(scope="module")
def offering(world: _World) -> _World:
    """The world after an apply with the secrets, with the callbacks that the plan prints."""
    world.add_person(_ANNA)
    plan = world.run("plan")
    world.provider.callbacks = re.findall(r"(http\S+/api/v1/sso/\w+):", plan.stderr)
    assert (plan.returncode, len(world.provider.callbacks)) == (2, 3), plan.stderr
    world.proxy.requests.clear()
    done = world.apply(_GIVEN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert _SECRET not in done.stdout + done.stderr
    with administrator(world.host) as client:
        (own,) = client.get("/api/v1/organization")["organizations"]
        world.organization = own["id"]
    return world


def test_clients_are_proven_through_the_proxy_and_kept_for_root_only(offering: _World) -> None:
    proven = {f"CONNECT {name} passed" for kind in _ASKED for name in _ASKED[kind]}
    assert proven <= {*offering.proxy.requests}
    assert all(map(offering.has_secret, _VARIABLES.values()))


@pytest.mark.parametrize("kind", _ASKED)
def test_a_person_signs_in_with_each_provider(offering: _World, kind: str) -> None:
    offering.proxy.requests.clear()
    assert offering.sign_in(kind, _ANNA) == _ANNA
    assert offering.sign_in(kind, _STRANGER) == "Sign up disabled"
    asked = [each.split() for each in offering.proxy.requests if each.endswith(" passed")]
    assert {name for _, name, _ in asked} == _ASKED[kind]


def test_login_methods_are_restricted_and_nobody_is_locked_out(offering: _World) -> None:
    offering.settings["login_methods"] = ("google", "gitlab")
    done = offering.run("apply", "--yes", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    # Nothing else was left to do by the first apply.
    assert [each["what"] for each in json.loads(done.stdout)["changes"]] == ["login methods"]
    assert offering.methods() == ["google", "gitlab"]
    assert "Github" in offering.sign_in("github", _ANNA)
    assert offering.sign_in("google", _ANNA) == _ANNA
    with administrator(offering.host) as client:
        assert client.get("/api/v1/organization")["organizations"]
    assert offering.row("Sign-in")["ok"]


def test_a_client_secret_is_rotated_and_a_refused_one_is_not_used(offering: _World) -> None:
    variable = _VARIABLES["gitlab"]
    refused = offering.run("keys", "rotate", "gitlab", given={variable: _NEXT})
    assert (refused.returncode, variable in refused.stderr) == (1, True)
    assert offering.variable(variable) == _SECRET
    offering.provider.secret = _NEXT
    rotated = offering.run("keys", "rotate", "gitlab", given={variable: _NEXT})
    assert rotated.returncode == 0, rotated.stderr
    assert offering.variable(variable) == _NEXT
    assert offering.sign_in("gitlab", _ANNA) == _ANNA
    plan = offering.assert_unchanged()
    assert "/api/v1/sso/" not in plan.stderr
