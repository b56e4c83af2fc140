"""The settings of the firewall, checked as all others are."""

from ipaddress import ip_network
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

EVERYBODY = ("0.0.0.0/0", "::/0")


class AllowedPort(BaseModel):
    """A port that is open beside those that Infisical needs, to some networks or to everybody."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    port: int
    protocol: Literal["tcp", "udp"] = "tcp"
    networks: tuple[str, ...] = EVERYBODY

    @field_validator("port")
    @classmethod
    def _port_is_a_port(cls, value: int) -> int:
        if not 1 <= value <= 65535:
            raise ValueError(f"{value} is no port; write one from 1 to 65535")
        return value

    @field_validator("networks")
    @classmethod
    def _networks_are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _networks(value)


class FirewallSettings(BaseModel):
    """Set who may reach what on the host."""

    firewall: Literal["on", "off"]
    ssh_networks: tuple[str, ...]
    allowed_ports: tuple[AllowedPort, ...]

    @field_validator("ssh_networks")
    @classmethod
    def _ssh_networks_are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _networks(value)


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError(f"is empty, which lets nobody in; for everybody write {EVERYBODY}")
    return tuple(_network(each) for each in value)


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        if "host bits set" in str(error):
            whole = ip_network(text, strict=False)
            raise ValueError(f"{text!r} is an address within a network; write {whole}") from None
    raise ValueError(f"{text!r} is no network; write one such as 203.0.113.0/24 or 2001:db8::/32")
