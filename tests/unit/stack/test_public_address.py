"""Test that the host can request the public address with any certificate authority of Caddy."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infisical_iac.core.errors import CommandFailed
from infisical_iac.stack import edge
from infisical_iac.stack.paths import TEXT
from infisical_iac.workspace import checks
from tests.unit.fake_programs import fake_docker, run_with
from tests.unit.settings_of import settings_of

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


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data directory of Caddy; this machine is the host."""
    data = tmp_path / "volume"
    programs = tmp_path / "programs"
    data.mkdir()
    asked = "volume inspect --format {{ .Mountpoint }} infisical_caddy"
    fake_docker(programs, f'"{asked}") echo {data} ;; *) exit 1 ;;')

    def run(command: str, *, doing: str, stdin: str | None = None) -> str:
        ran = run_with(programs, command, stdin=stdin or "")
        if ran.returncode:
            raise CommandFailed(f"could not {doing}: {ran.stderr}")
        return ran.stdout

    @contextmanager
    def current(_: object) -> Iterator[None]:
        yield

    monkeypatch.setattr(edge, "run", run)
    monkeypatch.setattr(edge, "current", current)
    monkeypatch.setattr(edge, "with_others", lambda host: [host])
    return data


def _settings(url: str, **changes: Any) -> Any:
    checked = settings_of(site_url="https://secrets.example.com", ingress="caddy", **changes)
    return checked.with_values(site_url=url)


@pytest.mark.parametrize(
    "place",
    [
        "caddy/pki/authorities/local/root.crt",
        "caddy/certificates/acme.example.com-directory/localhost/localhost.crt",
    ],
)
def test_certificates_of_caddys_own_authority_are_trusted(
    url: str, authority: _Signed, volume: Path, place: str
) -> None:
    assert not checks.is_public(_settings(url))
    file = volume / place
    file.parent.mkdir(parents=True)
    file.write_text(_pem(authority[0]))
    assert checks.is_public(_settings(url))


def test_another_authority_is_not_trusted(url: str, volume: Path) -> None:
    file = volume / "caddy/pki/authorities/local/root.crt"
    file.parent.mkdir(parents=True)
    file.write_text(_pem(_certificate("an authority of Caddy's own")[0]))
    assert not checks.is_public(_settings(url))


def test_the_certificate_of_another_proxy_is_checked_by_the_hosts_trust_store(
    url: str, authority: _Signed, volume: Path
) -> None:
    file = volume / "caddy/pki/authorities/local/root.crt"
    file.parent.mkdir(parents=True)
    file.write_text(_pem(authority[0]))
    settings = _settings(url).with_values(ingress="none")
    assert not checks.is_public(settings)


def test_a_closed_edge_is_recognized_with_caddys_own_authority(
    url: str, authority: _Signed, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = volume / "caddy/pki/authorities/local/root.crt"
    file.parent.mkdir(parents=True)
    file.write_text(_pem(authority[0]))
    assert not edge.answers_closed(_settings(url), 1)
    monkeypatch.setattr(_Site, "closed", True)
    assert edge.answers_closed(_settings(url), 1)
