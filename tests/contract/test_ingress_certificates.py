"""Test that a real Caddy with the rendered Caddyfile obtains, renews and replaces certificates."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from .authority import Authority
from .caddies import NAME, Caddy, StartCaddy
from .services import wait_until
from .upstream import STATUS, Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """An authority that certifies each server that answers for a name."""
    one = Authority(tmp_path_factory.mktemp("authority"))
    yield one
    one.close()


def _self_signed(directory: Path, days: int = 30) -> tuple[str, str]:
    """Write a self-signed certificate for NAME and its key, and return their paths."""
    paths = str(directory / "tls.crt"), str(directory / "tls.key")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"),
            *("-days", str(days), "-out", paths[0], "-keyout", paths[1]),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return paths


def test_a_given_certificate_is_served_and_replaced_by_a_reload(
    upstream: Upstream, tmp_path: Path
) -> None:
    caddy = Caddy(tmp_path, upstream.port)
    certificate, key = _self_signed(tmp_path)
    own = {"tls_certificate": certificate, "tls_key": key}
    first = caddy.write(Path(certificate).read_text(), **own)
    caddy.trust = Path(certificate)
    caddy.start()
    try:
        served = caddy.fetch_certificate()
        assert served in Path(certificate).read_text()
        _self_signed(tmp_path)
        second = caddy.write(Path(certificate).read_text(), **own)
        assert first.revision != second.revision == _revision(caddy)
        assert caddy.fetch_certificate() != served
        assert caddy.fetch_certificate() in Path(certificate).read_text()
    finally:
        caddy.stop()


def _revision(caddy: Caddy) -> str:
    caddy.reload()
    return caddy.revision()


def test_caddys_own_authority_renews_its_certificates(start_caddy: StartCaddy) -> None:
    # Caddy renews certificates in the last third of their lifetime, and checks at intervals.
    often = ("\tadmin", "\trenew_interval 1s\n\tadmin")
    short = ("tls internal", "tls {\n\t\tissuer internal {\n\t\t\tlifetime 6s\n\t\t}\n\t}")
    caddy = start_caddy("", often, short)
    first = caddy.fetch_certificate()
    wait_until(lambda: caddy.fetch_certificate() != first, "no certificate was renewed", caddy.log)
    assert caddy.ask(STATUS).status == 200


def test_a_certificate_is_obtained_by_acme(
    upstream: Upstream, tmp_path: Path, authority: Authority
) -> None:
    caddy = Caddy(tmp_path, upstream.port)
    caddy.http, caddy.port = authority.http_port, authority.tls_port
    caddy.write(
        "",
        ("\tacme_ca", f"\tacme_ca_root {authority.trust}\n\tacme_ca"),
        acme_ca=authority.directory,
        acme_email="a@example.com",
    )
    caddy.trust = authority.root()
    try:
        caddy.start()
        issuer = x509.load_pem_x509_certificate(caddy.fetch_certificate().encode()).issuer
        assert "Pebble" in issuer.rfc4514_string()
        assert caddy.ask(STATUS).status == 200
    finally:
        caddy.stop()
