"""The Caddyfile, and how it is known which one Caddy runs with."""

import re
from functools import partial
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import urlsplit

from infisical_iac.core.rendering import template
from infisical_iac.core.settings import Settings
from infisical_iac.host import bans as banning
from infisical_iac.ingress import maintenance, traefik
from infisical_iac.stack import paths
from infisical_iac.stack.settings import DIRECTORIES, INTERNAL

# On the host's loopback address, where Caddy answers with the revision that it runs with.
REVISION_PORT = 2019


class Caddyfile(NamedTuple):
    """A text and its revision: a hash of the text and of the certificate that it names."""

    text: str
    revision: str


def caddyfile(settings: Settings, certificate: str = "") -> Caddyfile:
    """The Caddyfile; `certificate` is the text of the settings' own one, empty for none."""
    url, behind = urlsplit(settings.site_url), settings.ingress == "traefik"
    render = partial(
        template,
        "Caddyfile",
        settings=settings,
        behind=behind,
        port=traefik.PORT,
        secret_header=traefik.SECRET_HEADER,
        upstream=traefik.UPSTREAM if behind else f"127.0.0.1:{settings.http_port}",
        host=url.hostname,
        site=url.netloc.lower(),
        origin=re.escape(f"{url.scheme}://{url.netloc.lower().removesuffix(':443')}"),
        directory=DIRECTORIES.get(settings.acme_ca, settings.acme_ca),
        is_internal=settings.acme_ca == INTERNAL,
        revision_port=REVISION_PORT,
        paths=paths,
        maintenance=maintenance,
        banning=banning,
    )
    revision = sha256(f"{render(revision='')}{certificate}".encode()).hexdigest()[:32]
    return Caddyfile(render(revision=revision), revision)
