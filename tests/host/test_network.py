"""Test reachability: on the host, between the containers, and of the internet."""

import json
from typing import Any

import pytest

from infisical_iac.core.settings import Settings
from infisical_iac.host.model import MachineState
from tests.host.connection import Host
from tests.host.containers import SERVICES, Inspected
from tests.host.sockets import Socket

# An address for documentation: only its route is looked up, nothing is sent.
ELSEWHERE = "192.0.2.1"

each_database = pytest.mark.parametrize("service", ["postgres", "redis"])


def _docker_name(settings: Settings, network: str) -> str:
    """Return Docker's name of a network of the stack; those of a cluster have other names."""
    return f"infisical{'-' if settings.cluster.topology == 'swarm' else '_'}{network}"


@pytest.fixture(scope="session")
def databases(host: Host, settings: Settings) -> dict[str, Any]:
    """The databases' network, as Docker reports it."""
    name = _docker_name(settings, "databases")
    [found] = json.loads(host.check_output("docker network inspect %s", name))
    return dict(found)


def _route(host: Host, container: Inspected, address: str) -> str:
    """Return the route of a container's packets to an address, empty without one."""
    command = "nsenter --target %s --net ip -oneline route get %s"
    found = host.run(command, str(container["State"]["Pid"]), address)
    assert found.stdout or "unreachable" in found.stderr, found.stderr
    return str(found.stdout)


def test_only_ssh_and_a_proxy_listen_on_public_addresses(
    settings: Settings, machine: MachineState, listening: list[Socket]
) -> None:
    web = {80, 443} if settings.stack.site_url.startswith("https:") else set()
    # Dokploy publishes further ports by the engine, such as its Traefik's. A Swarm's own ports are
    # the engine's too.
    shared = machine.swarm or bool(settings.stack.ingress_kind.engine_owner)
    engine = '"docker' if shared else "no process"
    strangers = [
        each
        for each in listening
        if not each.is_loopback
        and '"sshd"' not in each.owners
        and engine not in each.owners
        # On some systems, such as Ubuntu, systemd listens for SSH.
        and each.port not in web | {22}
        # tests/host/test_metrics.py checks these.
        and each.port not in settings.metrics_ports.values()
    ]
    assert strangers == []


@pytest.mark.single("on a cluster HAProxy is published, and the firewall closes its port")
def test_infisical_is_published_only_on_the_loopback_address(
    settings: Settings, inspections: dict[str, Inspected]
) -> None:
    ports = inspections["infisical"]["NetworkSettings"]["Ports"]
    published = {port: bindings for port, bindings in ports.items() if bindings}
    expected = [{"HostIp": "127.0.0.1", "HostPort": str(settings.stack.http_port)}]
    assert published == {"8080/tcp": expected}


@pytest.mark.single("tests/host/cluster checks this from the other nodes")
def test_no_other_address_of_the_host_answers_for_infisical(host: Host, settings: Settings) -> None:
    addresses = host.check_output("hostname -I").split()
    assert addresses
    for address in addresses:
        shown = f"[{address}]" if ":" in address else address
        asked = "curl --silent --output /dev/null --max-time 3 http://%s:%s/api/status"
        # curl ends with 7 for a refused connection, and with 28 after a timeout.
        assert host.run(asked, shown, str(settings.stack.http_port)).rc in (7, 28), address


@each_database
def test_a_database_publishes_no_port(inspections: dict[str, Inspected], service: str) -> None:
    ports = inspections[service]["NetworkSettings"]["Ports"]
    assert [port for port, bindings in ports.items() if bindings] == []


@pytest.mark.parametrize("port", [5432, 6379, 2375, 2376])
def test_nothing_listens_on_a_port_of_databases_or_engine(
    listening: list[Socket], port: int
) -> None:
    assert [each for each in listening if each.port == port] == []


def test_the_network_of_the_databases_is_internal(databases: dict[str, Any]) -> None:
    assert databases["Internal"] is True


@pytest.mark.single("tests/host/cluster checks the services")
def test_only_the_stack_is_in_the_network_of_the_databases(
    databases: dict[str, Any], inspections: dict[str, Inspected]
) -> None:
    assert sorted(databases["Containers"]) == sorted(inspections[each]["Id"] for each in SERVICES)


@each_database
def test_a_database_is_in_no_other_network(
    settings: Settings, inspections: dict[str, Inspected], service: str
) -> None:
    agrees = settings.cluster.topology == "swarm" and service == "postgres"
    desired = ["databases", *(["consensus"] if agrees else [])]
    networks = inspections[service]["NetworkSettings"]["Networks"]
    assert sorted(networks) == sorted(_docker_name(settings, each) for each in desired)


def test_infisical_is_in_both_networks_and_no_other(
    settings: Settings, inspections: dict[str, Inspected]
) -> None:
    networks = inspections["infisical"]["NetworkSettings"]["Networks"]
    desired = [_docker_name(settings, each) for each in ("databases", "edge")]
    assert sorted(networks) == sorted(desired)


@each_database
def test_a_database_can_not_reach_the_internet(
    host: Host, databases: dict[str, Any], inspections: dict[str, Inspected], service: str
) -> None:
    route = _route(host, inspections[service], ELSEWHERE)
    # Older engines add a route through the network's gateway, and drop its packets by a rule.
    [address] = databases["IPAM"]["Config"]
    drop = f"! -d {address['Subnet']} -i br-{databases['Id'][:12]} -j DROP"
    is_dropped = f" via {address['Gateway']} " in route and drop in host.run("iptables -S").stdout
    assert is_dropped is bool(route)


def test_infisical_can_reach_the_internet(host: Host, inspections: dict[str, Inspected]) -> None:
    assert " via " in _route(host, inspections["infisical"], ELSEWHERE)


@each_database
def test_infisical_can_reach_a_database(
    host: Host, settings: Settings, inspections: dict[str, Inspected], service: str
) -> None:
    networks = inspections[service]["NetworkSettings"]["Networks"]
    address = networks[_docker_name(settings, "databases")]["IPAddress"]
    assert " dev " in _route(host, inspections["infisical"], address)
