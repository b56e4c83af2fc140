"""The route to Infisical: proxy and certificates as they were before any secret was read."""

from __future__ import annotations

import os
import ssl
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from .bootstrap import is_loopback
from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

_IN_A_PATH = "/%:;@!$&'()*+,=~"


@dataclass(frozen=True)
class Route:
    """The proxy of connections to Infisical, and their trusted authorities.

    Both are read once: later, `into=os.environ` may have put secrets into the environment.

    Attributes:
        address: the address of Infisical.
        proxy: the address of the proxy; empty for none.
        tls: the TLS settings of connections; None for plain http.
        authorities: the variable that names the trusted authorities, or could name them.
    """

    address: str
    proxy: str
    tls: ssl.SSLContext | None
    authorities: str = "SSL_CERT_FILE"

    @classmethod
    def to(cls, address: str) -> Route:
        """Return the route to an address by the current environment.

        Connections to this machine use no proxy, which would see the client secret in plain http.

        Raises ConfigError for a proxy whose address is not `http://`.
        """
        proxy = "" if is_loopback(address) else _find_proxy(address)
        scheme = proxy.partition("://")[0].lower()
        if scheme not in ("", "http"):
            raise ConfigError(
                "not_configured",
                f"the proxy for {address} is a {scheme}:// one, which the loader can't use: name an"
                " http:// one in the environment, or put the server's name into NO_PROXY",
            )
        tls = _settings() if address.startswith("https:") else None
        return cls(address, proxy, tls, _bundle_variable() or "SSL_CERT_FILE")

    def connection(self) -> HTTPConnection:
        """Return a connection, which opens at its first request.

        Raises ValueError for an invalid proxy.
        """
        target, first = urlsplit(self.address), urlsplit(self.proxy or self.address)
        host = first.hostname or ""
        if self.tls is None:
            return HTTPConnection(host, first.port or 80)
        port = first.port or (80 if self.proxy else 443)
        connection = HTTPSConnection(host, port, context=self.tls)
        if self.proxy:
            connection.set_tunnel(target.hostname or "", target.port or 443, self._credential())
        return connection

    def target(self, path: str) -> str:
        """Return the target that a request names: the path, or the URL for a plain http proxy."""
        address = urlsplit(self.address)
        below = quote(address.path, safe=_IN_A_PATH) + path
        if self.proxy and self.tls is None:
            return f"{address.scheme}://{address.netloc}{below}"
        return below

    def headers(self) -> Mapping[str, str]:
        """Return the headers of each request that are for the proxy."""
        return self._credential() if self.tls is None else {}

    def _credential(self) -> dict[str, str]:
        proxy = urlsplit(self.proxy)
        if proxy.username is None:
            return {}
        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        return {"Proxy-Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def _settings() -> ssl.SSLContext:
    """Return TLS settings that trust the authorities of the environment."""
    bundle = _find_bundle()
    try:
        if bundle and os.path.isdir(bundle):
            settings = ssl.create_default_context(capath=bundle)
        else:
            settings = ssl.create_default_context(cafile=bundle)
    except OSError:  # the authorities can't be read, so none is trusted
        settings = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    settings.set_alpn_protocols(["http/1.1"])
    return settings


def _find_bundle() -> str | None:
    """Return a file or directory of authorities; None for the system's authorities.

    SSL_CERT_FILE and SSL_CERT_DIR replace the system's if they are set. On a system without any,
    those of certifi are used, if it is installed.
    """
    if variable := _bundle_variable():
        return os.environ[variable]
    if not _has_system_authorities():
        with suppress(ImportError):
            import certifi

            return certifi.where()
    return None


def _bundle_variable() -> str:
    """Return the variable that wins over the system's authorities; "" if none is set."""
    names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    return next((name for name in names if os.environ.get(name)), "")


def _has_system_authorities() -> bool:
    system = ssl.get_default_verify_paths()
    try:
        return bool(system.cafile or (system.capath and os.listdir(system.capath)))
    except OSError:
        return False


def _find_proxy(address: str) -> str:
    from urllib.request import getproxies, proxy_bypass  # takes as long as the rest of the imports

    target = urlsplit(address)
    if proxy_bypass(target.netloc) or _is_in_excepted_network(target.hostname or ""):
        return ""
    proxies = getproxies()
    proxy = proxies.get(target.scheme) or proxies.get("all") or ""
    return proxy if "://" in proxy or not proxy else f"http://{proxy}"


def _is_in_excepted_network(host: str) -> bool:
    """Return whether a network in NO_PROXY, such as 10.0.0.0/8, has the address `host`."""
    excepted = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(",")
    networks = [each.strip() for each in excepted if "/" in each]
    if networks:
        with suppress(ValueError):
            address = ip_address(host)
            return any(address in ip_network(each, strict=False) for each in networks)
    return False
