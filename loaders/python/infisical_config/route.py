"""The route to Infisical: proxies and certificates as they were before any secret was read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from requests.utils import get_environ_proxies
from urllib3.util.ssl_ import create_urllib3_context

from .bootstrap import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ssl import SSLContext


@dataclass(frozen=True)
class Route:
    """The proxies of connections, and their trusted authorities.

    requests and urllib3 would read all this from the environment again for each connection, after
    `into=os.environ` has put secrets there.

    Attributes:
        proxies: by scheme.
        verify: a file or directory of authorities; True for certifi's.
        tls: the TLS settings of connections; None for plain http.
    """

    proxies: Mapping[str, str]
    verify: str | bool
    tls: SSLContext | None

    @classmethod
    def to(cls, address: str) -> Route:
        """Return the route to an address by the current environment.

        To this machine there is no proxy: it would see the client secret in plain http.
        """
        bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        return cls(
            {} if is_loopback(address) else get_environ_proxies(address),
            bundle or True,
            create_urllib3_context() if address.startswith("https:") else None,
        )
