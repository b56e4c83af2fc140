"""What differs between what is wanted and what is there, in the order in which it is made.

Each difference is an item of the plan with what makes it; nothing that is there is replaced.
"""

from infisical_iac.hetzner import firewall_changes as wall
from infisical_iac.hetzner import network_changes as network
from infisical_iac.hetzner import parts_changes as parts
from infisical_iac.hetzner import server_changes as server
from infisical_iac.hetzner.change import Changes
from infisical_iac.hetzner.have import Have
from infisical_iac.hetzner.prices import Prices
from infisical_iac.hetzner.server_changes import UserData
from infisical_iac.hetzner.wanted import Wanted


def changes(
    want: Wanted, have: Have, prices: Prices, user_data: UserData, alive: wall.Alive
) -> Changes:
    """All that differs. Raises HetznerError for what can't be made so."""
    yield from parts.keys(want, have)
    yield from wall.firewall(want, have, alive)
    yield from parts.group(want, have)
    yield from network.addresses(want, have, prices)
    yield from parts.volume(want, have, prices)
    yield from server.server(want, have, prices, user_data, alive)
    yield from server.backups(want, have, prices)
    yield from network.reverse(want, have)
    yield from network.records(want, have)
