"""Test mail by a real mail server with TLS and a login, from the first apply to its removal."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from infisical_iac.api.client import Client
from tests.certificates import OwnAuthority
from tests.e2e import backing
from tests.e2e.conftest import assert_converged
from tests.e2e.inspection import api
from tests.e2e.running import REPOSITORY, Done, infisical_iac
from tests.mail_server import MailServer, serving
from tests.staging.host import StagingHost

pytestmark = pytest.mark.real

_USER, _PASSWORD, _NEXT = "mailer", "fa$ke 'mail' password", "another-fake-password"
_WORKSPACE = (REPOSITORY / "group_data" / "chainalign.yaml").read_text()
_CARL = "carl@example.com"
_KEY = "/etc/infisical/keys/given_smtp_password"


@dataclass
class _World:
    """A staging host, a mail server that it reaches, and the settings that name the server."""

    host: StagingHost
    server: MailServer
    directory: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def run(self, *arguments: str, password: str = "", **settings: Any) -> Done:
        inventory = backing.inventory(self.directory, **self.settings | settings)
        environment = {"SMTP_PASSWORD": password} if password else {}
        given = ("--inventory", inventory)
        return infisical_iac(self.host.name, *arguments, *given, environment=environment)

    def apply(self, password: str = "", **settings: Any) -> Done:
        return self.run("apply", "--yes", password=password, **settings)

    def containers(self) -> str:
        return self.host.run("docker ps --quiet --no-trunc | sort").stdout


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> OwnAuthority:
    return OwnAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def world(deployed_host: StagingHost, authority: OwnAuthority, tmp_path: Path) -> Iterator[_World]:
    """The world before mail is set; the host converges to its first deploy again at the end."""
    address = backing.gateway(deployed_host)
    pair = authority.issue(address)
    server = MailServer(tmp_path / "mails", host=address, tls="starttls")
    server.user, server.password = _USER, _PASSWORD
    server.certificate, server.key = pair.certificate, pair.key
    with serving(server):
        smtp = {"host": address, "port": server.port, "user": _USER}
        settings = {"smtp": {**smtp, "from_address": "iac@example.com"}}
        yield _World(deployed_host, server, tmp_path, {**settings, "extra_ca": str(authority.ca)})
    assert infisical_iac(deployed_host.name, "apply", "--yes").returncode == 0
    assert deployed_host.run(f"test ! -e {_KEY}", check=False).returncode == 0
    assert_converged(deployed_host)


def test_an_invitation_by_mail_is_accepted(world: _World) -> None:
    file = world.directory / "workspace.yaml"
    file.write_text(f"{_WORKSPACE}\npeople:\n  {_CARL}:\n    production: viewer\n")
    done = world.apply(_PASSWORD, workspace_file=str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert _PASSWORD not in done.stdout + done.stderr
    assert "invitation link" not in done.stdout + done.stderr
    assert f"workspace invite {_CARL}" in done.stdout + done.stderr
    assert world.host.run(f"stat --format %a {_KEY}").stdout.strip() == "600"

    link = _invitation(world.server)
    with api(world.host) as client:
        _accept(client, link)
    plan = world.run("plan", workspace_file=str(file))
    assert (plan.returncode, plan.stdout.splitlines()[-1]) == (0, "Nothing to change."), plan.stdout

    rows = json.loads(world.run("status", "--json", workspace_file=str(file)).stdout)
    assert [row["ok"] for row in rows if row["name"] == "Mail"] == [True]
    sent = world.run("mail", "test", "ada@example.com")
    assert sent.returncode == 0, sent.stderr
    assert b"X-Recipients: ada@example.com" in world.server.mails()[-1].read_bytes()

    pruned = infisical_iac(world.host.name, "workspace", "apply", "--prune", "--yes", "--json")
    assert pruned.returncode == 0, pruned.stderr


def _invitation(server: MailServer) -> httpx.URL:
    """Return the link of the invitation that the mail server received."""
    for path in server.mails():
        mail = message_from_bytes(path.read_bytes())
        body = mail.get_payload(decode=True)
        assert isinstance(body, bytes)
        if found := re.search(r'href="([^"]+signupinvite[^"]+)"', body.decode()):
            return httpx.URL(unescape(found[1]))
    raise AssertionError(f"no invitation among {len(server.mails())} mails")


def _accept(client: Client, link: httpx.URL) -> None:
    """Accept an invitation as its page does."""
    asked = {
        "email": link.params["to"],
        "organizationId": link.params["organization_id"],
        "code": link.params["token"],
    }
    verified = client.post("/api/v1/invite-org/verify", json=asked)
    person = {"type": "email", "email": asked["email"], "firstName": "Carl"}
    made = client.with_token(verified["token"]).post(
        "/api/v3/signup/complete-account",
        json={**person, "password": "obviously-fake-password"},
    )
    assert made["user"]["email"] == asked["email"]


@pytest.mark.parametrize(
    ("refuse", "change", "fact"),
    [
        ("login", {}, "SMTP_PASSWORD"),
        ("sender", {}, "from_address"),
        ("recipient", {}, "admin@example.com"),
        (None, {"port": 9}, "host and port"),
        (None, {"host": "localhost"}, "host and port"),
    ],
)
def test_a_mail_server_that_refuses_changes_nothing(
    world: _World, refuse: Any, change: dict[str, Any], fact: str
) -> None:
    before = world.containers()
    world.server.refuse = refuse
    done = world.apply(_PASSWORD, smtp=world.settings["smtp"] | change)
    assert done.returncode == 1
    assert fact in done.stderr
    assert _PASSWORD not in done.stdout + done.stderr
    assert world.containers() == before
    assert world.host.run(f"test -e {_KEY}", check=False).returncode == 1


def test_without_a_password_nothing_is_changed(world: _World) -> None:
    before = world.containers()
    done = world.apply()
    assert (done.returncode, world.containers()) == (1, before)
    assert "SMTP_PASSWORD_FILE" in done.stderr


def test_a_certificate_of_an_unknown_authority_is_refused(world: _World) -> None:
    done = world.apply(_PASSWORD, extra_ca="")
    assert done.returncode == 1
    assert "extra_ca" in done.stderr


def test_a_password_is_rotated_and_a_refused_one_is_not_used(world: _World) -> None:
    assert world.apply(_PASSWORD).returncode == 0
    refused = world.run("keys", "rotate", "smtp", password=_NEXT)
    assert refused.returncode == 1
    assert "SMTP_PASSWORD" in refused.stderr
    assert world.run("mail", "test", _CARL).returncode == 0
    world.server.password = _NEXT
    assert world.run("mail", "test", _CARL).returncode == 1
    rotated = world.run("keys", "rotate", "smtp", password=_NEXT)
    assert rotated.returncode == 0, rotated.stderr
    assert world.run("mail", "test", _CARL).returncode == 0
    container = "docker exec infisical-infisical-1 printenv SMTP_PASSWORD"
    assert world.host.run(container).stdout == f"{_NEXT}\n"
    plan = world.run("plan")
    assert plan.returncode == 0, plan.stdout
