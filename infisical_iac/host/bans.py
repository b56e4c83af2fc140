"""List what fail2ban counts, and whom it never bans: its jails and filters, as text."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from infisical_iac.core.rendering import template
from infisical_iac.core.settings import Settings
from infisical_iac.host import ban_networks

DIRECTORY = "/etc/fail2ban"
JAIL = f"{DIRECTORY}/jail.d/infisical-iac.conf"
NETWORKS = f"{DIRECTORY}/action.d/infisical_networks.py"
SETS = f"{DIRECTORY}/action.d/infisical-nftables.conf"
KNOWN = "/usr/local/lib/infisical-iac/has-logged-in.sh"
_LOOPBACK = ("127.0.0.0/8", "::1")

# As Fastify reads a path: whatever its case, with a slash doubled, and with more behind it. An
# escaped letter, which needs no escape, may hide any of these.
_ESCAPED = r"/[^?&#\x22]*%(?:2d|3[0-9]|[46][1-9a-f]|[57][0-9a])"
_LOGIN = r"auth/+(?:[a-z0-9-]+/+)?(?:login|mfa)|password/|account-recovery|signup"
_FAILING = rf"/+api/+v[0-9]+/+(?:{_LOGIN}|admin/+(?:bootstrap|signup))|{_ESCAPED}"
# All that any jail counts, for Caddy too, which knows no lookahead.
COUNTED = rf"/+api/+v[0-9]+/+(?:{_LOGIN}|admin/)|{_ESCAPED}"
# Any page can make a browser send these, and no login is one.
METHODS_OF_PAGES = ("GET", "HEAD", "OPTIONS")
# How Caddy answers the rest of what a browser says comes from another site. Infisical never sees
# it, so it is no attempt, and never answers so itself.
FOREIGN_STATUS = 412
# While a change is checked, the closed edge answers all with 503, also who logs in again and again.
_UNCOUNTED = f"(?:{FOREIGN_STATUS}|503)"


class Filter(NamedTuple):
    """Hold which lines of the access log count: by path and status, both regular expressions."""

    paths: str
    statuses: str


FILTERS = {
    "infisical-login": Filter(_FAILING, r"4\d\d"),
    "infisical-calls": Filter(COUNTED, r"\d\d\d"),
}


def filter_path(name: str) -> str:
    """Where the filter of a name is on the host."""
    return f"{DIRECTORY}/filter.d/{name}.conf"


def jails(settings: Settings) -> tuple[str, ...]:
    """The names of the jails that are wanted: SSH's, and Infisical's where Caddy writes a log."""
    if settings.host.fail2ban == "off":
        return ()
    return ("sshd", *(FILTERS if settings.stack.ingress_kind.is_public else ()))


def texts(settings: Settings, log: str) -> Iterator[tuple[str, str]]:
    """The paths and texts of fail2ban's files for those jails; `log` is the access log's path."""
    wanted = jails(settings)
    if not wanted:
        return
    # A ban of the Load Balancer would be one of everybody.
    balancer = filter(None, [settings.balancer_address])
    ignored = dict.fromkeys(
        (*_LOOPBACK, *balancer, *settings.stack.ui_networks, *settings.stack.machine_networks)
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
    yield SETS, template("fail2ban-nftables.conf")
    yield NETWORKS, Path(ban_networks.__file__).read_text()
    for name, each in FILTERS.items():
        if name in wanted:
            yield (
                filter_path(name),
                template(
                    "fail2ban-filter.conf",
                    **each._asdict(),
                    methods="|".join(METHODS_OF_PAGES),
                    uncounted=_UNCOUNTED,
                ),
            )


def all_paths() -> tuple[str, ...]:
    """Every file of fail2ban's that this project writes with some settings."""
    return (JAIL, SETS, NETWORKS, *map(filter_path, FILTERS))
