"""Render fail2ban's jails and filters: what counts, and which addresses are never banned."""

import inspect
from collections.abc import Iterator
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

# Fastify ignores the case of a path and doubled slashes, and routes longer paths too. A letter that
# is escaped without need may hide any of these paths.
_ESCAPED = r"/[^?&#\x22]*%(?:2d|3[0-9]|[46][1-9a-f]|[57][0-9a])"
_LOGIN = r"auth/+(?:[a-z0-9-]+/+)?(?:login|mfa)|password/|account-recovery|signup"
_FAILING = rf"/+api/+v[0-9]+/+(?:{_LOGIN}|admin/+(?:bootstrap|signup))|{_ESCAPED}"
# All requests that any jail counts. Caddy uses it too, so it has no lookahead.
COUNTED = rf"/+api/+v[0-9]+/+(?:{_LOGIN}|admin/)|{_ESCAPED}"
# Any web page can make a browser send these methods, and no login uses them.
METHODS_OF_PAGES = ("GET", "HEAD", "OPTIONS")
# Caddy's answer to all other requests that a browser marks as cross-site. They never reach
# Infisical, so they are not login attempts, and Infisical itself never answers with this status.
FOREIGN_STATUS = 412
# While a change is checked, the closed edge answers every request with 503, repeated logins too.
_UNCOUNTED = f"(?:{FOREIGN_STATUS}|503)"


class Filter(NamedTuple):
    """Two regular expressions, for the path and the status of counted lines of the access log."""

    paths: str
    statuses: str


FILTERS = {
    "infisical-login": Filter(_FAILING, r"4\d\d"),
    "infisical-calls": Filter(COUNTED, r"\d\d\d"),
}


def filter_path(name: str) -> str:
    """Return the path of a filter on the host."""
    return f"{DIRECTORY}/filter.d/{name}.conf"


def jails(settings: Settings) -> tuple[str, ...]:
    """Return the names of the desired jails: SSH's, and Infisical's where Caddy writes a log."""
    if settings.host.fail2ban == "off":
        return ()
    return ("sshd", *(FILTERS if settings.stack.ingress_kind.is_public else ()))


def texts(settings: Settings, log: str) -> Iterator[tuple[str, str]]:
    """Yield path and text of each file of fail2ban for the desired jails.

    Args:
        log: the path of the access log.
    """
    desired = jails(settings)
    if not desired:
        return
    # Banning the Load Balancer would ban everybody.
    balancer = filter(None, [settings.balancer_address])
    ignored = dict.fromkeys(
        (*_LOOPBACK, *balancer, *settings.stack.ui_networks, *settings.stack.machine_networks)
    )
    yield (
        JAIL,
        template(
            "fail2ban-jail.conf",
            settings=settings,
            log=log if len(desired) > 1 else "",
            ignored=ignored,
            script=KNOWN,
        ),
    )
    yield SETS, template("fail2ban-nftables.conf")
    yield NETWORKS, inspect.getsource(ban_networks)
    for name, each in FILTERS.items():
        if name in desired:
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
    """Return the paths of all files of fail2ban that this project writes with any settings."""
    return (JAIL, SETS, NETWORKS, *map(filter_path, FILTERS))
