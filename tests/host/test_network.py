"""Test who can reach what: on the host, between the containers, and outwards."""

import json
from typing import Any

import pytest

from infisical_iac.core.settings import Settings
from infisical_iac.host.model import MachineState
from tests.host.connection import Host
from tests.host.containers import SERVICES, Inspected
from tests.host.sockets import Socket

# An address that belongs to nobody: only the way to it is asked for, nothing is sent.
ELSEWHERE = "192.0.2.1"

each_database = pytest.mark.parametrize("service", ["postgres", "redis"])


def _docker_name(settings: Settings, network: str) -> str:
    """A network of the stack as Docker calls it; a cluster's can exist next to a single host's."""
    return f"infisical{'-' if settings.cluster.topology == 'swarm' else '_'}{network}"


@pytest.fixture(scope="session")
def databases(host: Host, settings: Settings) -> dict[str, Any]:
    """The network of the databases."""
    name = _docker_name(settings, "databases")
    [found] = json.loads(host.check_output("docker network inspect %s", name))
    return dict(found)


def _route(host: Host, container: Inspected, address: str) -> str:
    """The route that a container's packets to an address would take, empty without one."""
    command = "nsenter --target %s --net ip -oneline route get %s"
    found = host.run(command, str(container["State"]["Pid"]), address)
    assert found.stdout or "unreachable" in found.stderr, found.stderr
    return str(found.stdout)


def test_nothing_but_ssh_and_a_proxy_listens_on_the_outside(
    settings: Settings, machine: MachineState, listening: list[Socket]
) -> None:
    web = {80, 443} if settings.stack.site_url.startswith("https:") else set()
    # Dokploy publishes more, by the engine; its Traefik is what leads here. A Swarm's own ports are
    # the engine's, too.
    shared = machine.swarm or bool(settings.stack.ingress_kind.engine_owner)
    engine = '"docker' if shared else "no process"
    strangers = [
        each
        for each in listening
        if not each.is_loopback
        and '"sshd"' not in each.owners
        and engine not in each.owners
        # Where systemd listens for SSH, as on Ubuntu.
        and each.port not in web | {22}
    ]
    assert strangers == []


@pytest.mark.single("on a cluster HAProxy is, and the firewall keeps it in")
def test_infisical_is_published_on_the_loopback_address_only(
    settings: Settings, inspections: dict[str, Inspected]
) -> None:
    ports = inspections["infisical"]["NetworkSettings"]["Ports"]
    published = {port: bindings for port, bindings in ports.items() if bindings}
    expected = [{"HostIp": "127.0.0.1", "HostPort": str(settings.stack.http_port)}]
    assert published == {"8080/tcp": expected}


@pytest.mark.single("tests/host/cluster asks from the other nodes")
def test_no_other_address_of_the_host_answers_for_infisical(host: Host, settings: Settings) -> None:
    addresses = host.check_output("hostname -I").split()
    assert addresses
    for address in addresses:
        shown = f"[{address}]" if ":" in address else address
        asked = "curl --silent --output /dev/null --max-time 3 http://%s:%s/api/status"
        # 7 and 28 are curl's for a connection that is refused, and one that nobody answers.
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
def test_a_database_has_no_way_out(
    host: Host, databases: dict[str, Any], inspections: dict[str, Inspected], service: str
) -> None:
    route = _route(host, inspections[service], ELSEWHERE)
    # Older engines give one, through the network's gateway, and let the filter drop it.
    [address] = databases["IPAM"]["Config"]
    drop = f"! -d {address['Subnet']} -i br-{databases['Id'][:12]} -j DROP"
    is_dropped = f" via {address['Gateway']} " in route and drop in host.run("iptables -S").stdout
    assert is_dropped is bool(route)


def test_infisical_has_a_way_out(host: Host, inspections: dict[str, Inspected]) -> None:
    assert " via " in _route(host, inspections["infisical"], ELSEWHERE)


@each_database
def test_infisical_has_a_way_to_a_database(
    host: Host, settings: Settings, inspections: dict[str, Inspected], service: str
) -> None:
    networks = inspections[service]["NetworkSettings"]["Networks"]
    address = networks[_docker_name(settings, "databases")]["IPAddress"]
    assert " dev " in _route(host, inspections["infisical"], address)
