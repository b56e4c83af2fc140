"""The Caddyfile, and the labels by which Dokploy's Traefik finds Caddy."""

import re
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import urlsplit

from infisical_iac.core.rendering import template
from infisical_iac.core.settings import Settings
from infisical_iac.host import bans as banning
from infisical_iac.stack import paths
from infisical_iac.stack.settings import DIRECTORIES, INTERNAL

# Caddy's port on Traefik's network, and Infisical's on the network of the two.
PORT = 8080
UPSTREAM = "infisical-behind-caddy:8080"
# All on Traefik's network reach Caddy, which by this header knows what Traefik sends. Its value is
# made on the host, and Compose writes it into the label.
SECRET_HEADER = "X-Infisical-Edge"
_MIDDLEWARES = "traefik.http.middlewares.infisical"
_REQUEST_HEADERS = f"{_MIDDLEWARES}-headers.headers.customrequestheaders"
SECRET_LABEL = f"{_REQUEST_HEADERS}.{SECRET_HEADER}"
# What Traefik's entry point for http is called wherever Dokploy set it up.
_HTTP = "web"
# Where Infisical sees its proxy: Caddy on the loopback, through Docker's bridges; or Caddy behind
# Traefik, in a network that Docker has chosen, and that no other container is in.
_BRIDGES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
_PROXIES = {"caddy": ("127.0.0.0/8", "172.16.0.0/12"), "traefik": _BRIDGES, "none": ()}
# Calls a minute from one address to the paths that log in, and how many at once.
_LOGINS, _BURST = 60, 30
# For what Traefik answers itself.
_RESPONSE_HEADERS = {
    "contenttypenosniff": "true",
    "referrerpolicy": "no-referrer",
    "stsseconds": "31536000",
}


def labels(settings: Settings) -> dict[str, str]:
    """The labels of Caddy's container, but for SECRET_LABEL.

    Routers and middlewares are all named after Infisical.
    """
    return dict(
        (
            ("traefik.enable", "true"),
            ("traefik.docker.network", settings.stack.traefik_network),
            ("traefik.http.services.infisical.loadbalancer.server.port", str(PORT)),
            *_middlewares(settings),
            *_routers(settings),
        )
    )


def trusted(settings: Settings) -> tuple[str, ...]:
    """The networks whose X-Forwarded-For Infisical believes: those that its proxy is in."""
    return tuple(
        dict.fromkeys((*settings.stack.trusted_proxy_cidrs, *_PROXIES[settings.stack.ingress]))
    )


def _middlewares(settings: Settings) -> Iterator[tuple[str, str]]:
    at = _MIDDLEWARES
    yield f"{at}-https.redirectscheme.scheme", "https"
    yield f"{at}-https.redirectscheme.permanent", "true"
    yield f"{at}-logins.ratelimit.average", str(_LOGINS)
    yield f"{at}-logins.ratelimit.period", "1m"
    yield f"{at}-logins.ratelimit.burst", str(_BURST)
    for name, value in _RESPONSE_HEADERS.items():
        yield f"{at}-headers.headers.{name}", value
    for name, networks in (
        ("people", settings.stack.ui_networks),
        ("machines", settings.stack.machine_networks),
        ("readers", _readers(settings)),
    ):
        if networks:
            yield f"{at}-{name}.ipallowlist.sourcerange", ",".join(dict.fromkeys(networks))


def _readers(settings: Settings) -> tuple[str, ...]:
    """From where the paths of secrets may be read: people read by the same ones as services."""
    both = settings.stack.ui_networks and settings.stack.machine_networks
    return (*settings.stack.machine_networks, *settings.stack.ui_networks) if both else ()


def _routers(settings: Settings) -> Iterator[tuple[str, str]]:
    host = f"Host(`{urlsplit(settings.stack.site_url).hostname}`)"
    at = "traefik.http.routers.infisical"
    yield f"{at}-http.rule", host
    yield f"{at}-http.entrypoints", _HTTP
    yield f"{at}-http.middlewares", "infisical-https"
    yield f"{at}-http.service", "infisical"
    chosen = list(_chosen(bool(settings.stack.ui_networks), bool(settings.stack.machine_networks)))
    for place, (name, condition, middlewares) in enumerate(chosen):
        router = f"{at}-{name}"
        used = (f"infisical-{each}" for each in ("headers", *middlewares))
        yield f"{router}.rule", f"{host} && {condition}" if condition else host
        yield f"{router}.priority", str(1000 - place)
        yield f"{router}.entrypoints", settings.stack.traefik_entrypoint
        yield f"{router}.tls.certresolver", settings.stack.traefik_resolver
        yield f"{router}.middlewares", ",".join(used)
        yield f"{router}.service", "infisical"


def _chosen(ui: bool, machines: bool) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Name, condition and own middlewares of each router, in the order in which they are asked."""
    reads = f"(Method(`GET`) || Method(`HEAD`)) && PathRegexp(`{paths.SECRETS}`)"
    has_token = f"HeaderRegexp(`Authorization`, `{paths.identity_token()}`)"
    people = ("people",) if ui else ()
    yield "status", f"PathRegexp(`{paths.STATUS}`)", ()
    logs_in = ("machines", "logins") if machines else ("logins",)
    yield "identities", f"PathRegexp(`{paths.IDENTITIES}`)", logs_in
    if machines:
        yield "services", f"{has_token} && {reads}", ("machines",)
        yield "tokens", has_token, ("machines", *people)
    if ui:
        yield "reads", reads, ("readers",) if machines else ()
    yield "logins", f"PathRegexp(`{paths.LOGINS}`)", (*people, "logins")
    yield "all", "", people


# On the host's loopback address, where Caddy answers with the revision that it runs with.
REVISION_PORT = 2019


class Caddyfile(NamedTuple):
    """A text and its revision: a hash of the text and of the certificate that it names."""

    text: str
    revision: str


def caddyfile(settings: Settings, certificate: str = "") -> Caddyfile:
    """The Caddyfile; `certificate` is the text of the settings' own one, empty for none."""
    url, behind = urlsplit(settings.stack.site_url), settings.stack.ingress == "traefik"
    render = partial(
        template,
        "Caddyfile",
        settings=settings,
        behind=behind,
        port=PORT,
        secret_header=SECRET_HEADER,
        upstream=UPSTREAM if behind else f"127.0.0.1:{settings.stack.http_port}",
        host=url.hostname,
        site=url.netloc.lower(),
        origin=re.escape(f"{url.scheme}://{url.netloc.lower().removesuffix(':443')}"),
        directory=DIRECTORIES.get(settings.stack.acme_ca, settings.stack.acme_ca),
        is_internal=settings.stack.acme_ca == INTERNAL,
        revision_port=REVISION_PORT,
        paths=paths,
        maintenance=paths,
        banning=banning,
    )
    revision = sha256(f"{render(revision='')}{certificate}".encode()).hexdigest()[:32]
    return Caddyfile(render(revision=revision), revision)
