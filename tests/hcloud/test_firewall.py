"""Test the firewall at Hetzner Cloud: its rules, their correction, and its removal."""

import pytest

from tests.hcloud.acting import ACTIONS
from tests.hcloud.cloud import Cloud
from tests.hcloud.shapes import Data
from tests.hcloud.world import World, parse_plan


def test_a_manually_opened_firewall_is_corrected(world: World) -> None:
    world.ok("create", "--yes")
    wall = world.cloud.only("firewalls")
    right = wall["rules"]
    wall["rules"] = [*right, {**right[0], "port": "5432"}]
    assert "~ firewall infisical" in world.run("plan").output
    world.ok("create", "--yes")
    assert wall["rules"] == right


def test_a_firewall_that_is_turned_off_is_removed(world: World) -> None:
    world.ok("create", "--yes")
    world.set('firewall = "off"\n')
    assert "'firewall'" in parse_plan(world.run("plan").output)["-", "firewall infisical"]
    # The run is killed between removing the firewall from the server and deleting the firewall.
    world.api.dies_after = len(world.api.changes) + 1
    assert world.run("create", "--yes").exit_code == 1
    world.api.dies_after = None
    world.ok("create", "--yes")
    assert not world.cloud.kinds["firewalls"]
    assert world.run("plan").exit_code == 0
    world.set('firewall = "on"\n')
    world.ok("create", "--yes")
    assert world.cloud.only("firewalls")["applied_to"]


def test_the_firewall_has_the_rules_of_the_hosts_firewall(world: World) -> None:
    world.set(
        'ssh_networks = ("203.0.113.0/24",)\n'
        'allowed_ports = ({"port": 9100, "networks": ("10.0.0.0/8",)},)\n'
    )
    world.ok("create", "--yes")
    found = {
        (each["protocol"], each["port"]): each["source_ips"]
        for each in world.cloud.only("firewalls")["rules"]
    }
    everybody = ["0.0.0.0/0", "::/0"]
    assert found == {
        ("tcp", str(world.port)): ["203.0.113.0/24"],
        ("icmp", None): everybody,
        ("tcp", "80"): everybody,
        ("tcp", "443"): everybody,
        ("udp", "443"): everybody,
        ("tcp", "9100"): ["10.0.0.0/8"],
    }


def test_rules_that_would_lock_out_are_reverted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ok("create", "--yes")
    wall, right = world.cloud.only("firewalls"), world.cloud.only("firewalls")["rules"]
    (booted,) = world.booted.values()
    act = ACTIONS["firewalls", "set_rules"]

    def acting(cloud: Cloud, found: Data, given: Data) -> None:
        act(cloud, found, given)
        booted.is_shut = found["rules"][0]["source_ips"] == ["203.0.113.0/24"]

    monkeypatch.setitem(ACTIONS, ("firewalls", "set_rules"), acting)
    monkeypatch.setattr("infisical_iac.hetzner.remote._ALIVE_SECONDS", 1)
    world.set('ssh_networks = ("203.0.113.0/24",)\n')
    error = world.error("create", "--yes")
    assert error.code == "refused.lockout"
    assert "'ssh_networks'" in str(error)
    assert wall["rules"] == right
    # An operator who can't log in yet can't be locked out.
    booted.is_shut = True
    world.ok("create", "--yes")
    assert wall["rules"] != right
