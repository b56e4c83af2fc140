"""What differs between what is wanted and what is there, in the order in which it is made.

Each difference is an item of the plan with what makes it; nothing that is there is replaced.
"""

from collections.abc import Callable, Mapping
from functools import partial

from infisical_iac.hetzner import certificate_changes
from infisical_iac.hetzner import edge as balancer_changes
from infisical_iac.hetzner import firewall_changes as wall
from infisical_iac.hetzner import network_changes as network
from infisical_iac.hetzner import parts as parts
from infisical_iac.hetzner import private_changes as private
from infisical_iac.hetzner import server as server
from infisical_iac.hetzner.change import Changes
from infisical_iac.hetzner.desired import Wanted
from infisical_iac.hetzner.fleet import Fleet
from infisical_iac.hetzner.prices import Prices
from infisical_iac.hetzner.resource import Common, Have
from infisical_iac.hetzner.server import UserData


def changes(
    want: Fleet,
    common: Common,
    haves: Mapping[str, Have],
    prices: Prices,
    user_data: UserData,
    alive: Callable[[str], bool],
) -> Changes:
    """All that differs.

    Args:
        haves: what is there, by the server's name.
        alive: whether one can log in to the server of a name at this moment.

    Raises HetznerError for what can't be made so.
    """
    servers = [haves[node.name] for node in want.nodes]
    complete = all(have.server is not None for have in servers)
    yield from parts.keys(want.first, common, complete=complete)
    yield from wall.firewall(want.first, common, servers, lambda: any(map(alive, haves)))
    yield from parts.group(want.first, common)
    yield from private.network(want, common)
    for node, have in zip(want.nodes, servers, strict=True):
        yield from _server(node, have, prices, user_data, partial(alive, node.name))
    yield from certificate_changes.certificate(want, common)
    yield from balancer_changes.balancer(want, common, haves, prices)
    yield from certificate_changes.surplus(want, common)
    yield from network.records(want, common, servers)


def _server(
    want: Wanted, have: Have, prices: Prices, user_data: UserData, alive: wall.Alive
) -> Changes:
    yield from network.addresses(want, have, prices)
    yield from parts.volume(want, have, prices)
    yield from server.server(want, have, prices, user_data, alive)
    yield from server.labelled(want, have)
    yield from private.join(want, have)
    yield from server.backups(want, have, prices)
    yield from network.reverse(want, have)
