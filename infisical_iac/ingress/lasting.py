"""Assess how long the certificate lasts that is served on the host."""

from datetime import UTC, datetime

from infisical_iac.core.settings import Settings
from infisical_iac.stack.settings import INTERNAL

_LEAST_DAYS = 14


def judged(ends: int | None, settings: Settings, now: datetime) -> tuple[str, bool]:
    """Return what to say of a certificate, and whether it is well.

    Args:
        ends: seconds since the epoch; None where none is served.
    """
    if not settings.site_url.startswith("https:"):
        return f"none: {settings.site_url} is reached without TLS", True
    if ends is None:
        if settings.ingress == "none":
            return f"none on the host: {settings.site_url} is served from elsewhere", True
        return f"none is served for {settings.site_url}", False
    end = datetime.fromtimestamp(ends, UTC)
    if settings.ingress == "caddy" and settings.acme_ca == INTERNAL and not settings.tls_key:
        # It lives for twelve hours, and Caddy renews it after eight.
        return f"until {end:%Y-%m-%d %H:%M} UTC, renewed by Caddy's own authority", end > now
    days = (end - now).days
    return f"until {end:%Y-%m-%d}, {days} days from now", days >= _LEAST_DAYS
