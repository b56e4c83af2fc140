"""Forms of values that settings of several topics have."""

from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

EMAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+"
_MEBIBYTES = {"m": 1, "g": 1024}


def network(text: str) -> str:
    """The IPv4 or IPv6 network that `text` names in CIDR notation, in its canonical form.

    Raises ValueError, a sentence, for anything else.
    """
    try:
        return str(ip_network(text))
    except ValueError:
        raise ValueError(f"{text!r} is no network; write one such as 10.0.0.0/8") from None


def mebibytes(size: str) -> int:
    """Return the mebibytes of a checked size such as `1536m` or `2g`."""
    return int(size[:-1]) * _MEBIBYTES[size[-1]]


def is_confidential(url: str) -> bool:
    """Return whether credentials sent to a URL are encrypted, or stay on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        at_home = host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # a name, or no URL at all
        at_home = False
    return url.startswith("https://") or (url.startswith("http://") and at_home)
