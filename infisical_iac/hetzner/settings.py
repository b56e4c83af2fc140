"""The settings of the servers at Hetzner Cloud, checked as all others are."""

from ipaddress import IPv4Network, ip_address
from typing import Annotated, ClassVar, Literal, Self

from pydantic import field_validator, model_validator

from infisical_iac.core.validation import SettingsModel, fitting, matching

# What a resource is named at Hetzner Cloud: the server's name is its host name too.
_NAME = r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?"
_DOMAIN = r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}"
# Of these a private network is: RFC 1918.
_PRIVATE = [*map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))]


def _is_private(value: str) -> bool:
    try:
        network = IPv4Network(value)
    except ValueError:
        return False
    return network.prefixlen <= 24 and any(map(network.subnet_of, _PRIVATE))


_Word = Annotated[
    str, matching(r"[a-z0-9][a-z0-9.-]*", "is no name of Hetzner's; write one such as cx33")
]
_PublicKey = Annotated[
    str,
    fitting(
        lambda value: value and ("/" not in value or value.endswith(".pub")),
        "is no public key's file; write one that ends in .pub, or the name of a key at Hetzner "
        "Cloud",
    ),
]


class NamedHost(SettingsModel):
    """A host of a cluster, as the settings name it; what is left out is as for a single host."""

    example: ClassVar = {"address": "203.0.113.7"}

    address: str
    name: str = ""
    ssh_user: str = ""
    ssh_port: int = 0
    ssh_key: str = ""
    cluster_address: str = ""
    data_volume: str = ""

    @field_validator("cluster_address")
    @classmethod
    def _address_is_one(cls, value: str) -> str:
        try:
            return str(ip_address(value)) if value else ""
        except ValueError:
            raise ValueError(f"{value!r} is no address; write one such as 10.0.0.1") from None


class HetznerSettings(SettingsModel):
    """Set what `infisical-iac server` makes, and what stands before the hosts of a cluster."""

    server_name: Annotated[
        str, matching(_NAME, "is no host's name; write small letters, digits, hyphens")
    ]
    server_type: _Word
    server_location: _Word
    server_image: _Word
    server_ssh_keys: tuple[_PublicKey, ...]
    server_volume_gb: Annotated[
        int,
        fitting(
            lambda value: value == 0 or 10 <= value <= 10240,
            "is not sold; choose 10 to 10240 gigabytes, or 0 for none",
        ),
    ]
    server_ipv4: bool
    server_ipv6: bool
    server_backups: bool
    server_placement_group: Annotated[
        str, matching(f"({_NAME})?", "is no name; write small letters, digits, hyphens")
    ]
    server_dns_zone: Annotated[
        str, matching(f"({_DOMAIN})?", "is no zone; write one such as example.com, or nothing")
    ]
    servers: Annotated[
        int,
        fitting(
            lambda value: 3 <= value <= 10,
            "can't be a cluster; choose 3 to 10: a group has ten at most",
        ),
    ]
    server_network: Annotated[
        str,
        fitting(
            _is_private,
            "is no private network of 256 addresses or more; write one such as 10.42.0.0/24",
        ),
    ]
    edge: Literal["load-balancer", "none"]
    balancer_type: Annotated[
        str, matching(r"lb\d+", "is no type of Load Balancer; write one such as lb11")
    ]
    hosts: tuple[NamedHost, ...]

    @field_validator("hosts")
    @classmethod
    def _hosts_differ(cls, value: tuple[NamedHost, ...]) -> tuple[NamedHost, ...]:
        names = [each.name or each.address for each in value]
        if twice := sorted({each for each in names if names.count(each) > 1}):
            raise ValueError(f"names {', '.join(twice)} twice; give each host a name of its own")
        return value

    @model_validator(mode="after")
    def _server_has_an_address(self) -> Self:
        if not (self.server_ipv4 or self.server_ipv6):
            raise ValueError("server_ipv4 and server_ipv6 are both off: turn one on")
        return self
