"""What things cost at Hetzner Cloud, as its API says: net, for the hour and the month."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hcloud import Client

from infisical_iac.hetzner.failures import HetznerError, told

_CENT = Decimal("0.01")
# Of what has a price for the month alone.
_HOURS = 730


@dataclass(frozen=True)
class Price:
    """A net price: `hourly` and `monthly`, the most that a month costs, in `currency`."""

    hourly: Decimal
    monthly: Decimal
    currency: str

    def __str__(self) -> str:
        if not self.monthly:
            return "free"
        hourly = f"{self.hourly.quantize(Decimal('0.0001'))}"
        return f"{self.monthly.quantize(_CENT)} {self.currency} a month ({hourly} an hour)"

    def times(self, factor: Decimal) -> "Price":
        """So many of it."""
        return Price(self.hourly * factor, self.monthly * factor, self.currency)


class Prices:
    """The prices of GET /pricing, https://docs.hetzner.cloud/reference/cloud#pricing."""

    def __init__(self, pricing: Mapping[str, Any]) -> None:
        self._pricing = pricing
        self._currency = str(pricing["currency"])

    def server(self, type: str, location: str) -> Price:
        """Of a server. Raises HetznerError for a type that is not sold there."""
        types = {each["name"]: each["prices"] for each in self._pricing["server_types"]}
        if type not in types:
            raise HetznerError(
                f"setting 'server_type': Hetzner Cloud has no {type}: choose one of "
                f"{', '.join(sorted(types))}"
            )
        places = [each["location"] for each in types[type]]
        if location not in places:
            raise HetznerError(
                f"setting 'server_location': {type} is not sold in {location}: choose one of "
                f"{', '.join(sorted(places))}"
            )
        return self._there(types[type], location)

    def balancer(self, type: str, location: str) -> Price:
        """Of a Load Balancer. Raises HetznerError for a type that is not sold."""
        types = {each["name"]: each["prices"] for each in self._pricing["load_balancer_types"]}
        if type not in types:
            raise HetznerError(
                f"setting 'balancer_type': Hetzner Cloud has no {type}: choose one of "
                f"{', '.join(sorted(types))}"
            )
        return self._there(types[type], location)

    def address(self, version: str, location: str) -> Price:
        """Of a primary IP, `ipv4` or `ipv6`."""
        for each in self._pricing["primary_ips"]:
            if each["type"] == version:
                return self._there(each["prices"], location)
        return self._price("0", "0")

    def volume(self, gigabytes: int) -> Price:
        """Of a volume."""
        monthly = Decimal(self._pricing["volume"]["price_per_gb_month"]["net"]) * gigabytes
        return Price(monthly / _HOURS, monthly, self._currency)

    def backups(self, type: str, location: str) -> Price:
        """Of a server's backups."""
        share = Decimal(self._pricing["server_backup"]["percentage"]) / 100
        return self.server(type, location).times(share)

    def _there(self, prices: Iterable[Mapping[str, Any]], location: str) -> Price:
        for each in prices:
            if each["location"] == location:
                return self._price(each["price_hourly"]["net"], each["price_monthly"]["net"])
        return self._price("0", "0")

    def _price(self, hourly: str, monthly: str) -> Price:
        return Price(Decimal(hourly), Decimal(monthly), self._currency)


def read(client: Client) -> Prices:
    """The prices of this day; the library has no call of its own for them."""
    with told("read the prices"):
        return Prices(client.request(method="GET", url="/pricing")["pricing"])


def total(prices: Iterable[Price]) -> Price | None:
    """The sum, None of nothing."""
    found = list(prices)
    if not found:
        return None
    return Price(
        sum((each.hourly for each in found), Decimal(0)),
        sum((each.monthly for each in found), Decimal(0)),
        found[0].currency,
    )
