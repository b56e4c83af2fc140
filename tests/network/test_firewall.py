"""Test the ruleset in a real kernel: what answers from outside, and what must still work."""

from collections.abc import Iterator
from typing import Any

import pytest

from infisical_iac.core.settings import load
from infisical_iac.host.firewall import TABLE, ruleset
from infisical_iac.host.openings import egress, openings
from tests.network.world import (
    CONTAINER4,
    CONTAINER6,
    FAR4,
    FAR6,
    HOST4,
    HOST6,
    INNER4,
    INNER6,
    LOOPBACK4,
    METADATA,
    NEIGHBOUR4,
    NEIGHBOUR6,
    ON_LOOPBACK,
    OTHER4,
    OTHER6,
    OUTSIDE4,
    OUTSIDE6,
    PUBLISHED,
    SERVED_BY_CONTAINER,
    SERVED_BY_HOST,
    World,
    built,
)
from tests.unit.settings_of import defaults

_PORTS = sorted({*SERVED_BY_HOST, *PUBLISHED, ON_LOOPBACK})
_HOST = (HOST4, HOST6)
_ALL = [f"{address}:{port}" for address in _HOST for port in _PORTS]
_FAIL2BAN = """
table inet f2b-table {
    set addr-set-sshd { type ipv4_addr; elements = { %s }; }
    chain f2b-chain {
        type filter hook input priority filter - 1; policy accept;
        ip saddr @addr-set-sshd reject
    }
}
"""


def _ruleset(*, calls_private: bool = False, **changes: Any) -> str:
    settings = load(defaults(**changes))
    return ruleset(openings(settings, 22), egress(settings, calls_private=calls_private))


def _at(*ports: int, of: tuple[str, ...] = _HOST) -> set[str]:
    return {f"{address}:{port}" for address in of for port in ports}


@pytest.fixture(scope="module")
def built_world() -> Iterator[World]:
    with built() as world:
        yield world


@pytest.fixture
def world(built_world: World) -> World:
    """The world with the default ruleset, whose rate limits remember no source."""
    built_world.load(_ruleset())
    return built_world


def test_without_a_firewall_all_ports_answer(built_world: World) -> None:
    # Otherwise the ports that are closed below might never have been open.
    built_world.load(f"table {TABLE}\ndelete table {TABLE}\n")
    direct = _at(*SERVED_BY_CONTAINER, of=(CONTAINER4, CONTAINER6))
    expected = {*_ALL, *direct, f"{LOOPBACK4}:{ON_LOOPBACK}"} - _at(ON_LOOPBACK)
    assert built_world.find_reachable([*expected, *_at(ON_LOOPBACK)]) == expected


def test_only_ssh_and_the_ingress_answer(world: World) -> None:
    assert world.find_reachable(_ALL) == _at(22, 80, 443)


def test_without_an_ingress_only_ssh_answers(world: World) -> None:
    world.load(_ruleset(ingress="none"))
    assert world.find_reachable(_ALL) == _at(22)


def test_http_3_is_open_with_the_ingress_and_no_other_udp(world: World) -> None:
    rules = world.within("host", "nft", "list", "chain", *TABLE.split(), "input")
    assert "udp dport 443 accept" in rules
    udp = [f"{address}:{port}/udp" for address in _HOST for port in SERVED_BY_HOST]
    assert world.find_reachable(udp) == set()


def test_an_allowed_port_answers_to_its_networks_on_the_host_and_in_containers(
    world: World,
) -> None:
    networks = (f"{OUTSIDE4}/32", "2001:db8:1::/64")
    world.load(_ruleset(allowed_ports=({"port": 8000, "networks": networks},)))
    asked = [*_at(8000)]
    assert world.find_reachable(asked) == set(asked)
    assert world.find_reachable(asked, source4=NEIGHBOUR4, source6=NEIGHBOUR6) == set()


def test_ssh_answers_only_to_its_networks(world: World) -> None:
    world.load(_ruleset(ssh_networks=(f"{OUTSIDE4}/32", "2001:db8:1::/64")))
    asked = [*_at(22)]
    assert world.find_reachable(asked) == set(asked)
    assert world.find_reachable(asked, source4=NEIGHBOUR4, source6=NEIGHBOUR6) == set()


def test_networks_of_one_ip_version_close_ssh_for_the_other(world: World) -> None:
    world.load(_ruleset(ssh_networks=("0.0.0.0/0",)))
    assert world.find_reachable([*_at(22)]) == {f"{HOST4}:22"}


def test_a_neighbour_that_routes_to_a_container_gets_no_answer(world: World) -> None:
    assert world.find_reachable([*_at(*SERVED_BY_CONTAINER, of=(CONTAINER4, CONTAINER6))]) == set()


def test_a_neighbour_that_routes_to_the_hosts_loopback_gets_no_answer(world: World) -> None:
    # Docker's rules would forward the packet to the container that is published there.
    assert world.find_reachable([f"{LOOPBACK4}:{port}" for port in _PORTS]) <= _at(
        22, 80, 443, of=(LOOPBACK4,)
    )


def test_a_container_reaches_the_outside_and_the_hosts_open_ports(world: World) -> None:
    server = world.start("outside", "serve", "7000")
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "serving\n"
        outside = _at(7000, of=(OUTSIDE4, OUTSIDE6))
        asked = {*outside, *(f"{each}/udp" for each in outside), *_at(80, 3000)}
        found = world.probe("container", "reach", f"{CONTAINER4},{CONTAINER6}", *asked)
        assert set(found) == asked - _at(3000)
    finally:
        server.kill()
        server.communicate()


_PRIVATE = _at(7000, of=(INNER4, INNER6, OTHER4, OTHER6, METADATA))


@pytest.mark.parametrize(
    ("changes", "closed"),
    [
        # Infisical itself refuses private addresses then.
        ({}, set()),
        ({"calls_private": True}, _PRIVATE),
        (
            {"internal_networks": ("10.1.0.0/16", "fd00:1::/32")},
            _at(7000, of=(OTHER4, OTHER6, METADATA)),
        ),
        ({"internal_networks": ("10.1.0.0/16",)}, _PRIVATE - _at(7000, of=(INNER4,))),
        ({"internal_networks": ("0.0.0.0/0", "::/0")}, _at(7000, of=(METADATA,))),
        (
            {"internal_networks": ("10.1.0.0/16",), "outbound_proxy": f"http://{OTHER4}:7000"},
            _at(7000, of=(INNER6, OTHER6, METADATA)),
        ),
        (
            {"internal_networks": ("10.1.0.0/16",), "outbound_proxy": "http://proxy.internal:7000"},
            _at(7000, of=(METADATA,)),
        ),
    ],
)
def test_a_container_reaches_the_public_and_the_listed_private_networks(
    world: World, changes: dict[str, Any], closed: set[str]
) -> None:
    world.load(_ruleset(**changes))
    server = world.start("outside", "serve", "7000")
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "serving\n"
        asked = {*_PRIVATE, *_at(7000, of=(OUTSIDE4, OUTSIDE6)), *_at(80, 3000)}
        found = world.probe("container", "reach", f"{CONTAINER4},{CONTAINER6}", *asked)
        assert set(found) == asked - closed - _at(3000)
    finally:
        server.kill()
        server.communicate()


def test_a_container_asks_a_private_name_server(world: World) -> None:
    """By TCP: the server's answers by UDP come from another of its addresses."""
    world.load(_ruleset(internal_networks=("10.1.0.0/16",)))
    server = world.start("outside", "serve", "53")
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "serving\n"
        asked = _at(53, of=(OTHER4, OTHER6))
        found = world.probe("container", "reach", f"{CONTAINER4},{CONTAINER6}", *asked)
        assert set(found) == asked
    finally:
        server.kill()
        server.communicate()


@pytest.mark.parametrize("address", _HOST)
def test_a_ping_is_answered(world: World, address: str) -> None:
    assert world.probe("outside", "ping", address) == ["answered"]


def test_a_neighbours_address_can_be_resolved_again(world: World) -> None:
    for place, interface in (("host", "eth0"), ("outside", "wan")):
        world.within(place, "ip", "neighbour", "flush", "dev", interface)
    assert world.probe("outside", "ping", HOST6) == ["answered"]


@pytest.mark.parametrize("far", [FAR4, FAR6])
@pytest.mark.parametrize("port", [80, 443])
def test_a_narrow_path_is_learnt_by_the_host_and_by_a_container(
    world: World, far: str, port: int
) -> None:
    address = HOST6 if ":" in far else HOST4
    assert world.probe("far", "fetch", address, str(port), "200000") == ["200000"]


@pytest.mark.parametrize(
    ("source", "other", "address"), [(OUTSIDE4, NEIGHBOUR4, HOST4), (OUTSIDE6, NEIGHBOUR6, HOST6)]
)
def test_new_ssh_connections_of_one_source_are_limited_and_its_open_ones_kept(
    world: World, source: str, other: str, address: str
) -> None:
    let_in = int(world.probe("outside", "hurry", source, address, "22", "90")[0])
    assert 50 <= let_in <= 65
    assert world.probe("outside", "reach", source, f"{address}:22") == []
    assert world.probe("outside", "reach", other, f"{address}:22") == [f"{address}:22"]
    assert world.probe("outside", "reach", source, f"{address}:80") == [f"{address}:80"]


def test_nftables_tables_of_others_are_kept_and_work(world: World) -> None:
    world.load(_FAIL2BAN % NEIGHBOUR4)
    theirs = [("ip", "nat"), ("ip6", "nat"), ("ip", "filter"), ("inet", "f2b-table")]
    before = [world.within("host", "nft", "list", "table", *table) for table in theirs]
    world.load(_ruleset(ingress="none"))
    world.load(_ruleset())
    assert [world.within("host", "nft", "list", "table", *table) for table in theirs] == before
    try:
        assert world.find_reachable([f"{HOST4}:80"], source4=NEIGHBOUR4) == set()
        assert world.find_reachable([f"{HOST4}:80"]) == {f"{HOST4}:80"}
    finally:
        world.within("host", "nft", "delete", "table", "inet", "f2b-table")
