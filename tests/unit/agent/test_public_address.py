"""Test that the host can request the public address with any certificate authority of Caddy."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infisical_iac.agent.public_address import (
    CERTIFICATE,
    PublicAddress,
    answers_closed,
    is_public,
    read_certificates,
)
from infisical_iac.stack import ingress
from infisical_iac.stack.paths import TEXT
from tests.ports import free_port
from tests.unit.agent.fake_runner import FakeRunner

_NOW = datetime.now(UTC)
_Signed = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def _certificate(name: str, by: _Signed | None = None) -> _Signed:
    """Return an authority and its key, or a certificate for localhost that `by` signs."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by[0].subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW - timedelta(days=1))
        .not_valid_after(_NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    )
    return builder.sign(by[1] if by else key, hashes.SHA256()), key


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


class _Site(BaseHTTPRequestHandler):
    closed = False

    def do_GET(self) -> None:
        body = TEXT.encode() if self.closed else b"{}"
        self.send_response(503 if self.closed else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def authority() -> _Signed:
    return _certificate("an authority of Caddy's own")


@pytest.fixture
def url(authority: _Signed, tmp_path: Path) -> Iterator[str]:
    """The address of a site on loopback with a certificate of the authority."""
    leaf, key = _certificate("localhost", by=authority)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / "served.pem").write_text(_pem(leaf) + private.decode())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "served.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Site", (_Site,), {})) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"https://localhost:{server.server_port}"
        server.shutdown()


_IN_VOLUME = "caddy/pki/authorities/local/root.crt"


@pytest.fixture
def host(tmp_path: Path, waited: list[float]) -> FakeRunner:
    """A host with the volume of Caddy's data."""
    found = json.dumps({"Name": "infisical_caddy", "Mountpoint": "/volume"})
    asked = "docker volume inspect --format {{json .}} infisical_caddy"
    return FakeRunner(tmp_path / "host", {asked: f"{found}\n"})


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each sleep, which is skipped."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


def _address(url: str, **changes: Any) -> PublicAddress:
    return replace(PublicAddress(url, is_ours=True, closed_text=TEXT), **changes)


@pytest.mark.parametrize(
    "place",
    [
        f"/volume/{_IN_VOLUME}",
        "/volume/caddy/certificates/acme.example.com-directory/localhost/localhost.crt",
        CERTIFICATE,
    ],
)
def test_certificates_of_caddys_own_authority_are_trusted(
    url: str, authority: _Signed, host: FakeRunner, place: str
) -> None:
    assert not is_public(host, _address(url))
    host.write(place, _pem(authority[0]))
    assert is_public(host, _address(url))


def test_a_certificate_is_trusted_without_its_authority(
    url: str, host: FakeRunner, tmp_path: Path
) -> None:
    served = (tmp_path / "served.pem").read_text()
    host.write(CERTIFICATE, served[: served.index("-----BEGIN PRIVATE")])
    assert is_public(host, _address(url))


def test_certificates_of_other_nodes_are_trusted(
    url: str, authority: _Signed, host: FakeRunner
) -> None:
    another = _pem(_certificate("an authority of another node")[0])
    given = (f"{another}\n{_pem(authority[0])}", "garbled")
    assert is_public(host, _address(url, certificates=given))


def test_the_certificates_of_a_node_are_read_without_keys(
    authority: _Signed, host: FakeRunner
) -> None:
    host.write(f"/volume/{_IN_VOLUME}", _pem(authority[0]))
    host.write("/volume/caddy/pki/authorities/local/root.key", "obviously-fake")
    assert read_certificates(host).strip() == _pem(authority[0]).strip()
    assert CERTIFICATE == ingress.CERTIFICATE


def test_another_authority_is_not_trusted(url: str, host: FakeRunner) -> None:
    host.write(f"/volume/{_IN_VOLUME}", _pem(_certificate("an authority of Caddy's own")[0]))
    assert not is_public(host, _address(url))


def test_the_certificate_of_another_proxy_is_checked_by_the_hosts_trust_store(
    url: str, authority: _Signed, host: FakeRunner
) -> None:
    host.write(f"/volume/{_IN_VOLUME}", _pem(authority[0]))
    assert not is_public(host, _address(url, is_ours=False))


def test_a_certificate_for_another_name_is_refused(
    url: str, authority: _Signed, host: FakeRunner
) -> None:
    host.write(f"/volume/{_IN_VOLUME}", _pem(authority[0]))
    assert not is_public(host, _address(url.replace("localhost", "127.0.0.1")))


def test_a_closed_edge_is_recognized_with_caddys_own_authority(
    url: str, authority: _Signed, host: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.write(f"/volume/{_IN_VOLUME}", _pem(authority[0]))
    assert not answers_closed(host, _address(url))
    assert is_public(host, _address(url))
    monkeypatch.setattr(_Site, "closed", True)
    assert answers_closed(host, _address(url))
    assert not is_public(host, _address(url)), "a 503 is no answer of Infisical"


def test_an_address_is_asked_as_often_as_the_plan_says(
    host: FakeRunner, waited: list[float]
) -> None:
    silent = _address(f"https://localhost:{free_port()}", attempts=4)
    assert not is_public(host, silent, attempts=silent.attempts)
    assert not answers_closed(host, silent)
    assert waited == [3, 3, 3, 2, 2, 2]


def test_an_address_without_tls_is_not_asked(host: FakeRunner) -> None:
    assert not is_public(host, _address("http://localhost"))
    assert not is_public(host, _address("https://no-such-name.invalid"))
