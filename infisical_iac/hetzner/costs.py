"""What all of it costs together."""

from infisical_iac.hetzner.desired import Wanted
from infisical_iac.hetzner.fleet import Fleet
from infisical_iac.hetzner.prices import Price, Prices, total


def monthly(want: Fleet, prices: Prices) -> Price:
    """The sum of everything that is wanted, what is there already included."""
    parts = [each for node in want.nodes for each in _server(node, prices)]
    if want.balancer:
        parts.append(prices.balancer(want.balancer.type, want.first.location))
    found = total(parts)
    assert found is not None
    return found


def _server(want: Wanted, prices: Prices) -> list[Price]:
    return [
        prices.server(want.type, want.location),
        *(prices.address(version, want.location) for version in want.versions),
        *([prices.volume(want.volume_gb)] if want.volume_gb else []),
        *([prices.backups(want.type, want.location)] if want.backups else []),
    ]
