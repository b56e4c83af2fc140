"""Test the login at a real mail server, and the sentence on each of its failures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import servers
from infisical_iac.agent.servers import ServerFinding
from infisical_iac.core.agent import question
from infisical_iac.instance.proof import describe_mail_failure
from infisical_iac.instance.settings import Smtp
from tests.certificates import OwnAuthority
from tests.mail_server import MailServer, Refusal, Tls
from tests.ports import free_port
from tests.serving import serving
from tests.unit.agent.fake_runner import FakeRunner, answer, answer_by_newest_python

_USER, _PASSWORD = "mailer", "not-a-real-password"
_ACCEPTED = ServerFinding()


class _World:
    """A mail server, and a host that logs in to it."""

    def __init__(self, server: MailServer, ca: Path, root: Path) -> None:
        self.server, self.ca, self.host = server, ca, FakeRunner(root)
        self.key = self.host.write("/etc/infisical/keys/given_smtp_password", f"{_PASSWORD}\n")

    def asked(self, **changes: Any) -> dict[str, Any]:
        asked = {
            "host": "localhost",
            "port": self.server.port,
            "tls": self.server.tls,
            "user": _USER,
            "password": {"key": "given_smtp_password", "value": changes.pop("password", "")},
            "sender": "iac@example.com",
            "name": "Infisical",
            "to": "ada@example.com",
            "send": False,
            "authorities": self.ca.read_text(),
        }
        return asked | changes

    def prove(self, **changes: Any) -> ServerFinding:
        found = answer(question(servers.log_in_to_mail, **self.asked(**changes)), self.host)
        assert _PASSWORD not in str(found)
        return found


@pytest.fixture
def world(request: pytest.FixtureRequest, authority: OwnAuthority, tmp_path: Path) -> Iterator[Any]:
    tls: Tls = getattr(request, "param", "starttls")
    pair = authority.issue("localhost")
    server = MailServer(tmp_path / "mails", tls=tls, user=_USER, password=_PASSWORD)
    if tls != "none":
        server.certificate, server.key = pair.certificate, pair.key
    with serving(server):
        yield _World(server, authority.ca, tmp_path / "etc")


@pytest.mark.parametrize("world", ["starttls", "tls", "none"], indirect=True)
def test_a_login_that_works_sends_no_mail(world: _World) -> None:
    assert world.prove() == _ACCEPTED
    assert world.server.mails() == []
    sessions = world.server.sessions()
    assert any(line.startswith(f"AUTH {_USER} accepted") for line in sessions)
    assert sessions[-1] == "RCPT ada@example.com accepted"


def test_a_test_mail_reaches_its_recipient(world: _World) -> None:
    assert world.prove(send=True) == _ACCEPTED
    (mail,) = world.server.mails()
    text = mail.read_text()
    assert "X-Recipients: ada@example.com" in text
    assert "From: Infisical <iac@example.com>" in text


@pytest.mark.parametrize(
    ("refuse", "step"),
    [("login", "auth"), ("sender", "sender"), ("recipient", "recipient"), ("message", "send")],
)
def test_each_refusal_of_the_server_names_its_step(
    world: _World, refuse: Refusal, step: str
) -> None:
    world.server.refuse = refuse
    found = world.prove(send=True)
    assert found.step == step
    assert found.reason[:3] in ("535", "553", "550", "554")
    assert world.server.mails() == []


@pytest.mark.parametrize("send", [False, True])
def test_relaying_is_proven_without_a_mail(world: _World, send: bool) -> None:
    world.server.refuse = "recipient"
    found = world.prove(send=send)
    assert (found.step, found.reason[:3]) == ("recipient", "550")
    assert not any(line.startswith("DATA") for line in world.server.sessions())


def test_greylisting_is_no_failure_until_a_mail_is_sent(world: _World) -> None:
    world.server.refuse = "greylist"
    assert world.prove() == _ACCEPTED
    found = world.prove(send=True)
    assert (found.step, found.reason[:3]) == ("recipient", "450")


def test_a_wrong_password_is_refused_without_being_shown(world: _World) -> None:
    found = world.prove(password="another-fake-password")
    assert found.step == "auth"
    assert "another-fake-password" not in found.reason


def test_an_unknown_authority_and_a_wrong_name_have_different_reasons(world: _World) -> None:
    assert world.prove(authorities="").step == "certificate"
    found = world.prove(host="127.0.0.1")
    assert found.step == "certificate"
    assert "127.0.0.1" in found.reason


@pytest.mark.parametrize("change", [{"password": "fäke-pässword"}, {"user": "mäiler"}])
def test_a_login_outside_ascii_is_refused_without_showing_its_characters(
    world: _World, change: dict[str, str]
) -> None:
    found = world.prove(**change)
    assert found.step == "auth"
    assert "ASCII" in found.reason
    assert not any(each in found.reason for each in ("ä", "xe4", "position"))


def test_a_host_without_a_password_asks_no_server(world: _World) -> None:
    world.key.unlink()
    assert world.prove().step == "password"
    assert world.server.sessions() == []


@pytest.mark.parametrize("world", ["none"], indirect=True)
def test_a_public_address_gets_no_password_in_clear_text(
    world: _World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loopback counts as public here, as tests reach no public address."""
    monkeypatch.setattr(servers, "is_public", lambda address: address == "127.0.0.1")
    found = world.prove()
    assert (found.step, found.reason) == ("public", "127.0.0.1")
    assert not any(line.startswith(("EHLO", "AUTH")) for line in world.server.sessions())


def test_a_public_address_is_fine_with_tls(world: _World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "is_public", lambda _: True)
    assert world.prove() == _ACCEPTED


def test_an_authority_without_a_key_usage_is_accepted(tmp_path: Path) -> None:
    """Node accepts it too; Python from 3.13 on asks for more by default."""
    authority = OwnAuthority(tmp_path / "plain", has_key_usage=False)
    pair = authority.issue("localhost")
    server = MailServer(tmp_path / "mails", tls="starttls", user=_USER, password=_PASSWORD)
    server.certificate, server.key = pair.certificate, pair.key
    with serving(server):
        world = _World(server, authority.ca, tmp_path / "etc")

        def prove(**changes: Any) -> ServerFinding:
            asked = question(servers.log_in_to_mail, **world.asked(**changes))
            return answer_by_newest_python(asked, world.host)

        assert prove() == _ACCEPTED
        assert prove(authorities="").step == "certificate"
        assert prove(host="127.0.0.1").step == "certificate"


@pytest.mark.parametrize("world", ["none"], indirect=True)
def test_a_server_without_starttls_gets_no_password(world: _World) -> None:
    found = world.prove(tls="starttls")
    assert found.step == "starttls"
    assert not any(line.startswith("AUTH") for line in world.server.sessions())


def test_tls_at_a_port_that_begins_in_clear_is_refused(world: _World) -> None:
    assert world.prove(tls="tls").step == "tls"


def test_a_closed_port_and_an_unknown_name_are_reported(world: _World) -> None:
    assert world.prove(port=free_port()).step == "connect"
    assert world.prove(port=free_port(), tls="tls").step == "connect"
    assert world.prove(host="nowhere.invalid").step == "resolve"


@pytest.mark.parametrize(
    ("step", "fact"),
    [
        ("resolve", "correct the name"),
        ("tls", "port 465"),
        ("starttls", "clear text"),
        ("certificate", "extra_ca"),
        ("auth", "SMTP_PASSWORD"),
        ("auth", "`infisical-iac keys rotate smtp`"),
        ("password", "`infisical-iac apply`"),
        ("public", "'starttls'"),
        ("sender", "from_address"),
        ("recipient", "ada@example.com"),
        ("send", "operator"),
        ("connect", "host and port"),
        ("greet", "host and port"),
    ],
)
def test_each_failure_has_its_remedy(step: str, fact: str) -> None:
    smtp = Smtp(host="smtp.example.com", from_address="iac@example.com", user="mailer")
    sentence = describe_mail_failure(smtp, step, "because", "ada@example.com")
    assert fact in sentence
    assert "because" in sentence or step in ("resolve", "starttls", "password")
