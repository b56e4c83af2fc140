"""What all of it costs together."""

from infisical_iac.hetzner.prices import Price, Prices, total
from infisical_iac.hetzner.wanted import Wanted


def monthly(want: Wanted, prices: Prices) -> Price:
    """The sum of everything that is wanted, what is there already included."""
    parts = [prices.server(want.type, want.location)]
    parts += [prices.address(version, want.location) for version in want.versions]
    parts += [prices.volume(want.volume_gb)] if want.volume_gb else []
    parts += [prices.backups(want.type, want.location)] if want.backups else []
    found = total(parts)
    assert found is not None
    return found
