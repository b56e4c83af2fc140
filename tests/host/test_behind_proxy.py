"""Test that containers on the network of another proxy can't bypass Caddy."""

import pytest

from infisical_iac.core.settings import Settings
from tests.host.connection import Host
from tests.host.containers import Inspected


def _addresses(container: Inspected) -> dict[str, str]:
    networks = container["NetworkSettings"]["Networks"]
    return {name: each["IPAddress"] for name, each in networks.items()}


def _asked_by_a_neighbour(host: Host, settings: Settings, address: str, *headers: str) -> str:
    """Return the status line that a container on the proxy's network gets, empty for none."""
    options = [word for each in headers for word in ("--header", each)]
    command = ["timeout", "15", "wget", "-q", "-S", "-T", "5", "-O", "/dev/null", *options]
    command += [f"http://{address}:8080/api/status"]
    network = settings.stack.ingress_kind.proxy_network(settings)
    words = ["docker", "run", "--rm", "--network", network, "--entrypoint", ""]
    words += [settings.stack.caddy_image, *command]
    done = host.run(" ".join(["%s"] * len(words)), *words)
    said = [line.strip() for line in f"{done.stdout}{done.stderr}".splitlines()]
    return next((line for line in said if line.startswith("HTTP/")), "")


def test_only_caddy_is_on_the_proxys_network(
    settings: Settings, inspections: dict[str, Inspected]
) -> None:
    network = settings.stack.ingress_kind.proxy_network(settings)
    assert set(_addresses(inspections["caddy"])) == {"infisical_edge", network}
    assert [name for name, each in inspections.items() if network in _addresses(each)] == ["caddy"]


def test_only_caddy_and_infisical_are_on_the_edge_network(
    host: Host, inspections: dict[str, Inspected]
) -> None:
    listed = "docker network inspect --format '{{ range .Containers }}{{ .Name }} {{ end }}' %s"
    assert sorted(host.check_output(listed, "infisical_edge").split()) == sorted(
        inspections[each]["Name"].removeprefix("/") for each in ("caddy", "infisical")
    )


def test_caddy_publishes_no_port(inspections: dict[str, Inspected]) -> None:
    ports = inspections["caddy"]["NetworkSettings"]["Ports"]
    assert [port for port, bindings in ports.items() if bindings] == []


@pytest.mark.parametrize("shown", [(), ("X-Infisical-Edge: obviously-fake",)])
def test_a_neighbour_is_refused_by_caddy(
    host: Host, settings: Settings, inspections: dict[str, Inspected], shown: tuple[str, ...]
) -> None:
    network = settings.stack.ingress_kind.proxy_network(settings)
    address = _addresses(inspections["caddy"])[network]
    forged = ("X-Forwarded-For: 203.0.113.9", *shown)
    assert " 403" in _asked_by_a_neighbour(host, settings, address, *forged)


def test_a_neighbour_does_not_reach_infisical_itself(
    host: Host, settings: Settings, inspections: dict[str, Inspected]
) -> None:
    addresses = _addresses(inspections["infisical"]).values()
    assert addresses
    for address in addresses:
        assert _asked_by_a_neighbour(host, settings, address) == ""
