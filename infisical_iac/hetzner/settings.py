"""The settings of the server at Hetzner Cloud, checked as all others are."""

import re
from ipaddress import IPv4Network, ip_address
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

# What a resource is named at Hetzner Cloud: the server's name is its host name too.
_NAME = r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?"
_WORD = r"[a-z0-9][a-z0-9.-]*"
_DOMAIN = r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}"
_VOLUME_GB = range(10, 10241)
_SERVERS = range(3, 11)
# Of these a private network is: RFC 1918.
_PRIVATE = [*map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))]


class ServerSettings(BaseModel):
    """The settings of what `infisical-iac server` makes at Hetzner Cloud."""

    server_name: str
    server_type: str
    server_location: str
    server_image: str
    server_ssh_keys: tuple[str, ...]
    server_volume_gb: int
    server_ipv4: bool
    server_ipv6: bool
    server_backups: bool
    server_placement_group: str
    server_dns_zone: str
    servers: int
    server_network: str

    @field_validator("server_name")
    @classmethod
    def _name_is_a_host_name(cls, value: str) -> str:
        if not re.fullmatch(_NAME, value):
            raise ValueError(f"{value!r} is no host's name; write small letters, digits, hyphens")
        return value

    @field_validator("server_type", "server_location", "server_image")
    @classmethod
    def _word_is_one(cls, value: str) -> str:
        if not re.fullmatch(_WORD, value):
            raise ValueError(f"{value!r} is no name of Hetzner's; write one such as cx33")
        return value

    @field_validator("server_ssh_keys")
    @classmethod
    def _keys_are_public(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if not each or ("/" in each and not each.endswith(".pub")):
                raise ValueError(
                    f"{each!r} is no public key's file; write one that ends in .pub, or the name "
                    "of a key at Hetzner Cloud"
                )
        return value

    @field_validator("server_volume_gb")
    @classmethod
    def _volume_has_a_size_that_is_sold(cls, value: int) -> int:
        if value and value not in _VOLUME_GB:
            raise ValueError(f"{value} is not sold; choose 10 to 10240 gigabytes, or 0 for none")
        return value

    @field_validator("server_placement_group")
    @classmethod
    def _group_has_a_name(cls, value: str) -> str:
        if value and not re.fullmatch(_NAME, value):
            raise ValueError(f"{value!r} is no name; write small letters, digits, hyphens")
        return value

    @field_validator("server_dns_zone")
    @classmethod
    def _zone_is_a_domain(cls, value: str) -> str:
        if value and not re.fullmatch(_DOMAIN, value):
            raise ValueError(f"{value!r} is no zone; write one such as example.com, or nothing")
        return value

    @field_validator("servers")
    @classmethod
    def _servers_are_a_cluster(cls, value: int) -> int:
        if value not in _SERVERS:
            raise ValueError(f"{value} can't be a cluster; choose 3 to 10: a group has ten at most")
        return value

    @field_validator("server_network")
    @classmethod
    def _network_is_private(cls, value: str) -> str:
        try:
            network = IPv4Network(value)
        except ValueError:
            network = IPv4Network("0.0.0.0/0")
        if network.prefixlen > 24 or not any(map(network.subnet_of, _PRIVATE)):
            raise ValueError(
                f"{value!r} is no private network of 256 addresses or more; write one such as "
                "10.42.0.0/24"
            )
        return value

    @model_validator(mode="after")
    def _server_has_an_address(self) -> Self:
        if not (self.server_ipv4 or self.server_ipv6):
            raise ValueError("server_ipv4 and server_ipv6 are both off: turn one on")
        return self


class NamedHost(BaseModel):
    """A host of a cluster, as the settings name it; what is left out is as for a single host."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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


class EdgeSettings(BaseModel):
    """The hosts of a cluster, and what stands before them."""

    topology: Literal["single", "swarm"]
    ingress: Literal["caddy", "traefik", "none"]
    edge: Literal["load-balancer", "none"]
    balancer_type: str
    server_network: str
    hosts: tuple[NamedHost, ...]

    @field_validator("balancer_type")
    @classmethod
    def _type_is_a_balancers(cls, value: str) -> str:
        if not re.fullmatch(r"lb\d+", value):
            raise ValueError(f"{value!r} is no type of Load Balancer; write one such as lb11")
        return value

    @field_validator("hosts")
    @classmethod
    def _hosts_differ(cls, value: tuple[NamedHost, ...]) -> tuple[NamedHost, ...]:
        names = [each.name or each.address for each in value]
        if twice := sorted({each for each in names if names.count(each) > 1}):
            raise ValueError(f"names {', '.join(twice)} twice; give each host a name of its own")
        return value

    @property
    def balancer_address(self) -> str:
        """The balancer's address in the private network, empty where there is no balancer."""
        if self.topology != "swarm" or self.edge != "load-balancer":
            return ""
        return str(IPv4Network(self.server_network)[-2])
