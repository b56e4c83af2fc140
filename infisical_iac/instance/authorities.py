"""Read and validate the authorities that Infisical trusts in addition to the public ones."""

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from infisical_iac.core.errors import SettingsError
from infisical_iac.core.rendering import digest
from infisical_iac.core.settings import Settings


def has_changed(settings: Settings, deployed: str) -> bool:
    """Return whether the authorities differ from those with the hash `deployed`."""
    text = read_authorities(settings)
    return deployed != (digest(text) if text else "")


def read_authorities(settings: Settings, now: datetime | None = None) -> str:
    """Return the certificates that `extra_ca` names, in PEM; empty if it names no file.

    Raises SettingsError if the file can't be read or has no certificate, if a certificate is not an
    authority's, or if one is not valid `now`.
    """
    path = settings.instance.extra_ca
    if not path:
        return ""
    text = read_pem("extra_ca", path)
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        raise SettingsError(
            f"setting 'extra_ca': {path} holds no certificate in PEM",
            code="settings.no_certificate",
        ) from None
    for each in found:
        if not _is_authority(each):
            raise SettingsError(
                f"setting 'extra_ca': {path} has a server's certificate "
                f"({each.subject.rfc4514_string()}): give the certificate of the authority that "
                "signed it",
                code="settings.no_authority",
            )
        refuse_dates(each, "extra_ca", path, now or datetime.now(UTC))
    return "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in found)


def _is_authority(found: x509.Certificate) -> bool:
    try:
        return bool(found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (x509.ExtensionNotFound, ValueError):
        # Authorities of version 1 have no extensions; they are their own issuers.
        return found.issuer == found.subject


def read_pem(setting: str, path: str) -> str:
    """Return the text of a PEM file that a setting names. Raises SettingsError."""
    try:
        return Path(path).read_text("ascii")
    except (OSError, UnicodeDecodeError):
        raise SettingsError(
            f"setting {setting!r}: {path} on this machine can't be read as PEM: give a text file "
            "in PEM",
            code="settings.not_readable",
        ) from None


def refuse_dates(leaf: x509.Certificate, setting: str, path: str, now: datetime) -> None:
    """Raise SettingsError for a certificate that is not valid `now`."""
    if now < leaf.not_valid_before_utc:
        raise SettingsError(
            f"setting {setting!r}: {path} is valid from {leaf.not_valid_before_utc:%Y-%m-%d} on: "
            "wait until then, or keep the old certificate",
            code="settings.certificate_not_yet_valid",
        )
    if now >= leaf.not_valid_after_utc:
        raise SettingsError(
            f"setting {setting!r}: {path} expired on {leaf.not_valid_after_utc:%Y-%m-%d}: renew it",
            code="settings.certificate_expired",
        )
