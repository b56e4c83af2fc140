"""Check the proxies and networks that Infisical may use, and the lifetimes of its sessions."""

import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Annotated

from infisical_iac.core.validation import Rule, network

# The variable that gives the password of the proxy.
PROXY_PASSWORD = "OUTBOUND_PROXY_PASSWORD"
# Infisical's libraries send other characters of a login differently: axios sends them as they are
# in the address, Node's own client decodes them (measured with Node 22.23 and axios 1.16).
URL_SAFE = r"[A-Za-z0-9._~-]+"
_HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?"
_PROXY = re.compile(rf"http://((?P<user>[^/@]*)@)?(?P<host>{_HOST}):(?P<port>\d{{1,5}})/?")
_EXAMPLE = "http://proxy.internal:3128"

# Never through a proxy: the container itself, and the services of the stack by their names.
_DIRECT = ("localhost", "127.0.0.1", "::1", "postgres", "redis", "haproxy")
_DIRECT_IN_CLUSTER = tuple(f"sentinel-{number}" for number in (1, 2, 3))

# The networks that `internal_networks` may have; Infisical treats these and some more as private.
PRIVATE = (
    *("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15"),
    "fc00::/7",
)
EVERYWHERE = ("0.0.0.0/0", "::/0")

_UNITS = {"m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True)
class ProxyAddress:
    """The address of a proxy; `user` is empty for one without a login."""

    host: str
    port: int
    user: str = ""

    @property
    def place(self) -> str:
        """Return host and port."""
        return f"{self.host}:{self.port}"

    def url(self, password: str = "") -> str:
        """Return the value of HTTP_PROXY, with the password or its placeholder."""
        return f"http://{f'{self.user}:{password}@' if self.user else ''}{self.place}"

    def variables(self, direct: tuple[str, ...]) -> dict[str, str]:
        """Return the variables of Infisical, without those that have the password.

        Args:
            direct: the hosts of `no_proxy`.
        """
        # The proxy's own host is among them: axios sends a plain request to the proxy with Node's
        # client, which would send it through the proxy once more.
        hosts = (*_DIRECT, *_DIRECT_IN_CLUSTER, self.host, *direct)
        found = {"NO_PROXY": ",".join(dict.fromkeys(hosts)), "NODE_USE_ENV_PROXY": "1"}
        if self.user:
            return found
        return found | {"HTTP_PROXY": self.url(), "HTTPS_PROXY": self.url()}


def parse_proxy(text: str) -> ProxyAddress | None:
    """Return the proxy at a validated address; None for an empty one."""
    match = _PROXY.fullmatch(text)
    return ProxyAddress(match["host"], int(match["port"]), match["user"] or "") if match else None


def _check_proxy(text: str) -> str:
    scheme, _, rest = text.partition("://")
    login, at, _ = rest.rpartition("@")
    # The value may have a password, so no message shows it before this check.
    if at and ":" in login:
        raise ValueError(
            "has a password, which belongs in no file; leave only the user before the @, and give "
            f"{PROXY_PASSWORD} to the next run"
        )
    if not text:
        return text
    if scheme in ("https", "socks", "socks4", "socks5", "socks5h"):
        raise ValueError(f"{text!r} is no HTTP proxy; write the address of one, as {_EXAMPLE}")
    match = _PROXY.fullmatch(text)
    if not match or not 1 <= int(match["port"]) <= 65535:
        raise ValueError(
            f"{text!r} is not the address of a proxy; write scheme, host and port, as {_EXAMPLE}"
        )
    if match["user"] is not None and not re.fullmatch(URL_SAFE, match["user"]):
        raise ValueError(
            f"{text!r} has a user with other characters than letters, digits and ._~-, which "
            "Infisical's libraries send differently; use another user"
        )
    if _is_loopback(match["host"]):
        raise ValueError(
            f"{text!r} is the container itself, as seen from Infisical; write a name or address "
            "that the container reaches the proxy by"
        )
    return text.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _check_direct(hosts: tuple[str, ...]) -> tuple[str, ...]:
    for each in hosts:
        if "/" in each:
            raise ValueError(
                f"{each!r} is a network or has a path, which Infisical's libraries ignore; write "
                "each name or address, or .internal for all names below it"
            )
        if each.startswith("*"):
            raise ValueError(f"{each!r} has a *; write {each.lstrip('*') or '.internal'!r}")
        if not re.fullmatch(rf"\.?{_HOST}", each) and not _is_address(each):
            raise ValueError(
                f"{each!r} is no host; write a name or address without a port, such as "
                "git.internal, or .internal for all names below it"
            )
    return hosts


def _is_address(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def _check_internal(networks: tuple[str, ...]) -> tuple[str, ...]:
    found = tuple(map(network, networks))
    for each in found:
        if each not in EVERYWHERE and not _is_private(each):
            known = [one for one in PRIVATE if (":" in one) == (":" in each)]
            raise ValueError(
                f"{each!r} is not in a private network; Infisical reaches public addresses without "
                f"it: write one in {' or '.join(known)}"
            )
    return found


def _is_private(text: str) -> bool:
    inner = ip_network(text)
    return any(inner[0] in outer and inner[-1] in outer for outer in map(ip_network, PRIVATE))


def seconds(lifetime: str) -> int:
    """Return the seconds of a validated lifetime such as `15m`."""
    return int(lifetime[:-1]) * _UNITS[lifetime[-1]]


def lifetime(low: str, high: str) -> Rule:
    """Return a validator that refuses lifetimes shorter than `low` or longer than `high`."""

    def check(value: str) -> str:
        if not re.fullmatch(r"[1-9]\d{0,5}[mhd]", value):
            raise ValueError(f"{value!r} is not a time; write minutes, hours or days, as {low}")
        if not seconds(low) <= seconds(value) <= seconds(high):
            raise ValueError(f"{value!r} is out of range; choose {low} to {high}")
        return value

    return Rule(check, f"{low} to {high}, in minutes (m), hours (h) or days (d)")


# The address of a proxy, or nothing.
Proxy = Annotated[str, Rule(_check_proxy, f"an address such as `{_EXAMPLE}`, or nothing")]
# Hosts that are reached without the proxy.
DirectHosts = Annotated[
    tuple[str, ...],
    Rule(_check_direct, "names and addresses such as `git.internal` or `.internal`"),
]
# Private networks.
InternalNetworks = Annotated[
    tuple[str, ...], Rule(_check_internal, "private networks such as `10.1.0.0/16`")
]
