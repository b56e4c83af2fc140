"""The settings of the monitor on the host: alerts, their targets, heartbeat, metrics, logs."""

import re
from ipaddress import ip_address, ip_network
from typing import Annotated, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from infisical_iac.core.validation import (
    DISTINCT_NAMES,
    EMAIL,
    OnOff,
    SettingsModel,
    fitting,
    matching,
    network,
    within,
)

# Addresses of webhooks may hold a token. They are data for the agent, and never part of a command.
ADDRESS = r"https?://[A-Za-z0-9.-]+(:\d{1,5})?(/[!-~]*)?(\?[!-~]*)?"
_COMMAND = r"/(?!.*\.\.)[A-Za-z0-9._/+@-]+"
# By kind, the form of `to`, and an example.
_FORMS: dict[str, tuple[str, str]] = {
    "json": (ADDRESS, "an address such as https://hooks.example.com/…"),
    "slack": (ADDRESS, "an address such as https://hooks.slack.com/services/…"),
    "discord": (ADDRESS, "an address such as https://discord.com/api/webhooks/…"),
    "teams": (ADDRESS, "the address of a workflow of Teams"),
    "ntfy": (ADDRESS, "the address of a topic, such as https://ntfy.sh/…"),
    "email": (EMAIL, "an e-mail address"),
    "command": (_COMMAND, "the absolute path of a program on the host"),
}
KINDS = tuple(_FORMS)
# The kinds whose `to` is no secret, so that it must be in the settings.
OPEN_KINDS = ("email", "command")
# The value of `heartbeat_url` for an address that is not in the settings.
GIVEN = "given"
HEARTBEAT_VARIABLE = "HEARTBEAT_URL"


class AlertTarget(SettingsModel):
    """One target of alerts."""

    example: ClassVar = {"name": "team", "kind": "slack"}

    name: Annotated[
        str,
        matching(r"[a-z][a-z0-9-]{0,31}", "must be 1 to 32 small letters, digits and hyphens"),
        matching("(?!backup-webhook$).*", "is taken by backup_webhook: choose another name"),
    ]
    """Name in messages."""

    kind: Literal["json", "slack", "discord", "teams", "ntfy", "email", "command"]
    """Kind: a webhook that takes `json`, or the form of `slack` (Mattermost too), `discord`,
    `teams` or `ntfy`; `email` through the server of `smtp`; `command` for a program on the host,
    which gets JSON on its standard input.
    """

    to: str = Field(default="", repr=False)
    """E-mail address, absolute path of the program, or address of the webhook, which may hold a
    token and is never shown. Leave a webhook's out to keep it out of your repository: the first
    `apply` asks for it, or takes it from `ALERT_TEAM` for a target named `team`."""

    @property
    def variable(self) -> str:
        """Return the variable that gives the address; empty if the settings have it."""
        return "" if self.to else f"ALERT_{self.name.upper().replace('-', '_')}"

    @model_validator(mode="after")
    def _address_fits_the_kind(self) -> Self:
        if not self.to and self.kind not in OPEN_KINDS:
            return self
        pattern, example = _FORMS[self.kind]
        if not re.fullmatch(pattern, self.to):
            raise ValueError(f"target {self.name!r} of kind {self.kind!r} needs {example} as 'to'")
        return self


def _is_an_own_address(value: str) -> bool:
    try:
        address = ip_address(value)
    except ValueError:
        return False
    return not (address.is_unspecified or address.is_multicast or address.is_link_local)


class MetricsListener(SettingsModel):
    """The address that serves metrics to a Prometheus elsewhere, and who may ask."""

    example: ClassVar = {"address": "10.0.0.2", "networks": ("10.0.0.0/24",)}

    address: Annotated[
        str,
        fitting(
            _is_an_own_address,
            "is no single address; write one of the host's own, such as 10.0.0.2",
            accepts="an IPv4 or IPv6 address",
        ),
    ] = ""
    """Address of the host that serves the metrics, in a private network or a VPN: they are
    served without TLS. Leave it out on a cluster, where each host serves its own at the address
    that the others reach."""

    networks: tuple[str, ...] = ()
    """Networks that may ask; not everybody. None are needed for an address of the loopback."""

    @field_validator("networks")
    @classmethod
    def _networks_are_not_everybody(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple(map(network, value))
        for each in found:
            if ip_network(each).prefixlen == 0:
                raise ValueError(
                    f"{each} is everybody, and metrics show much about the host; name "
                    "the network of your Prometheus"
                )
        return found

    @model_validator(mode="after")
    def _somebody_may_ask(self) -> Self:
        if not self.networks and not self.is_loopback:
            raise ValueError("names no networks; write those that may ask, such as 10.0.0.0/24")
        return self

    @property
    def is_loopback(self) -> bool:
        """Return whether only programs on the host reach the address."""
        return bool(self.address) and ip_address(self.address).is_loopback

    def place(self, port: int) -> str:
        """Return the address with a port, as programs and URLs write it."""
        return f"[{self.address}]:{port}" if ":" in self.address else f"{self.address}:{port}"


class LogTarget(NamedTuple):
    """The place that logs are shipped to.

    Attributes:
        host, port: of a server that takes syslog over TLS; an empty host and 0 for a file.
        path: of a file on the host; empty for a server.
    """

    host: str
    port: int
    path: str

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


# The file may be no other log, and its directory must exist.
_LOG_FILE = r"/var/log/(?!infisical-access|infisical-iac|journal)(?!.*\.\.)[A-Za-z0-9._/-]+"
# The certificate is compared with the name, so that an address is none.
_LOG_SERVER = r"tls://((?![0-9.]+(?::|$))[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::(\d{1,5}))?"
# The port of syslog over TLS.
_SYSLOG_TLS = 6514


class MonitoringSettings(SettingsModel):
    """Alerts, metrics and shipped logs, all of which the host makes itself.

    [Alerts](../operate/alerts.md) and [logs](../operate/logs.md) have pages of their own.
    """

    monitoring: OnOff
    """`on` has the host watch itself every minute: it writes metrics for Prometheus, and sends
    alerts without any other server.

    Change: `off` removes the timer, its files and its metrics. Alerts that wait for a target are
    lost.
    """

    alerts: Annotated[tuple[AlertTarget, ...], DISTINCT_NAMES] = Field(repr=False)
    """Targets of alerts, all of which get each alert. Needs `monitoring = "on"`.

    Change: the next `apply` writes them to the host, readable by root only. What waits for a
    removed target is lost.
    """

    alert_repeat_hours: Annotated[int, within(1, 720, "choose 1 to 720 hours")]
    """Hours after which an alert that lasts is sent again.

    Change: counts from the next `apply` on.
    """

    alerts_ignored: tuple[
        Annotated[
            str,
            matching(r"[a-z_]+(:[!-~]+)?", "is no check; write its name, or its name:subject"),
        ],
        ...,
    ]
    """[Checks](alerts.md) that are left out, such as `load`, or one of their subjects, such as
    `units:snapd.service`.

    Change: counts from the next `apply` on.
    """

    heartbeat_url: str = Field(repr=False)
    """Address that the host calls every minute, so that silence shows that it is off: of a check at
    healthchecks.io, which gets `/fail` while an alert is critical or the last backup, drill or
    canary has failed, or of a push monitor of Uptime Kuma. It may hold a token, and is never shown.
    `given` keeps it out of your repository: the first `apply` asks for it, or takes it from
    `HEARTBEAT_URL`. Needs `monitoring = "on"`.

    Change: the next `apply` writes it to the host, readable by root only.
    """

    monitoring_listen: MetricsListener | None
    """Address at which [a Prometheus of your own](../operate/prometheus.md) gets the metrics of
    the host, PostgreSQL, Redis, Caddy and Infisical, and the networks that may ask, such as
    `{"address": "10.0.0.2", "networks": ("10.0.0.0/24",)}`. On a cluster, each host serves its own
    and the monitor's. Needs `monitoring = "on"`, and the firewall. None: metrics are served
    nowhere.

    Change: between None and an address, the next `apply` re-creates the containers of Infisical
    and Redis, which takes a minute; on a cluster, none. None removes the exporters with their
    packages and logins.
    """

    log_target: Annotated[
        str,
        matching(
            f"({_LOG_SERVER}|{_LOG_FILE})?",
            "is no place for logs; write one such as tls://logs.example.com:6514, with a name, or "
            "/var/log/shipped.log for a collector on the host",
        ),
    ]
    """Place to which rsyslog ships the journal, the access log and the audit log: a server for
    syslog over TLS, such as `tls://logs.example.com:6514`, or a file below `/var/log`, such as
    `/var/log/shipped.log`, that a collector on the host reads. The server's certificate must be
    for its name, of an authority that the host trusts or of `extra_ca`. Empty: logs stay where they
    are. See [logs](../operate/logs.md).

    Change: the next `apply` ships what is logged from then on to the new place. Empty removes the
    service with what waits for the server, and rsyslog if nothing else uses it; a file stays.
    """

    @field_validator("heartbeat_url")
    @classmethod
    def _heartbeat_is_an_address(cls, value: str) -> str:
        if value not in ("", GIVEN) and not re.fullmatch(ADDRESS, value):
            raise ValueError(
                f"is not an address; write one such as https://hc-ping.com/…, or {GIVEN}"
            )
        return value

    @property
    def shipping(self) -> LogTarget | None:
        """Return the place that logs are shipped to; None if they stay where they are."""
        if match := re.fullmatch(_LOG_SERVER, self.log_target):
            return LogTarget(match[1], int(match[2] or _SYSLOG_TLS), "")
        return LogTarget("", 0, self.log_target) if self.log_target else None

    @property
    def given_addresses(self) -> tuple[tuple[str, str], ...]:
        """Return the addresses that the user has to give: the variable and the purpose of each."""
        found = [
            (each.variable, f"the address of the alert target {each.name}")
            for each in self.alerts
            if each.variable
        ]
        if self.heartbeat_url == GIVEN:
            found.append((HEARTBEAT_VARIABLE, "the address of the heartbeat"))
        return tuple(found)

    @model_validator(mode="after")
    def _is_on_if_it_is_used(self) -> Self:
        if self.monitoring == "off":
            for key in ("alerts", "heartbeat_url", "monitoring_listen"):
                if getattr(self, key):
                    raise ValueError(f'{key!r} needs monitoring = "on"; set it, or remove {key}')
        return self
