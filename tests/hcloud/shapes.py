"""Format resources and errors as the API of Hetzner Cloud does.

The shapes are those of its published reference, https://docs.hetzner.cloud/reference/cloud.
"""

from typing import Any

Data = dict[str, Any]

LOCATIONS = {
    name: {"id": id, "name": name, "network_zone": "eu-central"}
    for id, name in enumerate(("fsn1", "nbg1", "hel1"), 1)
}
_CREATED = "2026-11-26T05:00:00+00:00"
TYPES = {"cx23": (22, 2, 4), "cx33": (23, 4, 8), "cx43": (24, 8, 16)}
_COSTS = {"cx23": ("0.0056", "3.4900"), "cx33": ("0.0088", "5.4900"), "cx43": ("0.0152", "9.4900")}


BALANCERS = {"lb11": ("0.0080", "5.0000"), "lb21": ("0.0240", "15.0000")}


class Refused(Exception):
    """An error as the API answers it."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(code)
        self.status = status
        self.body = {"error": {"code": code, "message": message or code.replace("_", " ")}}


def common_fields(id: int, given: Data) -> Data:
    """Return the common fields of all resources."""
    return {
        "id": id,
        "name": given.get("name"),
        "labels": given.get("labels", {}),
        "created": _CREATED,
    }


def server_type(name: str) -> Data:
    """Return a type of server."""
    id, cores, memory = TYPES[name]
    return {
        "id": id,
        "name": name,
        "description": name.upper(),
        "category": "Shared vCPU",
        "cores": cores,
        "memory": memory,
        "disk": 40 * cores,
        "architecture": "x86",
        "storage_type": "local",
        "cpu_type": "shared",
        "prices": _prices(_COSTS[name]),
    }


def balancer_type(name: str) -> Data:
    """Return a type of Load Balancer."""
    limits = {"max_connections": 10000, "max_services": 5, "max_targets": 25}
    id = [*BALANCERS].index(name) + 1
    return {"id": id, "name": name, **limits, "prices": _prices(BALANCERS[name])}


def _prices(cost: tuple[str, str]) -> list[Data]:
    hourly, monthly = ({"net": each, "gross": f"{float(each) * 1.19:.4f}"} for each in cost)
    return [
        {"location": place, "price_hourly": hourly, "price_monthly": monthly} for place in LOCATIONS
    ]


def pricing() -> Data:
    """Return the prices; those of servers are obviously made up."""
    ips = {"ipv4": ("0.0008", "0.5000"), "ipv6": ("0.0000", "0.0000")}
    return {
        "currency": "EUR",
        "vat_rate": "19.00",
        "server_types": [
            {"id": TYPES[name][0], "name": name, "prices": _prices(cost)}
            for name, cost in _COSTS.items()
        ],
        "load_balancer_types": [balancer_type(name) for name in BALANCERS],
        "primary_ips": [{"type": name, "prices": _prices(cost)} for name, cost in ips.items()],
        "volume": {"price_per_gb_month": {"net": "0.0440", "gross": "0.0524"}},
        "server_backup": {"percentage": "20.00"},
    }


def rules(given: list[Data]) -> list[Data]:
    """Return the rules of a firewall as the API shows them, with all optional fields."""
    empty: Data = {"source_ips": [], "destination_ips": [], "port": None, "description": None}
    return [{**empty, **each} for each in given]
