"""The settings of firewall, hardening, bans and data volume, checked as all others are."""

import re
from ipaddress import ip_network
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

from infisical_iac.core.validation import one_line

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


class HardeningSettings(BaseModel):
    """Set whether the host is hardened, and when it may be disturbed."""

    hardening: Literal["on", "off"]
    auditd: Literal["on", "off"]
    maintenance_window: str
    automatic_reboot: bool

    @field_validator("maintenance_window")
    @classmethod
    def _window_is_one_line(cls, value: str) -> str:
        return one_line(value) if value else value


class BanningSettings(BaseModel):
    """Set how many logins may fail in how many seconds, and for how many an address is banned."""

    fail2ban: Literal["on", "off"]
    login_attempts: int
    login_calls: int
    login_window: int
    login_ban: int

    @field_validator("login_attempts")
    @classmethod
    def _people_may_err(cls, value: int) -> int:
        if value < 3:
            raise ValueError(f"{value} bans people who mistype a password; allow at least 3")
        return value

    @field_validator("login_calls")
    @classmethod
    def _services_may_start(cls, value: int) -> int:
        if value < 20:
            raise ValueError(f"{value} bans services that start together; allow at least 20")
        return value

    @field_validator("login_window", "login_ban")
    @classmethod
    def _time_is_worth_counting(cls, value: int) -> int:
        if not 60 <= value <= 604_800:
            raise ValueError(f"{value} is out of range; choose 60 to 604800 seconds")
        return value


_DEVICE = r"/dev/(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._:+/-]*"


class VolumeSettings(BaseModel):
    """Where the data are."""

    data_volume: str

    @field_validator("data_volume")
    @classmethod
    def _volume_is_a_device(cls, value: str) -> str:
        if value and not re.fullmatch(_DEVICE, value):
            raise ValueError(
                f"{value!r} is no block device; write one such as "
                "/dev/disk/by-id/scsi-0HC_Volume_1234567, or nothing"
            )
        return value
