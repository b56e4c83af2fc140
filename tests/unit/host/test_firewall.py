"""Test which ports the firewall opens, by the settings, and when it is refused."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from infisical_iac.agent.files import PathState
from infisical_iac.core.change import UpToDate
from infisical_iac.core.errors import Refused, SettingsError
from infisical_iac.core.settings import Settings, load
from infisical_iac.host import firewall
from infisical_iac.host.firewall import changes, ruleset
from infisical_iac.host.model import DeployedInfisical, MachineState
from infisical_iac.host.openings import Egress, Opening, openings, refuse_openings
from infisical_iac.host.settings import EVERYBODY
from infisical_iac.host.site import Known, Site
from tests.unit.operations.cases import of
from tests.unit.settings_of import defaults, settings_of

_HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def _settings(**changed: Any) -> Settings:
    return load(defaults(**changed))


def test_ssh_the_web_and_a_ping_are_open_to_everybody_by_default() -> None:
    assert openings(_settings(), 22) == (
        Opening("tcp", (22,), EVERYBODY, "SSH", limited=True),
        Opening("icmp", (), EVERYBODY, "ping"),
        Opening("tcp", (80, 443), EVERYBODY, "HTTP and HTTPS"),
        Opening("udp", (443,), EVERYBODY, "HTTP/3"),
    )


def test_without_an_ingress_no_web_ports_are_open() -> None:
    described = [each.description for each in openings(_settings(ingress="none"), 22)]
    assert described == ["SSH", "ping"]


def test_allowed_ports_come_last() -> None:
    port = {"port": 51820, "protocol": "udp", "networks": ("203.0.113.0/24",)}
    last = openings(_settings(allowed_ports=(port,)), 22)[-1]
    assert last == Opening("udp", (51820,), ("203.0.113.0/24",), "allowed_ports")


def test_networks_within_others_are_omitted_and_ip_versions_are_separated() -> None:
    networks = ("10.1.0.0/16", "2001:db8::/32", "10.0.0.0/8", "2001:db8:1::/48")
    [ssh, *_] = openings(_settings(ssh_networks=networks), 22)
    assert (ssh.ipv4, ssh.ipv6) == (("10.0.0.0/8",), ("2001:db8::/32",))


@pytest.mark.parametrize(
    ("address", "is_admitted"),
    [
        ("10.9.9.9", True),
        ("11.0.0.1", False),
        ("fe80::1%eth0", True),
        ("2001:db8::1", False),
    ],
)
def test_an_address_is_admitted_by_its_network(address: str, is_admitted: bool) -> None:
    [ssh, *_] = openings(_settings(ssh_networks=("10.0.0.0/8", "fe80::/10")), 22)
    assert ssh.admits(address) is is_admitted


def test_ssh_of_any_port_is_limited_and_never_opened_for_containers() -> None:
    rules = [line.strip() for line in ruleset(openings(_settings(), 22, 2222)).splitlines()]
    assert "tcp dport { 22, 2222 } goto ssh" in rules
    assert [rule for rule in rules if "ct status dnat" in rule and "22" in rule] == []


def test_the_address_of_the_client_must_be_in_the_networks_of_ssh() -> None:
    opened = openings(_settings(ssh_networks=("10.0.0.0/8",)), 22)
    refuse_openings(opened, client="10.0.0.1", uplinks=["eth0"])
    with pytest.raises(SettingsError) as refusal:
        refuse_openings(opened, client="203.0.113.9", uplinks=["eth0"])
    assert refusal.value.code == "settings.lockout"
    assert "ssh_networks" in str(refusal.value)
    assert "203.0.113.9" in str(refusal.value)


@pytest.mark.parametrize("client", ["", "127.0.0.1", "::1"])
def test_a_run_on_the_host_itself_is_not_locked_out(client: str) -> None:
    refuse_openings(
        openings(_settings(ssh_networks=("10.0.0.0/8",)), 22), client=client, uplinks=[]
    )


@pytest.mark.parametrize("name", ["br-lan", "docker0"])
def test_an_uplink_that_looks_like_a_bridge_of_dockers_is_refused(name: str) -> None:
    with pytest.raises(Refused) as refusal:
        refuse_openings(openings(_settings(), 22), client="", uplinks=["eth0", name])
    assert refusal.value.code == "refused.uplink"
    assert f"interface {name}" in str(refusal.value)


def test_a_host_in_a_swarm_is_refused() -> None:
    with pytest.raises(Refused) as refusal:
        refuse_openings(openings(_settings(), 22), client="", uplinks=["eth0"], is_in_swarm=True)
    assert refusal.value.code == "refused.swarm"
    assert 'firewall = "off"' in str(refusal.value)


def test_ports_between_nodes_of_a_cluster_are_open_only_to_nodes() -> None:
    opened = openings(_settings(ingress="none"), 22, peers=("10.0.0.1", "10.0.0.2", "fd00::3"))
    rules = [line.strip() for line in ruleset(opened).splitlines()]
    # Adjacent networks are merged.
    assert [rule for rule in rules if "10.0.0.1" in rule] == [
        "ip saddr { 10.0.0.1/32, 10.0.0.2/32 } tcp dport { 2377, 7946 } accept",
        "ip saddr { 10.0.0.1/32, 10.0.0.2/32 } udp dport { 4789, 7946 } accept",
        "ip saddr { 10.0.0.1/32, 10.0.0.2/32 } meta l4proto esp accept",
    ]
    assert "ip6 saddr { fd00::3/128 } meta l4proto esp accept" in rules
    ports = ("2377", "7946", "4789")
    named = [rule for rule in rules if any(port in rule for port in ports)]
    assert all("saddr" in rule and "dport" in rule for rule in named)


def test_a_bridge_with_another_name_may_be_the_uplink() -> None:
    refuse_openings(openings(_settings(), 22), client="", uplinks=["br0", "vmbr0"])


def test_a_change_is_shown_rule_by_rule_without_comments_of_others() -> None:
    actual = 'table {\n\taccept comment "obviously fake"\n\tdrop\n}'
    assert changes(actual, "table {\n\tdrop\n\tlog\n}") == "-    accept\n+    log"


def test_no_change_is_shown_of_equal_rules() -> None:
    assert changes("table {\n}", "table {\n}") == ""


_TABLE = {"installed": True, "actual": "table inet infisical {\n}", "desired": "table x {\n}"}
_MARK = "/var/lib/infisical-trial/firewall"
_UNIT = {"loaded": True, "active": True}


@pytest.mark.parametrize("on_trial", [False, True])
def test_the_state_of_the_firewall_is_read_in_one_query(on_trial: bool) -> None:
    asked = firewall.firewall_question(
        ruleset="text", paths=["/etc/a"], unit="a.service", mark=_MARK
    )
    names = ["system.firewall", "files.states", "system.units"]
    assert [each.name for each in asked.calls] == names
    file = {"kind": "regular file", "mode": "644", "owner": "root:root", "sha256": _HASH}
    files = {"/etc/a": file, **({_MARK: file} if on_trial else {})}
    state = asked.read([_TABLE, files, {"a.service": {**_UNIT, "enabled": True}}])
    assert state.actual == "table inet infisical {\n}"
    assert state.desired == "table x {\n}"
    assert (state.installed, state.on_trial) == (True, on_trial)
    assert state.files == {"/etc/a": PathState("regular file", "644", "root:root", _HASH)}
    assert state.units["a.service"].enabled


def test_removal_deletes_only_the_table_of_this_project() -> None:
    assert firewall.EMPTY == "table inet infisical\ndelete table inet infisical\n"


_LISTED = ("10.1.0.0/16",)
_OLD, _NEW = ("10.9.0.25", 587), ("10.9.0.26", 587)
_SMTP = {"host": _NEW[0], "from_address": "infisical@example.com"}


def _deployed(host: str) -> DeployedInfisical:
    return DeployedInfisical({"SMTP_HOST": host, "SMTP_PORT": "587"})


class _Steps:
    """The operations that a deploy calls before and after the stack, with their egress."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[tuple[str, Egress | None]] = []
        self.deployed = DeployedInfisical()
        for what in ("rules", "removal"):
            monkeypatch.setattr(firewall, what, partial(self._note, what))
        monkeypatch.setattr(firewall, "inspect", lambda _: self.deployed)

    def _note(self, what: str, **arguments: Any) -> None:
        self.made.append((what, arguments.get("egress")))

    def call(self, known: Known) -> tuple[list[Any], list[Any]]:
        firewall.firewall._inner(known)
        before, self.made = self.made, []
        firewall.end_egress._inner(known)
        after, self.made = self.made, []
        return before, after


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> _Steps:
    return _Steps(monkeypatch)


@pytest.mark.parametrize(
    ("networks", "on", "calls_private", "before", "after"),
    [
        # Settled hosts: no operation follows the stack.
        ((), "on", False, [("rules", None)], []),
        (_LISTED, "on", True, [("rules", Egress(_LISTED))], []),
        ((), "off", False, [("removal", None)], []),
        # The list was emptied: Infisical calls private addresses until its container is replaced.
        ((), "on", True, [("rules", Egress(()))], [("rules", None)]),
        ((), "off", True, [], [("removal", None)]),
        (EVERYBODY, "off", True, [("removal", None)], []),
        # The first network is listed.
        (_LISTED, "on", False, [("rules", Egress(_LISTED))], []),
    ],
)
def test_private_addresses_are_opened_only_after_infisical_refuses_them(
    steps: _Steps,
    networks: tuple[str, ...],
    on: str,
    calls_private: bool,
    before: list[tuple[str, Egress | None]],
    after: list[tuple[str, Egress | None]],
) -> None:
    settings = settings_of(internal_networks=networks, firewall=on)
    known = Known(settings, MachineState(calls_private=calls_private), Site(settings))
    assert steps.call(known) == (before, after)


@pytest.mark.parametrize("calls_private", [False, True])
def test_the_deployed_mail_server_is_reached_until_another_one_is_deployed(
    steps: _Steps, calls_private: bool
) -> None:
    settings = settings_of(internal_networks=_LISTED, smtp=_SMTP)
    known = Known(settings, MachineState(calls_private=calls_private), Site(settings))
    steps.deployed, new = _deployed(_OLD[0]), [("rules", Egress(_LISTED, (_NEW,)))]
    assert steps.call(known) == ([("rules", Egress(_LISTED, (_OLD, _NEW)))], new)
    # A second run changes nothing.
    steps.deployed = _deployed(_NEW[0])
    assert steps.call(known) == (new, [])


@pytest.mark.parametrize("operation", [firewall.rules, firewall.removal])
def test_the_firewall_stays_if_the_stack_was_not_changed(
    monkeypatch: pytest.MonkeyPatch, operation: Any
) -> None:
    monkeypatch.setattr(firewall, "state", SimpleNamespace(is_executing=True))
    monkeypatch.setattr(firewall, "read_machine", lambda: MachineState(calls_private=True))
    arguments = {"openings": (), "machine": MachineState()} if operation is firewall.rules else {}
    (decided,) = of(operation)(**arguments, after_stack=True)
    assert isinstance(decided, UpToDate)


def test_the_firewall_stays_while_the_deployed_mail_server_is_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(firewall, "state", SimpleNamespace(is_executing=True))
    monkeypatch.setattr(firewall, "inspect", lambda _: _deployed(_OLD[0]))
    desired = Egress(_LISTED, (_NEW,))
    arguments = {"openings": (), "machine": MachineState(), "egress": desired}
    (decided,) = of(firewall.rules)(**arguments, after_stack=True)
    assert isinstance(decided, UpToDate)
