"""Test what is reachable from outside: the firewall is loaded, as the settings say, and at boot
too.
"""

import re

import pytest

from infisical_iac.core.settings import Settings
from infisical_iac.host.firewall import (
    EMPTY,
    FALLBACK,
    FILE,
    UNIT,
    Firewall,
    FirewallState,
    files,
    ruleset,
)
from infisical_iac.host.machine import MachineState
from infisical_iac.host.openings import Opening, openings
from infisical_iac.host.trial import mark
from tests.host.connection import Host
from tests.host.sockets import Socket


@pytest.fixture(scope="session")
def opened(
    request: pytest.FixtureRequest, settings: Settings, machine: MachineState
) -> tuple[Opening, ...]:
    """Return what is let in: on a cluster, what its nodes tell each other too."""
    peers = set()
    if settings.topology == "swarm":
        nodes = request.getfixturevalue("nodes")
        peers = {each.address for node in nodes for each in node.seen.members}
    return openings(settings, *machine.ssh_ports, peers=sorted(peers))


@pytest.fixture(scope="session")
def firewall(host: Host, settings: Settings, opened: tuple[Opening, ...]) -> FirewallState:
    text = ruleset(opened) if settings.firewall == "on" else EMPTY
    fact = Firewall()
    command = fact.command(text, [FILE, f"/etc/systemd/system/{UNIT}"], UNIT, mark("firewall"))
    return fact.process(host.check_output(command).splitlines())


@pytest.fixture(scope="session")
def is_on(settings: Settings) -> bool:
    return settings.firewall == "on"


def test_the_rules_that_are_loaded_are_those_of_the_settings(
    firewall: FirewallState, is_on: bool
) -> None:
    assert firewall.actual == (firewall.wanted if is_on else "")


def test_whatever_no_rule_lets_in_is_dropped_on_its_way_in_and_through(
    firewall: FirewallState, is_on: bool
) -> None:
    policies = [line.split("; ")[1] for line in firewall.actual.splitlines() if "hook" in line]
    assert policies == (["policy drop;"] * 2 if is_on else [])


def test_the_rules_are_loaded_at_every_boot(firewall: FirewallState, is_on: bool) -> None:
    unit = firewall.units[UNIT]
    assert (unit.enabled, unit.active) == (is_on, is_on)


def test_the_rules_are_loaded_before_the_network_is_there(host: Host, is_on: bool) -> None:
    before = host.check_output("systemctl show --property=Before %s", UNIT)
    assert ("network-pre.target" in before) is is_on


def test_the_file_that_is_loaded_is_roots_and_the_one_of_the_settings(
    host: Host, opened: tuple[Opening, ...], is_on: bool
) -> None:
    file = host.file(FILE)
    assert file.exists is is_on
    if is_on:
        assert (file.user, file.mode) == ("root", 0o644)
        assert file.content_string == ruleset(opened)


def test_where_they_can_not_be_loaded_ssh_alone_is_open_and_docker_does_not_start(
    host: Host, opened: tuple[Opening, ...], is_on: bool
) -> None:
    required = host.check_output("systemctl show --property=Requires docker.service").split()
    assert (UNIT in "".join(required)) is is_on
    differing = [
        each.path for each in files(opened) if host.run("cat %s", each.path).stdout != each.content
    ]
    assert not is_on or differing == []
    if is_on:
        load = host.run("unshare --net nft -f %s", FALLBACK)
        assert (load.rc, load.stderr) == (0, "")


def test_no_change_is_waiting_for_its_proof(firewall: FirewallState) -> None:
    assert not firewall.on_trial


def test_nothing_listens_on_an_open_port_but_what_it_was_opened_for(
    settings: Settings, opened: tuple[Opening, ...], listening: list[Socket]
) -> None:
    # Where systemd listens for SSH, as on Ubuntu.
    owners = dict.fromkeys(opened[0].ports, '"(sshd|systemd)"')
    if settings.ingress == "caddy":
        owners |= dict.fromkeys((80, 443), '"caddy"')
    strangers = [
        each
        for each in listening
        if not each.is_loopback
        and each.port in owners
        and not re.search(owners[each.port], each.owners)
    ]
    assert strangers == []
