"""Refuse hosts that an ingress can't be had on."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from infisical_iac.core.errors import UserError
from infisical_iac.core.settings import Settings
from infisical_iac.host.machine import MachineState
from infisical_iac.stack.caddyfile import REVISION_PORT
from infisical_iac.stack.settings import INTERNAL

# What no public authority certifies (RFC 6761, RFC 6762, RFC 8375, and what ICANN reserves).
_PRIVATE = re.compile(r"[^.]+|.*\.(internal|local|localhost|test|example|invalid|lan|home\.arpa)")
_TRAEFIK, _NETWORK = "dokploy-traefik", "dokploy-network"


class IngressRefused(UserError):
    """The settings of the ingress don't fit each other, or not the host.

    Attributes:
        part: the part of a deploy that can't go on for what is so on the host; empty where the
            settings are wrong, which is so for all of it.
    """

    def __init__(self, sentence: str, part: str = "") -> None:
        super().__init__(sentence)
        self.part = part


def refuse(settings: Settings, machine: MachineState) -> None:
    """Raise IngressRefused if the ingress of the settings can't work on the host."""
    _refuse_unused(settings)
    if settings.ingress == "none":
        _refuse_closing(settings, machine)
        return
    url = urlsplit(settings.site_url)
    if url.scheme != "https":
        raise IngressRefused(
            f"setting 'ingress': {settings.ingress!r} serves https, but site_url is "
            f"{settings.site_url}: set site_url to the host's name such as "
            "https://secrets.example.com, or ingress to 'none'"
        )
    if url.port not in (None, 443):
        raise IngressRefused(
            f"setting 'site_url': {settings.ingress!r} serves port 443, not that of "
            f"{settings.site_url}: leave the port out"
        )
    if settings.ingress == "traefik":
        _refuse_traefik(settings, machine)
        return
    if settings.http_port == REVISION_PORT:
        raise IngressRefused(
            f"setting 'http_port': on {REVISION_PORT} Caddy tells what it runs with: choose another"
        )
    _refuse_authority(settings, url.hostname or "")
    for port, who in machine.web.items():
        if _is_dokploys(who, machine):
            # Dokploy's Docker is in a Swarm, whose ports the firewall would close.
            too = " and firewall to 'off'" if machine.swarm and settings.firewall == "on" else ""
            raise IngressRefused(
                f"Dokploy's Traefik holds port {port} of the host: set ingress to 'traefik'{too}, "
                "and Infisical is reached through it",
                part="Ingress",
            )
        raise IngressRefused(
            f"port {port} of the host is held by {who}: stop it, or set ingress to 'none' and let "
            "it pass requests on as docs/ingress.md shows",
            part="Ingress",
        )


def _is_dokploys(who: str, machine: MachineState) -> bool:
    """Return whether the holder of a port is Traefik of Dokploy, as a container or as Swarm's
    service.
    """
    swarms = who == "dockerd" and _NETWORK in machine.networks
    return who.startswith(f"container {_TRAEFIK}") or swarms


def _refuse_closing(settings: Settings, machine: MachineState) -> None:
    """Where site_url is https, what holds its port on the host is most likely the user's proxy."""
    opened = {each.port for each in settings.allowed_ports if each.protocol == "tcp"}
    if (
        settings.firewall == "on"
        # In a Swarm of somebody else's there can be no firewall, which says so.
        and not (machine.swarm and settings.topology == "single")
        and settings.site_url.startswith("https:")
        and 443 in machine.web.keys() - opened
    ):
        raise IngressRefused(
            f"port 443 of the host is held by {machine.web[443]}, and with ingress 'none' the "
            'firewall closes it: open it by allowed_ports = ({"port": 80}, {"port": 443}), or, if '
            "nobody is to reach it from outside, for a network of your own alone",
            part="Firewall",
        )


def _refuse_unused(settings: Settings) -> None:
    for setting in ("ui_networks", "machine_networks"):
        if settings.ingress == "none" and getattr(settings, setting):
            raise IngressRefused(
                f"setting {setting!r}: with ingress 'none' nothing of ours stands in anybody's "
                "way: let your own proxy keep others out, and leave the setting empty"
            )
    if settings.ingress != "caddy" and settings.tls_certificate:
        raise IngressRefused(
            f"setting 'tls_certificate': with ingress {settings.ingress!r} the certificate is not "
            "ours to serve: give it to your proxy, and leave the setting empty"
        )


def _refuse_traefik(settings: Settings, machine: MachineState) -> None:
    if settings.traefik_network not in machine.networks:
        raise IngressRefused(
            f"setting 'traefik_network': Docker has no network {settings.traefik_network} on the "
            "host: install Dokploy first, or set ingress to 'caddy'",
            part="Ingress",
        )


def _refuse_authority(settings: Settings, name: str) -> None:
    if settings.tls_certificate or settings.acme_ca not in ("letsencrypt", "letsencrypt-staging"):
        return
    if _PRIVATE.fullmatch(name) or _is_address(name):
        raise IngressRefused(
            f"setting 'acme_ca': Let's Encrypt certifies no name such as {name}: set acme_ca to "
            f"{INTERNAL!r}, or tls_certificate and tls_key to a certificate of your own"
        )


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
