"""Test that Caddy is in the host's network, and that only Caddy listens on the web ports."""

from tests.host.connection import Host
from tests.host.containers import Inspected
from tests.host.sockets import Socket


def test_caddy_shares_the_network_of_the_host(inspections: dict[str, Inspected]) -> None:
    assert list(inspections["caddy"]["NetworkSettings"]["Networks"]) == ["host"]


def test_only_caddy_listens_on_the_web_ports(listening: list[Socket]) -> None:
    owners = {each.port: each.owners for each in listening if each.port in (80, 443)}
    assert sorted(owners) == [80, 443]
    assert all('"caddy"' in each for each in owners.values())


def test_caddy_listens_for_http_3(host: Host) -> None:
    udp = host.check_output("ss --no-header --listening --udp --numeric --processes")
    assert [line for line in udp.splitlines() if ":443 " in line and '"caddy"' in line]
