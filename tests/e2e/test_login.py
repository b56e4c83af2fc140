"""Test logins by a GitLab, from the first apply to their removal."""

import json
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.certificates import OwnAuthority
from tests.e2e import backing
from tests.e2e.conftest import assert_converged
from tests.e2e.inspection import administrator, api
from tests.e2e.running import REPOSITORY, Done, infisical_iac
from tests.oauth_provider import OAuthProvider, ProviderAccount, serving
from tests.staging.host import StagingHost

pytestmark = pytest.mark.real

_SECRET, _NEXT = "fa$ke 'client' secret", "another-fake-secret"
_WORKSPACE = (REPOSITORY / "group_data" / "chainalign.yaml").read_text()
_ANNA, _STRANGER = "anna@example.com", "stranger@example.com"
_KEY = "/etc/infisical/keys/given_client_secret_gitlab_login"
_CONFIG = "/api/v1/admin/config"


@dataclass
class _World:
    """A staging host, a GitLab that it reaches, and the settings that name the GitLab."""

    host: StagingHost
    provider: OAuthProvider
    directory: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def run(self, *arguments: str, secret: str = "", **settings: Any) -> Done:
        inventory = backing.inventory(self.directory, **self.settings | settings)
        environment = {"CLIENT_SECRET_GITLAB_LOGIN": secret} if secret else {}
        named = ("--inventory", inventory)
        return infisical_iac(self.host.name, *arguments, *named, environment=environment)

    def apply(self, secret: str = "", **settings: Any) -> Done:
        return self.run("apply", "--yes", secret=secret, **settings)

    def containers(self) -> str:
        return self.host.run("docker ps --quiet --no-trunc | sort").stdout

    def row(self, name: str, **settings: Any) -> dict[str, Any]:
        rows = json.loads(self.run("status", "--json", **settings).stdout)
        (found,) = [row for row in rows if row["name"] == name]
        row: dict[str, Any] = found
        return row


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> OwnAuthority:
    return OwnAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def world(deployed_host: StagingHost, authority: OwnAuthority, tmp_path: Path) -> Iterator[_World]:
    """The world before logins are set; the host converges to its first deploy again at the end."""
    address = backing.gateway(deployed_host)
    pair = authority.issue(address)
    accounts = [ProviderAccount(_ANNA), ProviderAccount(_STRANGER)]
    provider = OAuthProvider(secret=_SECRET, host=address, accounts=accounts)
    provider.certificate, provider.key = pair.certificate, pair.key
    with serving(provider):
        gitlab = {"client_id": provider.client, "address": f"https://{address}:{provider.port}"}
        settings = {"login": {"gitlab": gitlab}, "extra_ca": str(authority.ca)}
        yield _World(deployed_host, provider, tmp_path, settings)
    assert infisical_iac(deployed_host.name, "apply", "--yes").returncode == 0
    assert deployed_host.run(f"test ! -e {_KEY}", check=False).returncode == 0
    assert_converged(deployed_host)


def _callback(plan: Done) -> str:
    """Return the callback that a plan says must be entered at the provider."""
    found = re.search(r"(http\S+/api/v1/sso/gitlab):", plan.stderr)
    assert found, plan.stderr
    return found[1]


def test_a_person_signs_in_with_gitlab(world: _World, authority: OwnAuthority) -> None:
    file = world.directory / "workspace.yaml"
    file.write_text(f"{_WORKSPACE}\npeople:\n  {_ANNA}:\n    production: viewer\n")
    plan = world.run("plan", workspace_file=str(file))
    assert plan.returncode == 2, plan.stderr
    world.provider.callbacks.append(_callback(plan))

    done = world.apply(_SECRET, workspace_file=str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert _SECRET not in done.stdout + done.stderr
    assert world.host.run(f"stat --format %a {_KEY}").stdout.strip() == "600"
    again = world.run("plan", workspace_file=str(file))
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "Nothing to change.")
    assert "/api/v1/sso/" not in again.stderr
    assert world.row("Sign-in")["ok"]

    with administrator(world.host) as client:
        (own,) = client.get("/api/v1/organization")["organizations"]
    assert _sign_in(world, own["id"], authority.ca, _ANNA) == [_ANNA]
    assert _sign_in(world, own["id"], authority.ca, _STRANGER) == []

    moved = world.run("plan", site_url="https://vault.example.com")
    assert "https://vault.example.com/api/v1/sso/gitlab" in moved.stderr
    assert world.provider.callbacks[0] in moved.stderr
    pruned = infisical_iac(world.host.name, "workspace", "apply", "--prune", "--yes", "--json")
    assert pruned.returncode == 0, pruned.stderr


def _sign_in(world: _World, organization: str, ca: Path, email: str) -> list[str]:
    """Sign in as a browser does; return the address of who is signed in, none for a refusal."""
    with api(world.host) as client:
        browser = client._http
        page = browser.get("/api/v1/sso/redirect/gitlab", follow_redirects=False)
        chosen = httpx.URL(page.headers["Location"]).copy_merge_params({"account": email})
        back = httpx.get(chosen, verify=ssl.create_default_context(cafile=str(ca))).headers[
            "Location"
        ]
        answer = browser.get(httpx.URL(back).raw_path.decode(), follow_redirects=False)
        if answer.status_code != httpx.codes.FOUND:
            assert answer.json()["message"] == "Sign up disabled"
            return []
        person = client.with_token(client.post("/api/v1/auth/token")["token"])
        body = {"organizationId": organization}
        token = person.post("/api/v3/auth/select-organization", json=body)["token"]
        return [client.with_token(token).get("/api/v2/users/me")["user"]["email"]]


def test_a_client_that_the_provider_refuses_changes_nothing(world: _World) -> None:
    before = world.containers()
    done = world.apply("obviously-fake")
    assert done.returncode == 1
    assert "CLIENT_SECRET_GITLAB_LOGIN" in done.stderr
    assert "obviously-fake" not in done.stdout + done.stderr
    assert world.containers() == before
    assert world.host.run(f"test -e {_KEY}", check=False).returncode == 1


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({}, "CLIENT_SECRET_GITLAB_LOGIN_FILE"),
        ({"login_methods": ("email", "google")}, "google"),
        ({"login_methods": ("email", "oidc")}, "license_key"),
        ({"extra_ca": ""}, "CLIENT_SECRET_GITLAB_LOGIN_FILE"),
    ],
)
def test_a_login_that_can_not_work_changes_nothing(
    world: _World, change: dict[str, Any], fact: str
) -> None:
    before = world.containers()
    done = world.apply(**change)
    assert (done.returncode, world.containers()) == (1, before)
    assert fact in done.stderr


def test_a_certificate_of_an_unknown_authority_is_refused(world: _World) -> None:
    done = world.apply(_SECRET, extra_ca="")
    assert done.returncode == 1
    assert "extra_ca" in done.stderr


def test_a_client_secret_is_rotated_and_a_refused_one_is_not_used(world: _World) -> None:
    assert world.apply(_SECRET).returncode == 0
    refused = world.run("keys", "rotate", "gitlab", secret=_NEXT)
    assert refused.returncode == 1
    container = "docker exec infisical-infisical-1 printenv CLIENT_SECRET_GITLAB_LOGIN"
    assert world.host.run(container).stdout == f"{_SECRET}\n"
    world.provider.secret = _NEXT
    rotated = world.run("keys", "rotate", "gitlab", secret=_NEXT)
    assert rotated.returncode == 0, rotated.stderr
    assert world.host.run(container).stdout == f"{_NEXT}\n"
    assert world.run("plan").returncode == 0


def test_login_methods_are_restricted_and_nobody_is_locked_out(world: _World) -> None:
    done = world.apply(_SECRET, login_methods=("gitlab",))
    assert done.returncode == 0, done.stdout + done.stderr
    assert _methods(world) == ["gitlab"]
    assert world.row("Sign-in", login_methods=("gitlab",))["ok"]
    with administrator(world.host) as client:
        assert client.get("/api/v1/organization")["organizations"]
    assert world.run("plan", login_methods=("gitlab",)).returncode == 0

    assert not world.row("Sign-in", login_methods=("email",))["ok"]
    assert world.apply(login_methods=("email", "gitlab")).returncode == 0
    assert _methods(world) == ["email", "gitlab"]


def _methods(world: _World) -> list[str]:
    with api(world.host) as client:
        found: list[str] = client.get(_CONFIG)["config"]["enabledLoginMethods"]
    return found
