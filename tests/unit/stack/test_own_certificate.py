"""Test that an unusable certificate is refused, and that the served certificate is compared."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from infisical_iac.core.errors import SettingsError
from infisical_iac.stack.ingress import Pair, find_misfit, parse_end, read_own_pair
from tests.unit.settings_of import NAME, settings_of
from tests.unit.stack.certificates import NOW, pair


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Pair | None]:
    """Return a function that writes a certificate and a key, and reads them like a deploy."""

    def read_them(certificate: str, key: str, site_url: str = f"https://{NAME}") -> Pair | None:
        paths = {"tls_certificate": tmp_path / "a.crt", "tls_key": tmp_path / "a.key"}
        for path, text in zip(paths.values(), (certificate, key), strict=True):
            path.write_text(text)
        named = {setting: str(path) for setting, path in paths.items()}
        return read_own_pair(settings_of(site_url=site_url, **named), NOW)

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
def test_a_valid_pair_is_accepted_with_its_chain(
    read: Callable[..., Pair], names: tuple[str, ...], site_url: str
) -> None:
    leaf, authority = pair(*names), pair()
    chain = leaf.certificate + authority.certificate
    assert read(chain, leaf.key, site_url) == Pair(chain, leaf.key)


def test_no_certificate_is_read_without_a_setting() -> None:
    assert read_own_pair(settings_of()) is None


_GOOD, _OTHER = pair(NAME), pair(NAME)
_ELSEWHERE, _NAMELESS = pair("other.example.com"), pair()
_DEEPER = pair("*.com")
_ENDED, _COMING = pair(NAME, begins=-9, ends=-1), pair(NAME, begins=3)
_LOCKED = pair(NAME, passphrase=b"obviously-fake")
_GARBLED = pair(garbled=b"\1\2")


def _openssl(*words: str, given: str = "") -> str:
    return subprocess.run(
        ["openssl", *words], input=given, capture_output=True, check=True, text=True
    ).stdout


def _odd_pair() -> Pair:
    """Return a pair with a curve that hardly any program but OpenSSL knows."""
    key = _openssl("ecparam", "-name", "wap-wsg-idm-ecid-wtls9", "-genkey", "-noout")
    return Pair(_openssl("req", "-x509", "-key", "/dev/stdin", "-subj", "/CN=x", given=key), key)


_ODD = _odd_pair()


@pytest.mark.parametrize(
    ("certificate", "key", "reason", "facts"),
    [
        (_GOOD.certificate, _OTHER.key, "other_key", ("a.key ", "a.crt")),
        (_ELSEWHERE.certificate, _ELSEWHERE.key, "certificate_name", ("a.crt ", NAME)),
        (_NAMELESS.certificate, _NAMELESS.key, "certificate_name", ("a.crt ", NAME)),
        (_DEEPER.certificate, _DEEPER.key, "certificate_name", ("a.crt ", NAME)),
        (_ENDED.certificate, _ENDED.key, "certificate_expired", ("a.crt ", "2026-11-25")),
        (_COMING.certificate, _COMING.key, "certificate_not_yet_valid", ("a.crt ", "2026-11-29")),
        (_LOCKED.certificate, _LOCKED.key, "passphrase", ("a.key ",)),
        ("no certificate", _GOOD.key, "no_certificate", ("a.crt ",)),
        (_GOOD.certificate, "no key", "no_private_key", ("a.key ",)),
        (_GOOD.certificate, _ODD.key, "no_private_key", ("a.key ",)),
        (_ODD.certificate, _GOOD.key, "unsupported_key", ("a.crt ", "RSA or ECDSA")),
        (_GARBLED.certificate, _GARBLED.key, "certificate_name", ("a.crt ", NAME)),
        ("é", _GOOD.key, "not_readable", ("a.crt ",)),
    ],
)
def test_a_pair_that_cannot_serve_is_refused_without_showing_the_key(
    read: Callable[..., Pair], certificate: str, key: str, reason: str, facts: tuple[str, ...]
) -> None:
    with pytest.raises(SettingsError) as refusal:
        read(certificate, key)
    assert refusal.value.code == f"settings.{reason}"
    for fact in facts:
        assert fact in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "PRIVATE" not in str(refusal.value)


def test_the_end_of_a_certificate_is_a_date() -> None:
    assert parse_end(_GOOD.certificate) == "2026-12-26"


def test_a_missing_certificate_file_is_refused_with_its_path() -> None:
    named = {"tls_certificate": "/nowhere/a.crt", "tls_key": "/nowhere/a.key"}
    with pytest.raises(SettingsError, match=r"'tls_certificate': /nowhere/a\.crt ") as refusal:
        read_own_pair(settings_of(**named))
    assert refusal.value.code == "settings.not_readable"


@pytest.mark.parametrize(
    ("served", "desired", "fact"),
    [
        (_GOOD.certificate, None, ""),
        (_GOOD.certificate, _GOOD, ""),
        ("", None, "none is served"),
        (_GOOD.certificate, _OTHER, "another one is served"),
        (_ELSEWHERE.certificate, None, "for another name"),
        (_ENDED.certificate, None, "ended on 2026-11-25"),
    ],
)
def test_the_served_certificate_is_compared_with_the_desired_one(
    served: str, desired: Pair | None, fact: str
) -> None:
    reason = find_misfit(served, NAME, desired, NOW)
    assert bool(reason) == bool(fact)
    assert fact in reason
