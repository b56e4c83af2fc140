"""Test that an ingress which does not fit the host or other settings is refused."""

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
    ("machine", "changes", "code", "facts"),
    [
        (
            _BARE,
            {"site_url": "http://127.0.0.1:8080"},
            "settings.no_https",
            ("setting 'ingress': 'caddy'", "http://127.0.0.1:8080:", "ingress to 'none'"),
        ),
        (
            _BARE,
            {"site_url": "http://secrets.example.com", "ingress": "traefik"},
            "settings.no_https",
            ("'traefik'", "http://secrets.example.com:"),
        ),
        (MachineState(web={80: "nginx"}), {}, "refused.port_held", ("port 80 ", "by nginx:")),
        (
            MachineState(web={443: "container web-1"}),
            {},
            "refused.port_held",
            ("port 443 ", "by container web-1:"),
        ),
        (_DOKPLOY, {}, "refused.dokploy", ("port 80 ", "ingress to 'traefik' to")),
        (
            replace(_DOKPLOY, swarm=True),
            {},
            "refused.dokploy",
            ("port 80 ", "ingress to 'traefik' and firewall to 'off' to"),
        ),
        (
            replace(_DOKPLOY, swarm=True),
            {"firewall": "off"},
            "refused.dokploy",
            ("port 80 ", "ingress to 'traefik' to"),
        ),
        (
            replace(_DOKPLOY, web={443: "dockerd"}),
            {},
            "refused.dokploy",
            ("port 443 ", "ingress to 'traefik' to"),
        ),
        (
            replace(_DOKPLOY, web={80: "container dokploy-traefik.1.x2k"}),
            {},
            "refused.dokploy",
            ("port 80 ", "ingress to 'traefik' to"),
        ),
        (MachineState(web={80: "dockerd"}), {}, "refused.port_held", ("port 80 ", "by dockerd:")),
        (
            MachineState(web={80: "nginx", 443: "nginx"}),
            {"ingress": "none"},
            "refused.port_closed",
            ("port 443 ", "by nginx,", 'allowed_ports = ({"port": 80}, {"port": 443})'),
        ),
        (
            _BARE,
            {"http_port": 2019},
            "settings.port_in_use",
            ("setting 'http_port': ", "Caddy itself uses 2019"),
        ),
        (
            _BARE,
            {"site_url": "https://secrets.example.com:8443"},
            "settings.https_port",
            ("setting 'site_url': 'caddy'", "port 443,", "https://secrets.example.com:8443"),
        ),
        (
            _BARE,
            {"ingress": "traefik"},
            "refused.no_proxy_network",
            ("setting 'traefik_network': ", "network dokploy-network"),
        ),
        (
            _DOKPLOY,
            {"ingress": "traefik", "site_url": "https://secrets.example.com:8443"},
            "settings.https_port",
            ("setting 'site_url': 'traefik'", "port 443,"),
        ),
        (
            _BARE,
            {"ingress": "none", "machine_networks": ("10.0.0.0/8",)},
            "settings.not_enforced",
            ("setting 'machine_networks': with ingress 'none'",),
        ),
        (
            _DOKPLOY,
            {"ingress": "traefik", "tls_certificate": "a.crt", "tls_key": "a.key"},
            "settings.unused_certificate",
            ("setting 'tls_certificate': with ingress 'traefik'",),
        ),
        (
            _BARE,
            {"site_url": "https://secrets"},
            "settings.private_name",
            ("setting 'acme_ca': ", " secrets: set acme_ca"),
        ),
        (
            _BARE,
            {"site_url": "https://a.internal"},
            "settings.private_name",
            (" a.internal: ", "'internal', or tls_certificate and tls_key"),
        ),
        (_BARE, {"site_url": "https://192.0.2.1"}, "settings.private_name", (" 192.0.2.1: ",)),
    ],
)
def test_an_invalid_combination_is_refused_with_the_remedy(
    machine: MachineState, changes: dict[str, Any], code: str, facts: tuple[str, ...]
) -> None:
    with pytest.raises(UserError) as refusal:
        _refuse(machine, changes)
    assert refusal.value.code == code
    for fact in facts:
        assert fact in str(refusal.value)
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
def test_a_valid_combination_is_accepted(machine: MachineState, changes: dict[str, Any]) -> None:
    _refuse(machine, changes)


def _refuse(machine: MachineState, changes: dict[str, Any]) -> None:
    settings = settings_of(**changes)
    settings.stack.ingress_kind.refuse(settings, machine)


def test_the_setting_accepts_the_names_of_all_kinds() -> None:
    assert get_args(IngressName) == tuple(KINDS)
