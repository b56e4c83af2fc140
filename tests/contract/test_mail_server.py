"""Test the mail server of the tests, by Python's own client."""

from __future__ import annotations

import smtplib
import ssl
import subprocess
import sys
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import mail_server
from tests.certificates import OwnAuthority
from tests.mail_server import MailServer, Refusal, Tls
from tests.ports import free_port
from tests.serving import serving
from tests.staging.programs import bundle

from .services import port_open, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = str(Path(mail_server.__file__))
USER, PASSWORD = "mailer", "not-a-real-password"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> OwnAuthority:
    return OwnAuthority(tmp_path_factory.mktemp("authority"))


@contextmanager
def _serving(authority: OwnAuthority, tls: Tls, directory: Path) -> Iterator[MailServer]:
    pair = authority.issue("localhost")
    server = MailServer(directory, tls=tls, user=USER, password=PASSWORD)
    server.certificate, server.key = pair.certificate, pair.key
    with serving(server):
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MailServer]:
    with serving(MailServer(tmp_path / "mails", user=USER, password=PASSWORD)) as running:
        yield running


def _mail() -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.com", "b@example.com", "Hello"
    mail.set_content("A text.")
    return mail


def _send(server: MailServer, password: str = PASSWORD) -> None:
    with smtplib.SMTP("localhost", server.port, timeout=5) as client:
        client.login(USER, password)
        client.send_message(_mail())


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_mail_through_tls_with_a_login_is_kept(
    tls: Tls, authority: OwnAuthority, tmp_path: Path
) -> None:
    trust = ssl.create_default_context(cafile=str(authority.ca))
    with _serving(authority, tls, tmp_path) as server:
        client: smtplib.SMTP
        if tls == "tls":
            client = smtplib.SMTP_SSL("localhost", server.port, timeout=5, context=trust)
        else:
            client = smtplib.SMTP("localhost", server.port, timeout=5)
            client.starttls(context=trust)
        with client:
            client.login(USER, PASSWORD)
            client.send_message(_mail())
    (kept,) = server.mails()
    mail = message_from_bytes(kept.read_bytes())
    assert (mail["Subject"], mail["X-Login"]) == ("Hello", USER)
    assert (mail["X-Sender"], mail["X-Recipients"]) == ("a@example.com", "b@example.com")
    assert "AUTH mailer accepted" in server.sessions()
    assert any("tls=TLSv1." in line for line in server.sessions())


def test_starttls_is_needed_before_a_login(authority: OwnAuthority, tmp_path: Path) -> None:
    with (
        _serving(authority, "starttls", tmp_path) as server,
        smtplib.SMTP("localhost", server.port, timeout=5) as client,
        pytest.raises(smtplib.SMTPNotSupportedError),
    ):
        client.login(USER, PASSWORD)


def test_a_certificate_that_is_not_trusted_ends_the_session(
    authority: OwnAuthority, tmp_path: Path
) -> None:
    with _serving(authority, "starttls", tmp_path) as server:
        client = smtplib.SMTP("localhost", server.port, timeout=5)
        with pytest.raises(ssl.SSLCertVerificationError):
            client.starttls(context=ssl.create_default_context())
        client.close()
        with smtplib.SMTP("localhost", server.port, timeout=5) as another:
            assert another.noop()[0] == 250


def test_a_certificate_of_another_name_is_not_accepted(
    authority: OwnAuthority, tmp_path: Path
) -> None:
    trust = ssl.create_default_context(cafile=str(authority.ca))
    pair = authority.issue("other.example.com")
    server = MailServer(tmp_path, tls="tls", certificate=pair.certificate, key=pair.key)
    with serving(server), pytest.raises(ssl.SSLCertVerificationError):
        smtplib.SMTP_SSL("localhost", server.port, timeout=5, context=trust)


def test_a_wrong_password_is_refused(server: MailServer) -> None:
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        _send(server, "wrong")
    assert refused.value.smtp_code == 535
    assert server.mails() == []


def test_a_mail_without_a_login_is_refused(server: MailServer) -> None:
    with (
        smtplib.SMTP("localhost", server.port, timeout=5) as client,
        pytest.raises(smtplib.SMTPSenderRefused) as refused,
    ):
        client.send_message(_mail())
    assert refused.value.smtp_code == 530


@pytest.mark.parametrize(
    ("step", "code"), [("login", 535), ("sender", 553), ("recipient", 550), ("message", 554)]
)
def test_a_step_is_refused_with_its_code(server: MailServer, step: Refusal, code: int) -> None:
    server.refuse = step
    with pytest.raises(smtplib.SMTPException) as refused:
        _send(server)
    error = refused.value
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        assert error.recipients["b@example.com"][0] == code
    else:
        assert isinstance(error, smtplib.SMTPResponseException)
        assert error.smtp_code == code
    assert server.mails() == []
    server.refuse = None
    _send(server)
    assert len(server.mails()) == 1


def test_a_silent_server_gives_no_greeting(server: MailServer) -> None:
    server.refuse = "greeting"
    with pytest.raises(smtplib.SMTPServerDisconnected):
        smtplib.SMTP("localhost", server.port, timeout=0.3)


def test_the_program_runs_alone_until_it_is_terminated(tmp_path: Path) -> None:
    port = free_port()
    options = ("--port", str(port), "--tls", "none", "--directory", str(tmp_path / "mails"))
    program = subprocess.Popen(
        # As on a host, which has no other module of the tests.
        [sys.executable, "-P", PROGRAM, *options],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: port_open(port), "The mail server did not open its port")
        with smtplib.SMTP("localhost", port, timeout=5) as client:
            client.send_message(_mail())
        program.terminate()
        output, _ = program.communicate(timeout=10)
    finally:
        program.kill()
    assert (program.returncode, output) == (0, "ready\n")
    assert [file.name for file in (tmp_path / "mails").glob("*.eml")] == ["000001.eml"]


def test_a_bundle_for_a_staging_host_needs_no_other_packages(tmp_path: Path) -> None:
    bundle("mail_server", tmp_path)
    port = free_port()
    options = ("--port", str(port), "--tls", "none", "--directory", str(tmp_path / "mails"))
    program = subprocess.Popen(
        # -S leaves out the packages of this environment.
        [sys.executable, "-S", "-P", str(tmp_path / "mail_server.py"), *options],
        env={"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: port_open(port), "The mail server did not open its port")
        with smtplib.SMTP("localhost", port, timeout=5) as client:
            client.send_message(_mail())
    finally:
        program.kill()
        program.wait(timeout=10)
    assert len([*(tmp_path / "mails").glob("*.eml")]) == 1


def test_tls_without_a_certificate_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, PROGRAM, "--port", "0", "--directory", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, "certificate" in done.stderr) == (1, True)
