"""Hosts and settings that don't fit each other are refused before anything is changed."""

from dataclasses import replace
from typing import Any, get_args

import pytest

from infisical_iac.core.errors import UserError
from infisical_iac.host.model import MachineState
from infisical_iac.stack.ingress_kinds import KINDS, IngressName
from tests.unit.settings_of import settings_of

_BARE = MachineState()
_DOKPLOY = MachineState(
    web={80: "container dokploy-traefik", 443: "container dokploy-traefik"},
    networks=frozenset({"bridge", "dokploy-network"}),
)


@pytest.mark.parametrize(
    ("machine", "changes", "sentence"),
    [
        (
            _BARE,
            {"site_url": "http://127.0.0.1:8080"},
            "setting 'ingress': 'caddy' serves https, but site_url is http://127.0.0.1:8080: set "
            "site_url to the host's name such as https://secrets.example.com, or ingress to 'none'",
        ),
        (
            _BARE,
            {"site_url": "http://secrets.example.com", "ingress": "traefik"},
            "'traefik' serves https",
        ),
        (MachineState(web={80: "nginx"}), {}, "port 80 of the host is held by nginx: stop it, or"),
        (
            MachineState(web={443: "container web-1"}),
            {},
            "port 443 of the host is held by container web-1",
        ),
        (_DOKPLOY, {}, "Dokploy's Traefik holds port 80 of the host: set ingress to 'traefik'"),
        (
            replace(_DOKPLOY, swarm=True),
            {},
            "Dokploy's Traefik holds port 80 of the host: set ingress to 'traefik' and firewall to "
            "'off', and Infisical is reached through it",
        ),
        (
            replace(_DOKPLOY, swarm=True),
            {"firewall": "off"},
            "set ingress to 'traefik', and Infisical",
        ),
        (
            replace(_DOKPLOY, web={443: "dockerd"}),
            {},
            "Dokploy's Traefik holds port 443 of the host: set ingress to 'traefik'",
        ),
        (
            replace(_DOKPLOY, web={80: "container dokploy-traefik.1.x2k"}),
            {},
            "Dokploy's Traefik holds port 80 of the host: set ingress to 'traefik'",
        ),
        (MachineState(web={80: "dockerd"}), {}, "port 80 of the host is held by dockerd"),
        (
            MachineState(web={80: "nginx", 443: "nginx"}),
            {"ingress": "none"},
            "port 443 of the host is held by nginx, and with ingress 'none' the firewall closes it",
        ),
        (_BARE, {"http_port": 2019}, "setting 'http_port': Caddy itself uses 2019"),
        (
            _BARE,
            {"site_url": "https://secrets.example.com:8443"},
            "setting 'site_url': 'caddy' serves port 443, not that of https://secrets.example.com:",
        ),
        (_BARE, {"ingress": "traefik"}, "Docker has no network dokploy-network on the host"),
        (
            _DOKPLOY,
            {"ingress": "traefik", "site_url": "https://secrets.example.com:8443"},
            "setting 'site_url': 'traefik' serves port 443, not that of",
        ),
        (
            _BARE,
            {"ingress": "none", "machine_networks": ("10.0.0.0/8",)},
            "setting 'machine_networks': with ingress 'none' only your own proxy can keep others",
        ),
        (
            _DOKPLOY,
            {"ingress": "traefik", "tls_certificate": "a.crt", "tls_key": "a.key"},
            "with ingress 'traefik' the certificate is not ours to serve",
        ),
        (_BARE, {"site_url": "https://secrets"}, "certifies no name such as secrets: set acme_ca"),
        (
            _BARE,
            {"site_url": "https://a.internal"},
            "to 'internal', or tls_certificate and tls_key",
        ),
        (_BARE, {"site_url": "https://192.0.2.1"}, "certifies no name such as 192.0.2.1"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_remedy(
    machine: MachineState, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError) as refusal:
        _refuse(machine, changes)
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("machine", "changes"),
    [
        (_BARE, {}),
        (_DOKPLOY, {"ingress": "traefik"}),
        (_DOKPLOY, {"ingress": "none", "firewall": "off"}),
        (replace(_DOKPLOY, swarm=True), {"ingress": "none"}),
        (_DOKPLOY, {"ingress": "none", "allowed_ports": ({"port": 443},)}),
        (_DOKPLOY, {"ingress": "none", "site_url": "http://127.0.0.1:8080"}),
        (_BARE, {"site_url": "https://secrets.example.com:443"}),
        (MachineState(web={80: "nginx"}), {"ingress": "none"}),
        (_BARE, {"ingress": "none", "site_url": "http://127.0.0.1:8080"}),
        (_BARE, {"site_url": "https://a.internal", "acme_ca": "internal"}),
        (_BARE, {"site_url": "https://a.internal", "acme_ca": "https://ca.internal/directory"}),
        (_BARE, {"site_url": "https://a.lan", "tls_certificate": "a.crt", "tls_key": "a.key"}),
    ],
)
def test_what_fits_is_let_through(machine: MachineState, changes: dict[str, Any]) -> None:
    _refuse(machine, changes)


def _refuse(machine: MachineState, changes: dict[str, Any]) -> None:
    settings = settings_of(**changes)
    settings.stack.ingress_kind.refuse(settings, machine)


def test_the_setting_takes_the_names_of_all_kinds() -> None:
    assert get_args(IngressName) == tuple(KINDS)
