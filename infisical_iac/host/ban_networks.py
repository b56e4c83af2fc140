"""Have fail2ban count and ban IPv6 networks of 64 bits instead of single addresses.

A customer has at least one such network, so a ban of a single address keeps nobody out. fail2ban
itself counts by address only. It loads this file as an action of a jail, and the action changes how
that jail counts.
"""

from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network, ip_network
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:

    class ActionBase:
        """The interface of fail2ban's actions, which this project does not install."""

        def __init__(self, jail: Any, name: str) -> None: ...
else:
    try:
        from fail2ban.server.action import ActionBase
    except ImportError:
        ActionBase = object


_BITS = 64


def network(address: str, spared: list[str]) -> str:
    """Return the network of an IPv6 address, or the given text if there is no network to ban.

    Args:
        address: an address of either version, a network, or a name.
        spared: addresses and networks that are never banned. A network that holds one is not banned
            as a whole, and neither is a link, whose router is in the same network.
    """
    try:
        of = IPv6Address(address)
    except ValueError:
        return address
    found = IPv6Network((of, _BITS), strict=False)
    if of.is_link_local or any(each.subnet_of(found) for each in _of_ipv6(spared)):
        return address
    return str(found)


def _of_ipv6(texts: list[str]) -> list[IPv6Network]:
    networks = []
    for text in texts:
        try:
            each = ip_network(text, strict=False)
        except ValueError:
            continue
        if isinstance(each, IPv6Network):
            networks.append(each)
    return networks


class Action(ActionBase):
    """The class that fail2ban looks for in this file; bans are for the jail's other actions."""

    def __init__(self, jail: Any, name: str) -> None:
        super().__init__(jail, name)

        def of_ticket(ticket: Any) -> Any:
            ticket.setID(of_address(str(ticket.getID())))
            return ticket

        def of_address(address: Any) -> Any:
            if isinstance(address, list | tuple):
                return [of_address(each) for each in address]
            spared = [str(each) for each in jail.filter.getIgnoreIP()]
            return address if address is None else network(str(address), spared)

        # The calls for a counted failure, for a new or restored ban, and for a ban ended by hand.
        _change(jail.filter.failManager, "addFailure", of_ticket)
        _change(jail, "putFailTicket", of_ticket)
        _change(jail.actions, "removeBannedIP", of_address)

    def reload(self, *arguments: Any, **options: Any) -> None:
        """Do nothing; fail2ban keeps an action on a reload only if it has this method."""

    start = stop = ban = unban = reload


def _change(of: Any, method: str, change: Callable[[Any], Any]) -> None:
    """Wrap a method of an object so that `change` is applied to its first argument."""
    before = getattr(of, method)

    def call(first: Any = None, *others: Any, **named: Any) -> Any:
        return before(change(first), *others, **named)

    setattr(of, method, call)
