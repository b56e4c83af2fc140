"""The user's own certificate is refused where it can't serve, and compared with what is served."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, NameOID

from infisical_iac.core.errors import SettingsError
from infisical_iac.stack.certificate import Pair, ends, own, unfit
from tests.unit.settings_of import NAME, settings_of

_NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
Write = Callable[[str, str], None]


def _pair(
    *names: str, begins: int = -1, ends: int = 30, passphrase: bytes = b"", garbled: bytes = b""
) -> Pair:
    """A certificate that signs itself, and its key; days count from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "obviously fake")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW + timedelta(days=begins))
        .not_valid_after(_NOW + timedelta(days=ends))
    )
    if names:
        general = [
            x509.IPAddress(ip_address(each)) if each[0].isdigit() else x509.DNSName(each)
            for each in names
        ]
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    if garbled:
        oid = ExtensionOID.SUBJECT_ALTERNATIVE_NAME
        builder = builder.add_extension(x509.UnrecognizedExtension(oid, garbled), critical=False)
    encryption = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    return Pair(
        builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        ).decode(),
    )


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Pair | None]:
    """Write a certificate and a key, and read them as a deploy does."""

    def read_them(certificate: str, key: str, site_url: str = f"https://{NAME}") -> Pair | None:
        paths = {"tls_certificate": tmp_path / "a.crt", "tls_key": tmp_path / "a.key"}
        for path, text in zip(paths.values(), (certificate, key), strict=True):
            path.write_text(text)
        named = {setting: str(path) for setting, path in paths.items()}
        return own(settings_of(site_url=site_url, **named), _NOW)

    return read_them


@pytest.mark.parametrize(
    ("names", "site_url"),
    [
        ((NAME,), f"https://{NAME}"),
        (("*.example.com",), f"https://{NAME}:8443"),
        (("other.example.com", NAME.upper()), f"https://{NAME.title()}"),
        (("192.0.2.1",), "https://192.0.2.1"),
    ],
)
def test_a_good_pair_is_taken_with_its_chain(
    read: Callable[..., Pair], names: tuple[str, ...], site_url: str
) -> None:
    leaf, authority = _pair(*names), _pair()
    chain = leaf.certificate + authority.certificate
    assert read(chain, leaf.key, site_url) == Pair(chain, leaf.key)


def test_without_a_setting_there_is_none() -> None:
    assert own(settings_of()) is None


_GOOD, _OTHER = _pair(NAME), _pair(NAME)
_ELSEWHERE, _NAMELESS = _pair("other.example.com"), _pair()
_DEEPER = _pair("*.com")
_ENDED, _COMING = _pair(NAME, begins=-9, ends=-1), _pair(NAME, begins=3)
_LOCKED = _pair(NAME, passphrase=b"obviously-fake")
_GARBLED = _pair(garbled=b"\1\2")


def _openssl(*words: str, given: str = "") -> str:
    return subprocess.run(
        ["openssl", *words], input=given, capture_output=True, check=True, text=True
    ).stdout


def _odd_pair() -> Pair:
    """A pair with a curve that hardly anybody but OpenSSL knows."""
    key = _openssl("ecparam", "-name", "wap-wsg-idm-ecid-wtls9", "-genkey", "-noout")
    return Pair(_openssl("req", "-x509", "-key", "/dev/stdin", "-subj", "/CN=x", given=key), key)


_ODD = _odd_pair()


@pytest.mark.parametrize(
    ("certificate", "key", "sentence"),
    [
        (_GOOD.certificate, _OTHER.key, "a.key is not the key of "),
        (_ELSEWHERE.certificate, _ELSEWHERE.key, f"a.crt is not for {NAME}: get one that names it"),
        (_NAMELESS.certificate, _NAMELESS.key, f"a.crt is not for {NAME}"),
        (_DEEPER.certificate, _DEEPER.key, f"a.crt is not for {NAME}"),
        (_ENDED.certificate, _ENDED.key, "a.crt ended on 2026-11-25: renew it"),
        (_COMING.certificate, _COMING.key, "a.crt is valid from 2026-11-29 on"),
        (_LOCKED.certificate, _LOCKED.key, "a.key has a passphrase: remove it"),
        ("no certificate", _GOOD.key, "a.crt holds no certificate in PEM"),
        (_GOOD.certificate, "no key", "a.key holds no private key in PEM"),
        (_GOOD.certificate, _ODD.key, "a.key holds no private key in PEM of a kind that is in use"),
        (_ODD.certificate, _GOOD.key, "a.crt is for a key of a kind that is not in use: get one"),
        (_GARBLED.certificate, _GARBLED.key, f"a.crt is not for {NAME}"),
        ("é", _GOOD.key, "a.crt on this machine can't be read as PEM"),
    ],
)
def test_a_pair_that_cannot_serve_is_refused_without_showing_the_key(
    read: Callable[..., Pair], certificate: str, key: str, sentence: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        read(certificate, key)
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "PRIVATE" not in str(refusal.value)


def test_what_is_told_of_it_is_when_it_ends() -> None:
    assert ends(_GOOD.certificate) == "2026-12-26"


def test_a_file_that_is_not_there_is_named() -> None:
    named = {"tls_certificate": "/nowhere/a.crt", "tls_key": "/nowhere/a.key"}
    with pytest.raises(SettingsError, match=r"'tls_certificate': /nowhere/a\.crt on this machine"):
        own(settings_of(**named))


@pytest.mark.parametrize(
    ("served", "pair", "reason"),
    [
        (_GOOD.certificate, None, ""),
        (_GOOD.certificate, _GOOD, ""),
        ("", None, "none is served"),
        (_GOOD.certificate, _OTHER, "another one is served"),
        (_ELSEWHERE.certificate, None, "one for another name is served"),
        (_ENDED.certificate, None, "ended on 2026-11-25"),
    ],
)
def test_what_is_served_is_compared_with_what_should_be(
    served: str, pair: Pair | None, reason: str
) -> None:
    assert unfit(served, NAME, pair, _NOW) == reason
