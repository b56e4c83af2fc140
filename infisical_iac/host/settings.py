"""The settings of the host below Infisical."""

from ipaddress import ip_network
from typing import Annotated, ClassVar, Literal

from infisical_iac.core.validation import (
    NETWORKS,
    CalendarEmptyOrAuto,
    OnOff,
    Positive,
    Rule,
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
    raise ValueError(
        f"{text!r} is not a network; write one such as 203.0.113.0/24 or 2001:db8::/32"
    )


_Networks = Annotated[tuple[str, ...], Rule(_networks, NETWORKS)]
_OnOffAuto = Literal["on", "off", "auto"]
_Time = Annotated[int, within(60, 604_800, "choose 60 to 604800 seconds")]


class AllowedPort(SettingsModel):
    """A port that is open in addition to Infisical's, to some networks or to everybody."""

    example: ClassVar = {"port": 9100}

    port: Annotated[
        int,
        fitting(
            lambda value: 1 <= value <= 65535,
            "is not a port; write one from 1 to 65535",
            accepts="1 to 65535",
        ),
    ]
    """Port to open."""

    protocol: Literal["tcp", "udp"] = "tcp"
    """Protocol of the port."""

    networks: _Networks = EVERYBODY
    """Networks that may reach the port; the default is everybody."""


class HostSettings(SettingsModel):
    """Base system, Docker engine, firewall, hardening and bans.

    [The firewall](../operate/firewall.md) and [the host](../operate/host.md) have pages of their
    own.
    """

    docker_source: Literal["distro", "docker-ce"]
    """Source of the Docker engine: `distro` is Debian's or Ubuntu's packages; `docker-ce` is
    Docker's own repository, with its key pinned.

    Change: choose it before the first deploy. Packages of the other source are not removed, and the
    two conflict.
    """

    swap: Literal["off", "keep"]
    """Swap, which can hold secrets unencrypted: `off` turns it off unless it is encrypted; `keep`
    leaves it.

    Change: `off` turns swap off and removes it from `/etc/fstab`. `keep` does not bring it back.
    """

    data_volume: Annotated[
        str,
        matching(
            r"(/dev/(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._:+/-]*)?",
            "is not a block device; write one such as /dev/disk/by-id/scsi-0HC_Volume_1234567, or "
            "nothing",
        ),
    ]
    """Block device that holds data, keys and backups, such as
    `/dev/disk/by-id/scsi-0HC_Volume_1234567`. Empty: they are on the host's own disk. A server
    found at Hetzner Cloud sets it. See
    [the data volume](../operate/hetzner.md#the-data-volume).

    Change: not after the first deploy; another device, or none, is refused. To move, restore a
    backup onto a new host.
    """

    minimum_free_disk_gb: Positive
    """Gigabytes that must be free on the disk before a first deploy.

    Change: no effect after the first deploy.
    """

    apt_timeout: Seconds
    """Seconds to wait for apt's locks and for cloud-init.

    Change: counts from the next run on.
    """

    firewall: _OnOffAuto
    """Host [firewall](../operate/firewall.md): `on` drops everything that the settings don't let
    in, for containers too; `off` leaves filtering to others; `auto` is `off` on
    [a shared host](../operate/host.md#a-shared-host), else `on`.

    Change: `off` removes the rules, their file and their service. New rules are tried first,
    and taken back if no new SSH connection can be made. `infisical-iac server create` does the same
    to the firewall at Hetzner Cloud.
    """

    ssh_networks: _Networks
    """Networks that may reach SSH. The address that you connect from must be among them.

    Change: the next `apply` tries the new rules, and takes them back if you could no longer
    connect. Run `infisical-iac server create` for the firewall at Hetzner Cloud.
    """

    allowed_ports: tuple[AllowedPort, ...]
    """Further open ports, such as `{"port": 9100, "networks": ("10.0.0.0/8",)}`.

    Change: as for `ssh_networks`.
    """

    hardening: _OnOffAuto
    """[Hardening](../operate/host.md) of SSH, kernel and its modules, file modes and journal: `on`
    applies it; `off` leaves everything as it is; `auto` is `off` on
    [a shared host](../operate/host.md#a-shared-host), else `on`.

    Change: `off` stops managing it. Kernel parameters are the distribution's again after the next
    run and a reboot; the rest stays as it was set.
    """

    auditd: OnOff
    """`on` has auditd record changes to keys, users, rights, units and the configuration of SSH and
    Docker. Needs `hardening = "on"`.

    Change: `off` leaves auditd and its rules in place.
    """

    maintenance_window: CalendarEmptyOrAuto
    """Time at which Docker's packages are upgraded, with up to 15 minutes of delay. Empty: never;
    upgrade them yourself. `auto` is never on [a shared host](../operate/host.md#a-shared-host),
    else `Sun *-*-* 05:00:00`.

    Change: the next `apply` sets the timer, or removes it.
    """

    automatic_reboot: bool
    """Reboot in the maintenance window if an update asks for it.

    Change: counts from the next window on.
    """

    fail2ban: _OnOffAuto
    """`on` has fail2ban ban addresses with failing logins, at Infisical and over SSH; `off` leaves
    fail2ban alone; `auto` is `off` on [a shared host](../operate/host.md#a-shared-host), else `on`.
    Addresses in `ui_networks` and `machine_networks` are never banned.

    Change: `off` removes this project's jails, and leaves fail2ban installed.
    """

    login_attempts: Annotated[
        int, at_least(3, "bans people who mistype a password; allow at least 3")
    ]
    """Failed logins from one address within `login_window` before it is banned.

    Change: the next `apply` restarts fail2ban.
    """

    login_calls: Annotated[
        int, at_least(20, "bans services that start together; allow at least 20")
    ]
    """Calls of login and admin paths from one address within `login_window` before it is banned.

    Change: the next `apply` restarts fail2ban.
    """

    login_window: _Time
    """Seconds within which `login_attempts` and `login_calls` are counted.

    Change: the next `apply` restarts fail2ban.
    """

    login_ban: _Time
    """Seconds for which an address is banned.

    Change: the next `apply` restarts fail2ban.
    """
