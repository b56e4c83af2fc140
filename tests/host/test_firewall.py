"""Test that the firewall has the rules of the settings, now and at boot."""

import re

import pytest

from infisical_iac.core.settings import Settings
from infisical_iac.host.firewall import FirewallState, files, firewall_question, ruleset
from infisical_iac.host.model import MachineState
from infisical_iac.host.openings import Opening, egress, openings
from tests.host.connection import Connection, Host
from tests.host.sockets import Socket

_FILE = "/etc/infisical-iac/firewall.nft"
_FALLBACK = "/etc/infisical-iac/firewall-fallback.nft"
_UNIT = "infisical-firewall.service"
# The rules that delete the table, whether it exists or not.
_NO_TABLE = "table inet infisical\ndelete table inet infisical\n"


@pytest.fixture(scope="session")
def expected_openings(
    request: pytest.FixtureRequest, settings: Settings, machine: MachineState
) -> tuple[Opening, ...]:
    """The openings of the firewall; on a cluster, also those for its nodes."""
    peers = set()
    if settings.cluster.topology == "swarm":
        nodes = request.getfixturevalue("nodes")
        peers = {each.address for node in nodes for each in node.seen.members}
    return openings(settings, *machine.ssh_ports, peers=sorted(peers))


@pytest.fixture(scope="session")
def firewall(
    connection: Connection, settings: Settings, expected_openings: tuple[Opening, ...]
) -> FirewallState:
    is_on = settings.host.firewall == "on"
    text = ruleset(expected_openings, egress(settings)) if is_on else _NO_TABLE
    paths = [_FILE, f"/etc/systemd/system/{_UNIT}"]
    mark = "/var/lib/infisical-trial/firewall"
    return connection.inspect(firewall_question(ruleset=text, paths=paths, unit=_UNIT, mark=mark))


@pytest.fixture(scope="session")
def is_on(settings: Settings) -> bool:
    return settings.host.firewall == "on"


@pytest.fixture
def on(is_on: bool) -> None:
    if not is_on:
        pytest.skip("setting 'firewall' is off: others manage the host's firewall")


def test_with_firewall_off_no_rule_of_this_project_is_loaded(
    firewall: FirewallState, is_on: bool
) -> None:
    if is_on:
        pytest.skip("setting 'firewall' is on")
    assert firewall.actual == ""


@pytest.mark.usefixtures("on")
def test_the_loaded_rules_are_those_of_the_settings(firewall: FirewallState) -> None:
    assert firewall.desired.startswith("table inet infisical {")
    assert firewall.actual == firewall.desired


@pytest.mark.usefixtures("on")
def test_exactly_the_ports_of_the_settings_are_open(
    firewall: FirewallState, settings: Settings, machine: MachineState
) -> None:
    """The expected ports are listed here a second time, independently of the rules' code."""
    open_ports = {(each.protocol, each.port) for each in settings.host.allowed_ports}
    open_ports |= {("tcp", port) for port in machine.ssh_ports}
    # DHCP clients get their leases at these ports.
    open_ports |= {("udp", 68), ("udp", 546)}
    if settings.stack.runs_caddy:
        open_ports |= {("tcp", 80), ("tcp", 443)}
        open_ports |= set() if settings.balancer_address else {("udp", 443)}
    elif settings.balancer_address:
        open_ports |= {("tcp", settings.stack.http_port)}
    listener = settings.monitoring.monitoring_listen
    if listener and not listener.is_loopback:
        open_ports |= {("tcp", port) for port in (9100, 9121, 9187, 9464)}
        open_ports |= {("tcp", 9180)} if settings.stack.ingress_kind.is_public else set()
    if settings.cluster.topology == "swarm":
        open_ports |= {("tcp", 2377), ("tcp", 7946), ("udp", 4789), ("udp", 7946)}
    coming_in = re.sub(r"(?s)\tchain containers \{.*?\n\t\}", "", firewall.actual)
    found = re.findall(r"\b(tcp|udp) dport (?:\{ ([^}]*) \}|(\d+))", coming_in)
    loaded = {
        (protocol, int(port)) for protocol, some, one in found for port in (some or one).split(", ")
    }
    assert loaded == open_ports


def test_unmatched_traffic_is_dropped_on_input_and_forward(
    firewall: FirewallState, is_on: bool
) -> None:
    policies = [line.split("; ")[1] for line in firewall.actual.splitlines() if "hook" in line]
    assert policies == (["policy drop;"] * 2 if is_on else [])


def test_the_rules_are_loaded_at_every_boot(firewall: FirewallState, is_on: bool) -> None:
    unit = firewall.units[_UNIT]
    assert (unit.enabled, unit.active) == (is_on, is_on)


def test_the_rules_are_loaded_before_the_network_is_up(host: Host, is_on: bool) -> None:
    before = host.check_output("systemctl show --property=Before %s", _UNIT)
    assert ("network-pre.target" in before) is is_on


def test_the_file_of_rules_exists_only_with_firewall_on(host: Host, is_on: bool) -> None:
    assert host.file(_FILE).exists is is_on


@pytest.mark.usefixtures("on")
def test_the_file_of_rules_belongs_to_root_and_has_the_rules_of_the_settings(
    host: Host, settings: Settings, expected_openings: tuple[Opening, ...]
) -> None:
    file = host.file(_FILE)
    assert (file.user, file.mode) == ("root", 0o644)
    assert file.content_string == ruleset(expected_openings, egress(settings))


def test_docker_does_not_start_without_the_rules(host: Host, is_on: bool) -> None:
    required = host.check_output("systemctl show --property=Requires docker.service")
    assert (_UNIT in required) is is_on


@pytest.mark.usefixtures("on")
def test_only_ssh_is_open_if_the_rules_can_not_be_loaded(
    host: Host, settings: Settings, expected_openings: tuple[Opening, ...]
) -> None:
    differing = [
        each.path
        for each in files(expected_openings, egress(settings))
        if host.run("cat %s", each.path).stdout != each.content
    ]
    assert differing == []
    load = host.run("unshare --net nft -f %s", _FALLBACK)
    assert (load.rc, load.stderr) == (0, "")


def test_no_change_of_the_firewall_is_on_trial(firewall: FirewallState) -> None:
    assert not firewall.on_trial


def test_only_the_intended_servers_listen_on_open_ports(
    settings: Settings, expected_openings: tuple[Opening, ...], listening: list[Socket]
) -> None:
    # On some systems, such as Ubuntu, systemd listens for SSH.
    owners = dict.fromkeys(expected_openings[0].ports, '"(sshd|systemd)"')
    if settings.stack.ingress_kind.is_public:
        owners |= dict.fromkeys((80, 443), '"caddy"')
    strangers = [
        each
        for each in listening
        if not each.is_loopback
        and each.port in owners
        and not re.search(owners[each.port], each.owners)
    ]
    assert strangers == []
