"""Test the wording of messages about the stack. Other tests assert codes and facts."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from infisical_iac.agent.docker import Connection, DockerNetwork
from infisical_iac.cli import deploy
from infisical_iac.core.connection import HOST_DEPLOYMENT
from infisical_iac.core.errors import Refused, SettingsError, UserError
from infisical_iac.host.model import MachineState
from infisical_iac.stack.access_log import parse_since, statuses
from infisical_iac.stack.ingress import caddyfile, find_misfit, read_own_pair
from infisical_iac.stack.state import Connections
from tests.unit.settings_of import NAME, settings_of
from tests.unit.stack.certificates import NOW, pair

if TYPE_CHECKING:
    from pyinfra.api.host import Host


def test_wording_of_an_invalid_time_or_status_for_the_access_log() -> None:
    with pytest.raises(SettingsError) as since:
        parse_since("yesterday", datetime(2026, 11, 26, tzinfo=UTC))
    assert str(since.value) == (
        "--since 'yesterday' is not a time: write 30m, 12h, 7d, 2w or a date such as 2026-11-25"
    )
    with pytest.raises(SettingsError) as status:
        statuses("40x")
    assert str(status.value) == "--status '40x' is not a status: write 200, 4xx, or 401,403"


_NAMES = frozenset({"redis"})


@pytest.mark.parametrize(
    ("actual", "reason"),
    [
        ({}, "not connected to network databases"),
        (
            {"infisical_databases": Connection("d0", _NAMES)},
            "connected to a network databases that no longer exists",
        ),
        (
            {"infisical_databases": Connection("d1", frozenset())},
            "not known as redis in network databases",
        ),
        (
            {
                "infisical_databases": Connection("d1", _NAMES),
                "bridge": Connection("b1", frozenset()),
            },
            "connected to network bridge, but should not be",
        ),
    ],
)
def test_wording_of_a_wrong_connection(actual: dict[str, Connection], reason: str) -> None:
    found = Connections(
        desired={"redis": {"infisical_databases": _NAMES}},
        actual={"redis": actual},
        networks={"infisical_databases": DockerNetwork("d1", True, "infisical")},
        own={"infisical_databases": True},
    )
    assert found.wrong() == {"redis": reason}


def test_wording_of_a_network_that_differs_from_compose() -> None:
    found = Connections(
        desired={"redis": {"infisical_databases": _NAMES}},
        actual={"redis": {"infisical_databases": Connection("d1", _NAMES)}},
        networks={"infisical_databases": DockerNetwork("d1", True, "another")},
        own={"infisical_databases": True},
    )
    assert found.wrong() == {
        "redis": "connected to a network databases that is not as compose.yaml says"
    }


@pytest.mark.parametrize(
    ("volumes", "what"),
    [
        (True, "Infisical with all its data from infisical at 203.0.113.7"),
        (False, "Infisical from infisical at 203.0.113.7, but not its data"),
    ],
)
def test_wording_of_the_question_before_infisical_is_destroyed(
    volumes: bool, what: str, questions: list[str]
) -> None:
    data = {"ssh_hostname": "203.0.113.7", HOST_DEPLOYMENT: "infisical"}
    host = cast("Host", SimpleNamespace(name="infisical", data=data))
    with pytest.raises(Refused) as refused:
        deploy._confirm_removal(
            deploy._removal(host, "inventory/hetzner.py"), None, volumes=volumes
        )
    assert questions == [f"This removes {what}. Type the host's name, infisical: "]
    assert str(refused.value) == (
        "'another' is not the host's name: nothing was done; run again and type infisical"
    )


def test_wording_of_the_response_to_a_request_that_bypasses_the_proxy() -> None:
    text = caddyfile(settings_of(ingress="traefik")).text
    assert 'respond "Only by way of Traefik." 403' in text


@pytest.mark.parametrize(
    ("machine", "changes", "sentence"),
    [
        (
            MachineState(),
            {"site_url": "http://127.0.0.1:8080"},
            "setting 'ingress': 'caddy' serves https, but site_url is http://127.0.0.1:8080: set "
            "site_url to the host's name such as https://secrets.example.com, or ingress to 'none'",
        ),
        (
            MachineState(web={80: "nginx"}),
            {},
            "port 80 of the host is held by nginx: stop it, or set ingress to 'none' and let it "
            "pass requests on (`infisical-iac docs ingress`)",
        ),
        (
            MachineState(web={80: "container dokploy-traefik"}, swarm=True),
            {},
            "Dokploy's Traefik holds port 80 of the host: set ingress to 'traefik' and firewall to "
            "'off' to serve Infisical through it",
        ),
        (
            MachineState(web={443: "nginx"}),
            {"ingress": "none"},
            "port 443 of the host is held by nginx, and with ingress 'none' the firewall closes "
            'it: open it by allowed_ports = ({"port": 80}, {"port": 443}), or for your '
            "own network only",
        ),
        (
            MachineState(),
            {"site_url": "https://secrets"},
            "setting 'acme_ca': Let's Encrypt certifies no name such as secrets: set acme_ca to "
            "'internal', or tls_certificate and tls_key to a certificate of your own",
        ),
    ],
)
def test_wording_of_a_refused_ingress(
    machine: MachineState, changes: dict[str, Any], sentence: str
) -> None:
    settings = settings_of(**changes)
    with pytest.raises(UserError) as refusal:
        settings.stack.ingress_kind.refuse(settings, machine)
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"ingress": "nowhere"},
            "setting 'ingress': 'nowhere' is not accepted; write 'caddy', 'traefik' or 'none'",
        ),
        (
            {"acme_ca": "zerossl"},
            "setting 'acme_ca': 'zerossl' is not an authority; write letsencrypt, "
            "letsencrypt-staging, internal, or the https address of an ACME directory",
        ),
        (
            {"servers": 2},
            "setting 'servers': 2 can't form a cluster; choose 3 to 10, as a placement group holds "
            "ten at most",
        ),
    ],
)
def test_wording_of_a_refused_setting_of_the_ingress_or_a_cluster(
    changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        settings_of(**changes)
    assert str(refusal.value) == sentence


def test_wording_of_a_key_that_does_not_match_the_certificate(tmp_path: Path) -> None:
    certificate, key = tmp_path / "a.crt", tmp_path / "a.key"
    certificate.write_text(pair(NAME).certificate)
    key.write_text(pair(NAME).key)
    with pytest.raises(SettingsError) as refusal:
        read_own_pair(settings_of(tls_certificate=str(certificate), tls_key=str(key)), NOW)
    assert str(refusal.value) == (
        f"setting 'tls_key': {key} is not the key of {certificate}: give the two files that belong "
        "together"
    )


def test_wording_of_a_served_certificate_for_another_name() -> None:
    served = pair("other.example.com").certificate
    assert find_misfit(served, NAME, None, NOW) == "one for another name is served"
