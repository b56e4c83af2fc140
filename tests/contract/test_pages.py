"""Test the rendered Caddyfile in front of the stand-in with a browser and a TLS scanner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.visit import visit
from tests.staging.shell import StagingError, run
from tests.tls.scan import CERTIFICATE, Finding, graver, load_accepted, scan

from .caddies import NAME, Caddy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .world import World

LOOPBACK = "127.0.0.1"
# One of each kind of check.
LOOKED_AT = {
    "TLS1_3",
    "cipherlist_3DES_IDEA",
    "FS",
    "cipher_order",
    "cert_trust",
    "HSTS_time",
    "BREACH",
}


@pytest.fixture(scope="module")
def caddy(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caddy]:
    server = Caddy(tmp_path_factory.mktemp("caddy"), world.standin.port)
    server.write()
    yield server.start()
    server.stop()


def test_chromium_accepts_the_certificate_and_shows_the_page(caddy: Caddy, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    seen = visit(caddy.settings.stack.site_url, LOOPBACK, caddy.trust, picture)
    assert (seen.state, seen.names, seen.protocol) == ("secure", (NAME,), "TLS 1.3")
    assert (seen.page, seen.complaints) == ("stand-in", ())
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 150_000


def test_chromium_refuses_the_page_where_the_authority_is_unknown(caddy: Caddy) -> None:
    with pytest.raises(StagingError, match="ERR_CERT_AUTHORITY_INVALID"):
        visit(caddy.settings.stack.site_url, LOOPBACK, authority=None)


@pytest.mark.long
def test_testssl_finds_nothing_above_low_with_a_public_certificate(
    world: World, tmp_path: Path
) -> None:
    own = _certificate(tmp_path)
    server = Caddy(tmp_path, world.standin.port, **own)
    server.write(Path(own["tls_certificate"]).read_text())
    server.trust = tmp_path / "authority.crt"
    server.start()
    try:
        findings = scan(server.settings.stack.site_url, LOOPBACK, server.trust)
    finally:
        server.stop()
    assert {each.id for each in findings} >= LOOKED_AT
    assert _list_unexpected(findings, load_accepted(internal=False)) == []


@pytest.mark.long
def test_testssl_finds_only_accepted_flaws_of_caddys_own_certificate(caddy: Caddy) -> None:
    findings = scan(caddy.settings.stack.site_url, LOOPBACK, caddy.trust, [CERTIFICATE])
    assert _list_unexpected(findings, load_accepted(internal=True)) == []


def _list_unexpected(findings: Iterable[Finding], reasons: dict[str, str]) -> list[Finding | str]:
    """Return findings above LOW that are not accepted, and accepted ones that are not found."""
    graves = graver(findings)
    unneeded = reasons.keys() - {each.id for each in graves}
    return [*(each for each in graves if each.id not in reasons), *sorted(unneeded)]


def _certificate(directory: Path) -> dict[str, str]:
    """Return settings for a certificate of three months that names a revocation list."""
    made = ("openssl", "req", "-x509", "-noenc", "-newkey", "ec", "-pkeyopt", "group:P-256")
    authority, authority_key = directory / "authority.crt", directory / "authority.key"
    leaf, key = directory / "tls.crt", directory / "tls.key"
    run(*made, "-subj", "/CN=fake", "-out", str(authority), "-keyout", str(authority_key))
    run(
        *(*made, "-CA", str(authority), "-CAkey", str(authority_key), "-subj", f"/CN={NAME}"),
        *("-days", "89", "-out", str(leaf), "-keyout", str(key)),
        *("-addext", f"subjectAltName=DNS:{NAME}", "-addext", "basicConstraints=CA:FALSE"),
        *("-addext", "keyUsage=digitalSignature", "-addext", "extendedKeyUsage=serverAuth"),
        *("-addext", "crlDistributionPoints=URI:http://crl.example.com/"),
    )
    return {"tls_certificate": str(leaf), "tls_key": str(key)}
