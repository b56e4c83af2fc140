"""Validate the user's own certificates and key, and assess the served certificate."""

from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from infisical_iac.core.errors import SettingsError
from infisical_iac.core.settings import Settings
from infisical_iac.instance.authorities import read_pem, refuse_dates
from infisical_iac.stack.ingress_kinds import INTERNAL
from infisical_iac.stack.settings import StackSettings


class Pair(NamedTuple):
    """A certificate with its chain, and its key, both in PEM."""

    certificate: str
    key: str


def own(settings: Settings, now: datetime | None = None) -> Pair | None:
    """Read the pair that the settings name, None if they name none.

    Raises SettingsError if a file can't be read, if the two don't belong together, or if the
    certificate is for another name or not valid `now`.
    """
    stack = settings.stack
    if not stack.tls_certificate:
        return None
    pair = Pair(
        read_pem("tls_certificate", stack.tls_certificate), read_pem("tls_key", stack.tls_key)
    )
    leaf = _leaf(pair.certificate, stack.tls_certificate)
    if _public(pair.key, stack.tls_key) != _certificate_key(leaf, stack.tls_certificate):
        raise SettingsError(
            f"setting 'tls_key': {stack.tls_key} is not the key of {stack.tls_certificate}: give "
            "the two files that belong together",
            code="settings.other_key",
        )
    name = urlsplit(stack.site_url).hostname or ""
    if not _is_for(leaf, name):
        raise SettingsError(
            f"setting 'tls_certificate': {stack.tls_certificate} is not for {name}: get one "
            "that names it, or correct site_url",
            code="settings.certificate_name",
        )
    refuse_dates(leaf, "tls_certificate", stack.tls_certificate, now or datetime.now(UTC))
    return pair


def unfit(served: str, name: str, pair: Pair | None, now: datetime) -> str:
    """Return why the `served` certificate does not fit `name`; empty if it does.

    Args:
        served: the served certificate in PEM; empty if there is none.
        pair: the user's own certificate, if Caddy has to serve it.
    """
    if not served:
        return "none is served"
    leaf = _leaf(served, "what is served")
    if pair and leaf != _leaf(pair.certificate, ""):
        return "another one is served"
    if not _is_for(leaf, name):
        return "one for another name is served"
    if now >= leaf.not_valid_after_utc:
        return f"ended on {leaf.not_valid_after_utc:%Y-%m-%d}"
    return ""


def ends(text: str) -> str:
    """Return the expiry date of a valid PEM certificate."""
    return f"{_leaf(text, 'it').not_valid_after_utc:%Y-%m-%d}"


def _leaf(text: str, path: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(text.encode())[0]
    except (ValueError, IndexError):
        raise SettingsError(
            f"setting 'tls_certificate': {path} holds no certificate in PEM: give a file that does",
            code="settings.no_certificate",
        ) from None


def _public(key: str, path: str) -> object:
    try:
        return serialization.load_pem_private_key(key.encode(), None).public_key()
    except TypeError:
        raise SettingsError(
            f"setting 'tls_key': {path} has a passphrase: remove it, as Caddy starts unattended",
            code="settings.passphrase",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsError(
            f"setting 'tls_key': {path} holds no private key in PEM of a supported kind: give an "
            "RSA or ECDSA key",
            code="settings.no_private_key",
        ) from None


def _certificate_key(leaf: x509.Certificate, path: str) -> object:
    try:
        return leaf.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsError(
            f"setting 'tls_certificate': {path} is for a key of an unsupported kind: get one for "
            "an RSA or ECDSA key",
            code="settings.unsupported_key",
        ) from None


def _is_for(leaf: x509.Certificate, name: str) -> bool:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    certified = {each.lower() for each in names.get_values_for_type(x509.DNSName)}
    certified |= {str(each) for each in names.get_values_for_type(x509.IPAddress)}
    return name in certified or f"*.{name.partition('.')[2]}" in certified


# Fewer than the days that are left when Caddy renews a certificate: a third of its lifetime, 30 of
# 90 days. So a warning means that renewals failed.
_LEAST_DAYS = 14


def assess_certificate(
    ends: int | None, settings: StackSettings, now: datetime
) -> tuple[str, bool]:
    """Return a description of the served certificate, and whether it is healthy.

    Args:
        ends: its expiry, in seconds since the epoch; None if none is served.
    """
    if not settings.site_url.startswith("https:"):
        return f"none: {settings.site_url} is reached without TLS", True
    if ends is None:
        if not settings.runs_caddy:
            return f"none on the host: {settings.site_url} is served from elsewhere", True
        return f"none is served for {settings.site_url}", False
    end = datetime.fromtimestamp(ends, UTC)
    if settings.ingress_kind.is_public and settings.acme_ca == INTERNAL and not settings.tls_key:
        # Such a certificate is valid for twelve hours, and Caddy renews it after eight.
        return f"until {end:%Y-%m-%d %H:%M} UTC, renewed by Caddy's own authority", end > now
    days = (end - now).days
    return f"until {end:%Y-%m-%d}, {days} days from now", days >= _LEAST_DAYS
