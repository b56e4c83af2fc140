"""Test logins by Google, GitHub and GitLab, from the first apply to their removal.

All three are one server of the tests. GitLab's address is a setting. Those of Google and GitHub are
fixed, so Infisical reaches them through a proxy, which leads their names to that server; the tests'
own authority has signed its certificate. The tests of this module follow one another on one host.
"""

import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import sync_playwright

from tests.browser.trust import home
from tests.browser.visit import PROGRAM
from tests.certificates import OwnAuthority
from tests.contract.services import port_open, wait_until
from tests.e2e import backing
from tests.e2e.configured import ConfiguredHost, take_back
from tests.e2e.inspection import administrator, api
from tests.e2e.running import REPOSITORY
from tests.oauth_provider import OAuthProvider, ProviderAccount
from tests.proxy import ForwardProxy
from tests.serving import serving
from tests.staging.host import StagingHost

pytestmark = pytest.mark.real

_SECRET, _NEXT = "fa$ke 'client' secret", "another-fake-secret"
_ANNA, _STRANGER = "anna@example.com", "stranger@example.com"
_CONFIG = "/api/v1/admin/config"
_SITE = "http://127.0.0.1:8080"
_PYTHON = (sys.executable, "-m", "infisical_config")
_LOADERS = {
    "google": ("node", str(REPOSITORY / "loaders" / "node" / "bin" / "with-secrets.js")),
    "github": _PYTHON,
    "gitlab": _PYTHON,
}
# The names that Infisical requests through the proxy when a person logs in.
_ASKED = {
    "google": {"www.googleapis.com:443"},
    "github": {"github.com:443", "api.github.com:443"},
    "gitlab": set[str](),
}
_NAMES = ("accounts.google.com", "www.googleapis.com", "github.com", "api.github.com")
_VARIABLES = {kind: f"CLIENT_SECRET_{kind.upper()}_LOGIN" for kind in _ASKED}
_GIVEN = dict.fromkeys(_VARIABLES.values(), _SECRET)
# The API can't remove a restriction of the methods. The stand-in and a real server store it in
# different columns, and cache it under different keys.
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
            # A browser reaches the provider without the proxy.
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
    """The other refusals are in tests/unit/instance/test_login_clients.py."""
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


@pytest.mark.skipif(not os.environ.get("STAGING_INFISICAL_IMAGE"), reason="needs Infisical's pages")
@pytest.mark.parametrize("kind", _ASKED)
def test_a_person_logs_in_by_the_command_line_and_a_browser(
    offering: _World, kind: str, tmp_path: Path
) -> None:
    """The browser goes from Infisical's page to the provider and back, then to a port on loopback.

    Nothing opens the page by itself: the browser of the test takes the address that is printed.
    """
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "xdg-open").symlink_to("/bin/true")
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "INFISICAL_KEYRING": "file",
        "PYTHONPATH": str(REPOSITORY / "loaders" / "python"),
    }

    def command(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*_LOADERS[kind], *arguments, "--address", _SITE],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )

    with _tunnel(offering.host), command("login", "--browser") as login:
        try:
            assert login.stdout is not None
            url = next(line for line in login.stdout if "callback_port=" in line).split()[-1]
            with _choose(offering, url, kind, _ANNA):
                said, _ = login.communicate(timeout=60)
        finally:
            login.kill()
        assert (login.returncode, f"Logged in as {_ANNA}" in said) == (0, True), said
        (file,) = (tmp_path / ".config" / "infisical-config").glob("*.login")
        assert str(file) in said
        with command("whoami") as whoami:
            answer, _ = whoami.communicate(timeout=60)
        assert answer.startswith(_ANNA)


@contextmanager
def _tunnel(host: StagingHost) -> Iterator[None]:
    """Lead Infisical's own address, which is one on loopback, to the host."""
    known = json.loads((host.directory / "host.json").read_text())
    options = (f"UserKnownHostsFile={known['known_hosts']}", "ExitOnForwardFailure=yes")
    place = urlsplit(_SITE).netloc
    command = ("ssh", "-N", "-L", f"{place}:{place}", "-i", known["key"], "-p", str(known["port"]))
    chosen = [word for each in options for word in ("-o", each)]
    target = f"{known['user']}@127.0.0.1"
    with subprocess.Popen([*command, *chosen, target]) as tunnel:
        try:
            wait_until(lambda: port_open(8080), "the tunnel did not open", seconds=20)
            yield
        finally:
            tunnel.terminate()


@contextmanager
def _choose(world: _World, url: str, kind: str, email: str) -> Iterator[None]:
    """Open the page in a browser, and choose a provider and an account of it."""
    here = f"{world.provider.host}:{world.provider.port}"
    rules = ",".join(f"MAP {name} {here}" for name in _NAMES)
    options = [f"--host-resolver-rules={rules}", "--no-proxy-server"]
    with home(Path(world.settings["extra_ca"])) as directory, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=PROGRAM, args=options, env={**os.environ, "HOME": str(directory)}
        )
        with closing(browser):
            page = browser.new_page()
            page.set_default_timeout(60_000)
            page.goto(url)
            page.get_by_role("button", name=f"Continue with {kind}").click()
            page.get_by_role("link", name=email).click()
            yield


def test_login_methods_are_restricted_and_nobody_is_locked_out(offering: _World) -> None:
    offering.settings["login_methods"] = ("google", "gitlab")
    done = offering.run("apply", "--yes", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    # The first apply left nothing else to do.
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
