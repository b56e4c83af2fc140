"""The settings of the host below Infisical, checked as all others are."""

from ipaddress import ip_network
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator

from infisical_iac.core.validation import (
    CalendarOrEmpty,
    OnOff,
    Positive,
    Seconds,
    SettingsModel,
    at_least,
    fitting,
    matching,
    within,
)

EVERYBODY = ("0.0.0.0/0", "::/0")


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


_Networks = Annotated[tuple[str, ...], AfterValidator(_networks)]
_Time = Annotated[int, within(60, 604_800, "choose 60 to 604800 seconds")]


class AllowedPort(SettingsModel):
    """A port that is open beside those that Infisical needs, to some networks or to everybody."""

    example: ClassVar = {"port": 9100}

    port: Annotated[
        int, fitting(lambda value: 1 <= value <= 65535, "is no port; write one from 1 to 65535")
    ]
    protocol: Literal["tcp", "udp"] = "tcp"
    networks: _Networks = EVERYBODY


class HostSettings(SettingsModel):
    """Set how the host is: its engine, its disk, who may reach what, and what is hardened."""

    docker_source: Literal["distro", "docker-ce"]
    swap: Literal["off", "keep"]
    # Empty for the host's own disk.
    data_volume: Annotated[
        str,
        matching(
            r"(/dev/(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._:+/-]*)?",
            "is no block device; write one such as /dev/disk/by-id/scsi-0HC_Volume_1234567, or "
            "nothing",
        ),
    ]
    minimum_free_disk_gb: Positive
    apt_timeout: Seconds

    firewall: OnOff
    ssh_networks: _Networks
    allowed_ports: tuple[AllowedPort, ...]

    hardening: OnOff
    auditd: OnOff
    maintenance_window: CalendarOrEmpty
    automatic_reboot: bool

    fail2ban: OnOff
    login_attempts: Annotated[
        int, at_least(3, "bans people who mistype a password; allow at least 3")
    ]
    login_calls: Annotated[
        int, at_least(20, "bans services that start together; allow at least 20")
    ]
    login_window: _Time
    login_ban: _Time
