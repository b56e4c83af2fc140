"""Test the ingress, firewall and bans of nodes behind a Load Balancer."""

from typing import Any

import pytest

from infisical_iac.host.firewall import ruleset
from infisical_iac.host.openings import Opening, openings
from infisical_iac.host.settings import EVERYBODY
from infisical_iac.host.watch import JAIL, render_bans
from infisical_iac.stack.ingress import caddyfile
from tests.unit.settings_of import settings_of

_BALANCED: dict[str, Any] = {"topology": "swarm", "edge": "load-balancer"}


@pytest.mark.parametrize(
    ("changes", "address"),
    [
        ({}, ""),
        ({"edge": "load-balancer"}, ""),
        ({"topology": "swarm"}, ""),
        (_BALANCED, "10.42.0.254"),
        ({**_BALANCED, "server_network": "192.168.0.0/23"}, "192.168.1.254"),
    ],
)
def test_only_a_cluster_with_a_load_balancer_has_its_address(
    changes: dict[str, Any], address: str
) -> None:
    assert settings_of(**changes).balancer_address == address


def test_caddy_trusts_only_the_balancers_forwarded_addresses() -> None:
    text = caddyfile(settings_of(**_BALANCED)).text
    wrappers = text.partition("listener_wrappers {")[2].partition("\n\t\t}")[0]
    assert [each.strip() for each in wrappers.splitlines() if each.strip()] == [
        "proxy_protocol {",
        "timeout 5s",
        "allow 10.42.0.254/32",
        "}",
        "tls",
    ]
    assert "proxy_protocol" not in caddyfile(settings_of(topology="swarm")).text


def test_caddy_answers_health_checks_over_http_and_redirects_the_rest_to_https() -> None:
    text = caddyfile(settings_of(**_BALANCED)).text
    site = text.partition("\nhttp://secrets.example.com {")[2].partition("\n}")[0]
    assert "vars {http.request.orig_uri} /api/status" in site
    assert "import infisical" in site
    assert "redir https://secrets.example.com{uri} 308" in site
    shared = text.partition("\n(infisical) {")[2].partition("\n}")[0]
    assert "reverse_proxy 127.0.0.1:8080 {" in shared


def test_nodes_behind_a_balancer_offer_no_http3() -> None:
    """A Load Balancer would not forward HTTP/3."""
    assert "protocols h1 h2" in caddyfile(settings_of(**_BALANCED)).text
    assert "udp" not in {each.protocol for each in openings(settings_of(**_BALANCED), 22)}


def test_nodes_behind_a_balancer_accept_web_traffic_from_everybody() -> None:
    web = Opening("tcp", (80, 443), EVERYBODY, "HTTP and HTTPS")
    assert web in openings(settings_of(**_BALANCED), 22)


def test_only_the_balancer_reaches_infisical_if_https_ends_at_the_balancer() -> None:
    opened = openings(settings_of(**_BALANCED, ingress="none", http_port=9000), 22)
    assert opened[2:] == (Opening("tcp", (9000,), ("10.42.0.254/32",), "Load Balancer"),)
    text = ruleset(opened)
    assert "ip saddr { 10.42.0.254/32 } tcp dport { 9000 } accept" in text
    # The same rule for a port that Docker publishes.
    assert "ip saddr { 10.42.0.254/32 } meta l4proto tcp ct status dnat" in text


def test_the_balancer_is_never_banned() -> None:
    jail = dict(render_bans(settings_of(**_BALANCED)))[JAIL]
    ignored = [line for line in jail.splitlines() if line.startswith("ignoreip = ")]
    assert len(ignored) == 3
    assert all("10.42.0.254" in line.split() for line in ignored)
