"""Test mail by a real mail server with TLS and a login, from the first apply to its removal.

The tests of this module follow one another on one host.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from html import unescape
from typing import Any

import httpx
import pytest

from infisical_iac.api.client import Client
from tests.certificates import OwnAuthority
from tests.e2e import backing
from tests.e2e.configured import ConfiguredHost, take_back
from tests.e2e.inspection import api
from tests.mail_server import MailServer
from tests.serving import serving
from tests.staging.host import StagingHost

pytestmark = pytest.mark.real

_USER, _PASSWORD, _NEXT = "mailer", "fa$ke 'mail' password", "another-fake-password"
_CARL = "carl@example.com"


@dataclass
class _World(ConfiguredHost):
    """A host, and a mail server that it reaches."""

    server: MailServer

    def can_send(self) -> bool:
        return self.run("mail", "test", _CARL).returncode == 0


@pytest.fixture(scope="module")
def world(deployed_host: StagingHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_World]:
    """The world before mail is set."""
    directory = tmp_path_factory.mktemp("mail")
    authority, address = OwnAuthority(directory / "authority"), backing.gateway(deployed_host)
    pair = authority.issue(address)
    server = MailServer(directory / "mails", host=address, tls="starttls")
    server.user, server.password = _USER, _PASSWORD
    server.certificate, server.key = pair.certificate, pair.key
    with serving(server):
        smtp = {"host": address, "port": server.port, "user": _USER}
        smtp["from_address"] = "iac@example.com"
        settings = {"smtp": smtp, "extra_ca": str(authority.ca)}
        made = _World(deployed_host, directory, settings, server)
        with take_back(made):
            yield made


@pytest.mark.parametrize(
    ("given", "refuse", "change", "fact"),
    [
        ("", None, {}, "SMTP_PASSWORD_FILE"),
        ("another-fake-password", None, {}, "keys rotate smtp"),
        (_PASSWORD, "recipient", {}, "admin@example.com"),
        (_PASSWORD, None, {"extra_ca": ""}, "extra_ca"),
    ],
)
def test_mail_that_does_not_work_changes_nothing(
    world: _World, given: str, refuse: Any, change: dict[str, Any], fact: str
) -> None:
    """The other refusals of mail servers are in tests/unit/instance/test_mail_login.py."""
    world.server.refuse = refuse
    world.assert_refused(fact, {"SMTP_PASSWORD": given} if given else None, **change)
    assert world.server.mails() == []
    world.server.refuse = None


@pytest.fixture(scope="module")
def sending(world: _World) -> _World:
    """The world after an apply with the password, and a person who was invited by it."""
    world.add_person(_CARL)
    done = world.apply({"SMTP_PASSWORD": _PASSWORD})
    assert done.returncode == 0, done.stdout + done.stderr
    assert _PASSWORD not in done.stdout + done.stderr
    assert "invitation link" not in done.stdout + done.stderr
    assert f"workspace invite {_CARL}" in done.stdout + done.stderr
    return world


def test_an_invitation_by_mail_is_accepted(sending: _World) -> None:
    assert sending.has_secret("SMTP_PASSWORD")
    with api(sending.host) as client:
        _accept(client, _invitation(sending.server))
    sending.assert_unchanged()
    assert sending.row("Mail")["ok"]


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


def test_a_password_is_rotated_and_a_refused_one_is_not_used(sending: _World) -> None:
    refused = sending.run("keys", "rotate", "smtp", given={"SMTP_PASSWORD": _NEXT})
    assert (refused.returncode, "SMTP_PASSWORD" in refused.stderr) == (1, True)
    assert sending.can_send()
    assert f"X-Recipients: {_CARL}".encode() in sending.server.mails()[-1].read_bytes()
    sending.server.password = _NEXT
    assert not sending.can_send()
    rotated = sending.run("keys", "rotate", "smtp", given={"SMTP_PASSWORD": _NEXT})
    assert rotated.returncode == 0, rotated.stderr
    assert sending.can_send()
    assert sending.variable("SMTP_PASSWORD") == _NEXT
    sending.assert_unchanged()
