"""Test that the Caddyfile fits compose.yaml, and that its revision identifies it."""

import re

import pytest
import yaml

from infisical_iac.agent.ingress import _REVISION
from infisical_iac.host.model import MachineState
from infisical_iac.stack.compose import compose_file
from infisical_iac.stack.ingress import caddyfile
from infisical_iac.stack.paths import identity_token
from tests.unit.settings_of import NAME, settings_of

_MACHINE = MachineState(os="debian", release="13")


@pytest.mark.parametrize(
    ("authority", "line"),
    [
        ("letsencrypt", "acme_ca https://acme-v02.api.letsencrypt.org/directory"),
        ("letsencrypt-staging", "acme_ca https://acme-staging-v02.api.letsencrypt.org/directory"),
        ("https://ca.example.com/d", "acme_ca https://ca.example.com/d"),
        ("internal", "tls internal"),
    ],
)
def test_caddy_uses_the_authority_of_the_settings(authority: str, line: str) -> None:
    lines = [each.strip() for each in caddyfile(settings_of(acme_ca=authority)).text.splitlines()]
    assert line in lines
    assert len([each for each in lines if each.startswith(("acme_ca ", "tls "))]) == 1


def test_the_networks_of_the_settings_admit_the_canary_of_the_host_itself() -> None:
    networks = {"ui_networks": ("192.0.2.0/24",), "machine_networks": ("198.51.100.0/24",)}
    texts = [caddyfile(settings_of(**networks, monitoring=on)).text for on in ("off", "on")]
    admitted = [{*re.findall(r"remote_ip (.+)", text)} for text in texts]
    assert admitted == [
        {"192.0.2.0/24", "198.51.100.0/24"},
        {"192.0.2.0/24 127.0.0.1", "198.51.100.0/24 127.0.0.1"},
    ]


def test_a_certificate_of_the_user_needs_no_authority() -> None:
    own = {"tls_certificate": "a.crt", "tls_key": "a.key"}
    text = caddyfile(settings_of(**own), "obviously fake").text
    assert "tls /etc/caddy/tls.crt /etc/caddy/tls.key" in text
    assert "acme_ca" not in text


def test_caddy_answers_with_a_revision_that_depends_on_text_and_certificate() -> None:
    plain, other = caddyfile(settings_of()), caddyfile(settings_of(http_port=9000))
    first, second = (caddyfile(settings_of(), each) for each in ("fake 1", "fake 2"))
    revisions = {each.revision for each in (plain, other, first, second)}
    assert len(revisions) == 4
    assert f'respond "{plain.revision}"' in plain.text
    assert caddyfile(settings_of()) == plain


def test_the_agent_reads_the_revision_from_the_address_that_caddy_serves() -> None:
    rendered = yaml.safe_load(compose_file(settings_of(), _MACHINE))
    address = "http://127.0.0.1:2019/"
    assert address in rendered["services"]["caddy"]["healthcheck"]["test"]
    assert address == _REVISION
    assert f"\n{address.rstrip('/')} {{" in caddyfile(settings_of()).text


def test_caddy_passes_requests_to_the_port_that_infisical_is_published_on() -> None:
    chosen = settings_of(http_port=9000)
    rendered = yaml.safe_load(compose_file(chosen, _MACHINE))
    assert rendered["services"]["infisical"]["ports"] == ["127.0.0.1:9000:8080"]
    assert "reverse_proxy 127.0.0.1:9000 {" in caddyfile(chosen).text
    environment = rendered["services"]["infisical"]["environment"]
    assert environment["HTTPS_ENABLED"] == "true"
    assert environment["SITE_URL"] == f"https://{NAME}"


@pytest.mark.parametrize(
    ("kind", "given", "trusted"),
    [
        ("caddy", (), "127.0.0.0/8,172.16.0.0/12"),
        ("caddy", ("192.0.2.1/32",), "192.0.2.1/32,127.0.0.0/8,172.16.0.0/12"),
        ("none", ("192.0.2.1/32",), "192.0.2.1/32"),
    ],
)
def test_infisical_trusts_the_proxy_before_it_in_addition_to_the_setting(
    kind: str, given: tuple[str, ...], trusted: str
) -> None:
    chosen = settings_of(ingress=kind, trusted_proxy_cidrs=given)
    environment = yaml.safe_load(compose_file(chosen, _MACHINE))["services"]["infisical"]
    assert environment["environment"]["TRUSTED_PROXY_CIDRS"] == trusted


def test_caddy_is_confined() -> None:
    rendered = yaml.safe_load(compose_file(settings_of(), _MACHINE))
    caddy = rendered["services"]["caddy"]
    assert (caddy["cap_drop"], caddy["cap_add"]) == (["ALL"], ["NET_BIND_SERVICE"])
    assert caddy["security_opt"] == ["no-new-privileges:true"]
    assert caddy["read_only"] is True
    assert caddy["mem_limit"] == caddy["memswap_limit"]
    assert "ports" not in caddy
    assert "/etc/infisical/ingress:/etc/caddy:ro" in caddy["volumes"]
    assert "caddy" in rendered["volumes"]


def test_other_services_are_the_same_with_and_without_caddy() -> None:
    with_caddy, without = (
        yaml.safe_load(compose_file(settings_of(ingress=each), _MACHINE))
        for each in ("caddy", "none")
    )
    del with_caddy["services"]["caddy"]
    assert with_caddy["services"] == without["services"]


def test_only_a_token_with_the_claim_identity_id_is_that_of_an_identity() -> None:
    assert not re.search(identity_token(), "Bearer eyJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiJmYWtlIn0.x")
    assert not re.search(identity_token(), "")
