"""Render the Caddyfile."""

import re
from functools import partial
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import urlsplit

from infisical_iac.core.rendering import template
from infisical_iac.core.settings import Settings
from infisical_iac.host import bans
from infisical_iac.stack import ingress_kinds, paths


def trusted_networks(settings: Settings) -> tuple[str, ...]:
    """Return the networks of the proxy, whose X-Forwarded-For Infisical trusts."""
    proxies = settings.stack.ingress_kind.proxies
    return tuple(dict.fromkeys((*settings.stack.trusted_proxy_cidrs, *proxies)))


class Caddyfile(NamedTuple):
    """The text of a Caddyfile and its revision, a hash of the text and of its certificate."""

    text: str
    revision: str


def caddyfile(settings: Settings, certificate: str = "") -> Caddyfile:
    """Return the Caddyfile; `certificate` is the text of the user's own, empty for none."""
    url = urlsplit(settings.stack.site_url)
    kind = settings.stack.ingress_kind
    loopback = f"127.0.0.1:{settings.stack.http_port}"
    render = partial(
        template,
        "Caddyfile",
        settings=settings,
        kind=kind,
        port=ingress_kinds.PORT,
        secret_header=ingress_kinds.SECRET_HEADER,
        upstream=ingress_kinds.UPSTREAM if kind.behind_proxy else loopback,
        host=url.hostname,
        site=url.netloc.lower(),
        origin=re.escape(f"{url.scheme}://{url.netloc.lower().removesuffix(':443')}"),
        directory=ingress_kinds.DIRECTORIES.get(settings.stack.acme_ca, settings.stack.acme_ca),
        is_internal=settings.stack.acme_ca == ingress_kinds.INTERNAL,
        revision_port=ingress_kinds.REVISION_PORT,
        paths=paths,
        maintenance=paths,
        banning=bans,
    )
    revision = sha256(f"{render(revision='')}{certificate}".encode()).hexdigest()[:32]
    return Caddyfile(render(revision=revision), revision)
