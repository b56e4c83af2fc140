"""Test what `doctor` reports of a wrong clock, a wrong certificate and a wrong server."""

import re
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests import service
from tests.scripted import GOOD, Script, ScriptedServer, listing
from tests.test_route import certificate_of_localhost

PAGE = "<!doctype html><title>Welcome</title>"
VALUE = "value-of-a"


class Report(NamedTuple):
    """The report of `doctor`.

    Attributes:
        found: its lines, by their names.
    """

    status: int
    found: dict[str, str]


def examine(
    path: Path, status: Script = GOOD, certificate: Path | None = None, authority: str | None = None
) -> Report:
    """Run `doctor` of a service whose server has this status and certificate.

    Args:
        authority: the file of the trusted authority; by default the certificate's own.
    """
    server = ScriptedServer(listed=[listing(A=VALUE)], status=status, certificate=certificate)
    with server:
        return run(path, server.address, str(certificate or "") if authority is None else authority)


def run(path: Path, address: str, authority: str = "") -> Report:
    home = service.directory(path / "service", address)
    variables = {"SSL_CERT_FILE": authority} if authority else {}
    done = service.run(home, "-m", "infisical_config", "doctor", **variables)
    for secret in (VALUE, service.CREDENTIAL["INFISICAL_CLIENT_SECRET"]):
        assert secret not in done.stdout + done.stderr
    assert done.stderr == ""
    return Report(done.returncode, {line.split()[1]: line for line in done.stdout.splitlines()})


@pytest.mark.parametrize(("minutes", "is_wrong"), [(-7, True), (7, True), (0.2, False)])
def test_doctor_compares_the_clock_with_the_servers(
    tmp_path: Path, minutes: float, is_wrong: bool
) -> None:
    date = formatdate(time.time() + minutes * 60, usegmt=True)
    code, found = examine(tmp_path, {**GOOD, "headers": {"date": date}})
    assert code == (78 if is_wrong else 0)
    apart = re.match(rf"{'WRONG' if is_wrong else 'ok   '} clock +(\d+) s ", found["clock"])
    assert apart, found["clock"]
    assert abs(int(apart[1]) - abs(minutes) * 60) <= 10
    assert re.match("ok +secrets +1 ", found["secrets"])


def test_doctor_accepts_a_certificate_that_lives_for_a_day(tmp_path: Path) -> None:
    """Caddy's own authority renews such certificates in time."""
    _, found = examine(tmp_path, certificate=certificate_of_localhost(tmp_path, days=1))
    assert re.match("ok +certificate .* UTC$", found["certificate"])


def test_doctor_accepts_a_certificate_with_more_than_a_week_left(tmp_path: Path) -> None:
    code, found = examine(tmp_path, certificate=dated_certificate(tmp_path, -80, 10))
    assert found["certificate"].startswith("ok ")
    assert code == 0


def test_doctor_reports_a_certificate_that_ends_within_days_and_goes_on(tmp_path: Path) -> None:
    code, found = examine(tmp_path, certificate=dated_certificate(tmp_path, -84, 6))
    assert found["certificate"].startswith("WRONG ")
    assert (datetime.now(UTC) + timedelta(days=6)).strftime("%Y-%m-%d") in found["certificate"]
    assert found["secrets"].startswith("ok ")
    assert code == 75


@pytest.mark.parametrize(("begin", "end", "reason"), [(-90, -1, "expired"), (1, 90, "not yet")])
def test_doctor_reports_a_wrong_time_of_a_certificate_as_no_lack_of_trust(
    tmp_path: Path, begin: int, end: int, reason: str
) -> None:
    code, found = examine(tmp_path, certificate=dated_certificate(tmp_path, begin, end))
    assert re.match(f"WRONG .*{reason}.*clock", found["certificate"])
    assert "SSL_CERT_FILE" not in found["certificate"]
    assert found["server"].startswith("WRONG ")
    assert code == 75


def test_doctor_reports_an_untrusted_certificate_with_the_variable(tmp_path: Path) -> None:
    certificate = certificate_of_localhost(tmp_path)
    code, found = examine(tmp_path, certificate=certificate, authority="")
    assert re.match("WRONG .*self-signed.*SSL_CERT_FILE", found["certificate"])
    assert found["server"].startswith("WRONG ")
    assert code == 75


@pytest.mark.parametrize(
    ("status", "exit_status", "fact"),
    [
        pytest.param({"status": 500, "json": {"message": "wrong"}}, 75, "500", id="it fails"),
        pytest.param({"status": 502, "text": PAGE}, 75, "502", id="it is down"),
        pytest.param({"status": 403, "text": PAGE}, 75, "403", id="a proxy refuses"),
        pytest.param({"status": 404, "text": PAGE}, 75, "404", id="an ingress without it"),
        pytest.param({"status": 200, "text": PAGE}, 78, "infisical.json", id="another website"),
        pytest.param(
            {"status": 200, "json": {"status": "up"}}, 78, "infisical.json", id="another service"
        ),
        pytest.param(
            {"status": 302, "headers": {"location": "/login"}, "text": ""},
            78,
            "infisical.json",
            id="a redirect",
        ),
    ],
)
def test_doctor_reports_a_server_that_fails_or_is_none_of_infisical(
    tmp_path: Path, status: Script, exit_status: int, fact: str
) -> None:
    code, found = examine(tmp_path, status)
    assert re.match(f"WRONG .*{fact}", found["server"])
    assert "html" not in found["server"]
    assert "clock" not in found
    assert code == exit_status


def test_doctor_reports_that_nothing_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    code, found = run(tmp_path, f"http://127.0.0.1:{port}")
    assert re.match(rf"WRONG .*127\.0\.0\.1:{port}", found["server"])
    assert code == 75


def dated_certificate(directory: Path, begin: int, end: int) -> Path:
    """Make a certificate of localhost, with its key, that is valid between two days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now + timedelta(days=begin))
        .not_valid_after(now + timedelta(days=end))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = directory / "server.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + made.public_bytes(Encoding.PEM)
    )
    return file
