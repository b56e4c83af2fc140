"""What fail2ban counts, and whom it never bans: its jails and filters, as text."""

from collections.abc import Iterator
from typing import NamedTuple

from infisical_iac.rendering import template
from infisical_iac.settings import Settings

DIRECTORY = "/etc/fail2ban"
JAIL = f"{DIRECTORY}/jail.d/infisical-iac.conf"
KNOWN = "/usr/local/lib/infisical-iac/has-logged-in.sh"
_LOOPBACK = ("127.0.0.0/8", "::1")

# As Fastify reads a path: whatever its case, with a slash doubled, and with more behind it. One
# that is escaped can be any, so it counts as well.
_ESCAPED = r'/[^"?&]*%'
_LOGIN = r"auth/+(?:[a-z0-9-]+/+)?(?:login|mfa)|password/|account-recovery|signup"
_FAILING = rf"/+api/+v\d+/+(?:{_LOGIN}|admin/+(?:bootstrap|signup))|{_ESCAPED}"
# Each page of the web interface asks for admin/config.
_CALLED = rf"/+api/+v\d+/+(?:{_LOGIN}|admin/+(?!config))|{_ESCAPED}"


class Filter(NamedTuple):
    """Which lines of the access log count: by path and status, both regular expressions."""

    paths: str
    statuses: str


FILTERS = {
    "infisical-login": Filter(_FAILING, r"4\d\d"),
    "infisical-calls": Filter(_CALLED, r"\d\d\d"),
}


def filter_path(name: str) -> str:
    """Where the filter of a name is on the host."""
    return f"{DIRECTORY}/filter.d/{name}.conf"


def jails(settings: Settings) -> tuple[str, ...]:
    """The names of the jails that are wanted: SSH's, and Infisical's where Caddy writes a log."""
    if settings.fail2ban == "off":
        return ()
    return ("sshd", *(FILTERS if settings.ingress == "caddy" else ()))


def texts(settings: Settings, log: str) -> Iterator[tuple[str, str]]:
    """The paths and texts of fail2ban's files for those jails; `log` is the access log's path."""
    wanted = jails(settings)
    if not wanted:
        return
    # A ban of the Load Balancer would be one of everybody.
    balancer = filter(None, [settings.balancer_address])
    ignored = dict.fromkeys(
        (*_LOOPBACK, *balancer, *settings.ui_networks, *settings.machine_networks)
    )
    yield (
        JAIL,
        template(
            "fail2ban-jail.conf",
            settings=settings,
            log=log if len(wanted) > 1 else "",
            ignored=ignored,
            script=KNOWN,
        ),
    )
    for name, each in FILTERS.items():
        if name in wanted:
            yield filter_path(name), template("fail2ban-filter.conf", **each._asdict())


def all_paths() -> tuple[str, ...]:
    """Every file of fail2ban's that this project writes with some settings."""
    return (JAIL, *map(filter_path, FILTERS))
