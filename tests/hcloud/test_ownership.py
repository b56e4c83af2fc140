"""Test that deployments in one project never change the resources of others."""

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hcloud import Client
from hcloud.certificates import Certificate
from hcloud.firewalls import Firewall
from hcloud.load_balancers import LoadBalancer
from hcloud.networks import Network
from hcloud.placement_groups import PlacementGroup
from hcloud.primary_ips import PrimaryIP
from hcloud.servers import Server
from hcloud.ssh_keys import SSHKey
from hcloud.volumes import Volume
from hcloud.zones import Zone

from infisical_iac.core.errors import UserError
from infisical_iac.hetzner import api
from infisical_iac.hetzner.production import production_host, production_hosts
from infisical_iac.hetzner.settings import _NAME
from tests.hcloud.shapes import Data
from tests.hcloud.test_replace import grown_hosts
from tests.hcloud.world import CLUSTER, ZONE, World, make_world, notes, parse_plan


def _of(world: World, deployment: str) -> dict[tuple[str, int], Data]:
    """Return a copy of the resources with the label of a deployment."""
    return {
        (kind, id): copy.deepcopy(each)
        for kind, found in world.cloud.kinds.items()
        for id, each in found.items()
        if each["labels"].get("infisical-iac-deployment") == deployment
    } | {
        ("rrsets", number): copy.deepcopy(each)
        for number, each in enumerate(world.cloud.rrsets.values())
        if each["labels"].get("infisical-iac-deployment") == deployment
    }


def _make(world: World, name: str, more: str = "") -> None:
    """Make another deployment in the same project, with its own records."""
    world.set(f'server_name = "{name}"\nserver_dns_zone = ""\n{more}')
    world.ok("create", "--yes")
    world.set('server_name = "infisical"\n')


def test_only_the_named_server_is_found(world: World) -> None:
    _make(world, "infisical-production")
    world.set('server_name = "infisical-staging"\n')
    with pytest.raises(SystemExit) as refused:
        production_host(world.directory / "group_data" / "hetzner.py")
    sentence = str(refused.value)
    assert "infisical-staging" in sentence
    assert "infisical-production" in sentence


def test_undo_keeps_a_server_without_our_labels(world: World) -> None:
    world.ok("create", "--yes")
    stranger = world.cloud.add("servers", name="infisical-next", status="running", private_net=[])
    world.cloud.add("primary_ips", type="ipv4", ip="203.0.113.9", assignee_id=stranger["id"])
    before = len(world.api.changes)
    error = world.error("replace", "--undo", "--yes")
    assert error.code == "refused.foreign"
    assert "server infisical-next" in str(error)
    assert stranger["id"] in world.cloud.kinds["servers"]
    assert len(world.api.changes) == before


def test_a_cluster_does_not_take_another_deployments_server(world: World) -> None:
    _make(world, "infisical-2")
    before = _of(world, "infisical-2")
    world.set(CLUSTER + 'server_dns_zone = "example.com"\n')
    error = world.error("create", "--yes")
    assert error.code == "refused.other_deployment"
    assert "server infisical-2" in str(error)
    assert "deployment infisical-2" in str(error)
    assert _of(world, "infisical-2") == before
    assert not _of(world, "infisical")


def test_destroy_keeps_keys_and_certificates_of_a_longer_name(world: World) -> None:
    theirs: dict[str, Any] = {
        "managed-by": "infisical-iac",
        "infisical-iac-deployment": "infisical-test",
    }
    world.cloud.add("ssh_keys", name="infisical-test-x", public_key="ssh-rsa AAAA", labels=theirs)
    for kind, more in (("certificates", {"domain_names": ["a"], "used_by": []}),):
        action = world.cloud.action("create_certificate")
        world.cloud.add(
            kind, name="infisical-test-a", labels=theirs, actions=[action["id"]], **more
        )
    before = _of(world, "infisical-test")
    world.set(CLUSTER + 'ingress = "none"\n')
    world.ok("create", "--yes")
    assert "infisical-test" not in world.run("plan").output
    world.ok("destroy", "--with-data", "--confirm", "infisical")
    assert _of(world, "infisical-test") == before
    assert len(before) == 2
    assert not _of(world, "infisical")


def test_two_clusters_and_a_server_in_one_project_do_not_touch_each_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infisical_iac.hetzner.remote.finish_first_boot", lambda *_, **__: None)
    _make(world, "infisical-test", 'server_placement_group = ""\nserver_volume_gb = 10\n')
    _make(world, "infisical-staging", CLUSTER + 'server_network = "10.43.0.0/24"\n')
    before = {name: _of(world, name) for name in ("infisical-test", "infisical-staging")}
    assert all(before.values())
    world.set('topology = "single"\nserver_volume_gb = 20\nserver_dns_zone = "example.com"\n')
    world.ok("create", "--yes")
    world.set(CLUSTER + 'server_network = "10.42.0.0/24"\n')
    world.ok("create", "--yes")
    assert [key[0] for key in _of(world, "infisical")].count("servers") == 3
    found = production_hosts(world.directory / "group_data" / "hetzner.py")
    assert [name for name, _ in found] == ["infisical", "infisical-2", "infisical-3"]
    world.ok("destroy", "--with-data", "--confirm", "infisical")
    assert not _of(world, "infisical")
    assert {name: _of(world, name) for name in before} == before


def test_resources_of_a_killed_create_are_recognized_next_to_another_deployment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infisical_iac.hetzner.remote.finish_first_boot", lambda *_, **__: None)
    with monkeypatch.context() as patch, make_world(tmp_path / "clone", patch) as world:
        _make(world, "infisical-test")
        before = _of(world, "infisical-test")
        world.set('server_placement_group = ""\n')
        for deaths in range(1, 40):
            world.api.dies_after = len(world.api.changes) + deaths
            died = world.run("create", "--yes").exit_code != 0
            world.api.dies_after = None
            world.ok("create", "--yes")
            assert world.run("plan").exit_code == 0, deaths
            world.ok("destroy", "--with-data", "--confirm", "infisical")
            assert not _of(world, "infisical")
            assert _of(world, "infisical-test") == before
            if not died:
                break
    assert 6 <= deaths < 39


def test_destroy_removes_leftovers_of_manually_deleted_servers(world: World) -> None:
    ours = {"managed-by": "infisical-iac", "infisical-iac-deployment": "infisical"}
    world.ok("create", "--yes")
    volume = world.cloud.only("volumes")
    more = {key: volume[key] for key in ("labels", "size", "protection", "location", "status")}
    world.cloud.add("volumes", **more, name="infisical-7-data", server=None)
    address = {"type": "ipv4", "ip": "203.0.113.9", "assignee_id": None}
    world.cloud.add("primary_ips", name="infisical-7-ipv4", labels=ours, **address)
    world.ok("destroy", "--confirm", "infisical")
    assert not world.cloud.kinds["primary_ips"]
    assert len(world.cloud.kinds["volumes"]) == 2
    world.ok("destroy", "--confirm", "infisical", "--with-data")
    assert not _of(world, "infisical")


def test_nodes_of_a_former_cluster_are_reported_and_deleted_with_the_deployment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infisical_iac.hetzner.remote.finish_first_boot", lambda *_, **__: None)
    world.set(CLUSTER)
    world.ok("create", "--yes")
    # The host name has changed since, so that the records are not found by it.
    world.set('topology = "single"\nsite_url = "https://vault.example.com"\n')
    surplus = notes(world.run("plan").output)
    assert [name in note for name, note in zip(("-2 ", "-3 "), surplus, strict=True)] == [True] * 2
    done = world.run("destroy", answer="no\n")
    assert ("-", "server infisical-3") in parse_plan(done.output)
    assert "deployment's name, infisical" in done.output
    world.ok("destroy", "--with-data", "--confirm", "infisical")
    assert not _of(world, "infisical")


@pytest.mark.parametrize(
    ("labels", "code"),
    [
        ({}, "refused.foreign"),
        ({"managed-by": "infisical-iac"}, "refused.unadopted"),
        (
            {"managed-by": "infisical-iac", "infisical-iac-deployment": "infisical"},
            "refused.unmarked",
        ),
        (
            {
                "managed-by": "infisical-iac",
                "infisical-iac-deployment": "infisical-next",
                "infisical-iac-replaces": "infisical",
            },
            "refused.other_deployment",
        ),
    ],
)
@pytest.mark.parametrize("undo", [(), ("--undo",)])
def test_a_replacement_is_recognized_by_both_labels_not_by_its_name(
    world: World, labels: dict[str, str], code: str, undo: tuple[str, ...]
) -> None:
    world.ok("create", "--yes")
    world.set('server_type = "cx43"\n')
    world.cloud.add("servers", name="infisical-next", status="running", labels=labels)
    before = len(world.api.changes)
    assert world.error("replace", *undo, "--yes").code == code
    assert len(world.api.changes) == before
    assert len(world.cloud.kinds["servers"]) == 2


def test_an_undo_deletes_the_addresses_of_an_uncreated_server(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown_hosts(world, monkeypatch)
    world.api.dies_after = len(world.api.changes) + 1
    world.expect_refusal("replace", "--yes")
    world.api.dies_after = None
    names = [each["name"] for each in world.cloud.kinds["primary_ips"].values()]
    assert names == ["infisical-ipv4", "infisical-next-ipv4"]
    world.ok("replace", "--undo", "--yes")
    assert world.cloud.only("primary_ips")["name"] == "infisical-ipv4"


def test_a_manually_assigned_address_is_not_deleted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = grown_hosts(world, monkeypatch)
    fake.unhealthy = True
    world.expect_refusal("replace", "--yes")
    fake.unhealthy = False
    (new,) = (e for e in world.cloud.kinds["servers"].values() if e["name"] != "infisical")
    address = {"type": "ipv6", "ip": "2001:db8:9::/64", "auto_delete": False, "labels": {}}
    world.cloud.add("primary_ips", name="theirs", assignee_id=new["id"], **address)
    world.ok("replace", "--yes")
    kept = {each["name"] for each in world.cloud.kinds["primary_ips"].values()}
    assert kept == {"infisical-ipv4", "theirs"}


_CHANGES: dict[str, Callable[[Client, int], object]] = {
    "servers": lambda it, id: it.servers.delete(Server(id=id)),
    "volumes": lambda it, id: it.volumes.detach(Volume(id=id)),
    "primary_ips": lambda it, id: it.primary_ips.delete(PrimaryIP(id=id)),
    "firewalls": lambda it, id: it.firewalls.set_rules(Firewall(id=id), []),
    "networks": lambda it, id: it.networks.delete(Network(id=id)),
    "load_balancers": lambda it, id: it.load_balancers.delete(LoadBalancer(id=id)),
    "certificates": lambda it, id: it.certificates.delete(Certificate(id=id)),
    "placement_groups": lambda it, id: it.placement_groups.delete(PlacementGroup(id=id)),
    "ssh_keys": lambda it, id: it.ssh_keys.update(SSHKey(id=id), name="ours"),
    "zones": lambda it, id: it.zones.delete(Zone(id=id)),
}


@pytest.mark.parametrize("kind", _CHANGES)
@pytest.mark.parametrize(
    ("labels", "code"),
    [
        ({}, "refused.foreign"),
        ({"managed-by": "somebody", "infisical-iac-deployment": "infisical"}, "refused.foreign"),
        ({"managed-by": "infisical-iac"}, "refused.unadopted"),
        (
            {"managed-by": "infisical-iac", "infisical-iac-deployment": "infisical-2"},
            "refused.other_deployment",
        ),
    ],
)
def test_no_request_can_change_resources_that_are_not_owned(
    world: World, kind: str, labels: dict[str, str], code: str
) -> None:
    """Call the library itself, with ids of resources that this project has not queried."""
    more = {"server": None, "applied_to": [], "services": [], "targets": [], "actions": [0]}
    world.cloud.actions[0] = {"status": "success", "left": 0, "fails": False}
    stranger = world.cloud.add(kind, name="it", labels=labels, assignee_id=None, **more)
    before = copy.deepcopy(stranger)
    for adopts in (False, True):
        client = api.connect("infisical", adopts=adopts)
        with pytest.raises(UserError) as refused:
            _CHANGES[kind](client, stranger["id"])
        assert refused.value.code == code
    assert world.cloud.kinds[kind][stranger["id"]] == before
    assert world.api.changes == []


def test_nothing_is_created_without_labels_or_by_a_reading_client(
    world: World,
) -> None:
    theirs = {"managed-by": "infisical-iac", "infisical-iac-deployment": "other"}
    for labels in (None, {}, theirs):
        with pytest.raises(UserError):
            api.connect("infisical").placement_groups.create("g", "spread", labels=labels)
    ours = api.labels("infisical")
    with pytest.raises(UserError) as refused:
        api.connect().placement_groups.create("g", "spread", labels=ours)
    assert refused.value.code == "refused.read_only"
    group = api.connect("infisical").placement_groups.create("g", "spread", labels=ours)
    with pytest.raises(UserError, match="deployment other") as refused:
        group.placement_group.update(labels=theirs)
    assert refused.value.code == "refused.other_deployment"
    assert len(world.api.changes) == 1


def test_records_of_another_deployment_are_kept(world: World) -> None:
    theirs = {"managed-by": "infisical-iac", "infisical-iac-deployment": "infisical-2"}
    zone = world.cloud.only("zones")["id"]
    record = {"name": "secrets", "type": "A", "labels": theirs, "records": [{"value": "192.0.2.1"}]}
    world.cloud.rrsets["secrets", "A"] = {**record, "id": "secrets/A", "zone": zone}
    error = world.error("create", "--yes")
    assert error.code == "refused.other_deployment"
    assert f"record secrets A in {ZONE} " in str(error)
    assert "deployment infisical-2" in str(error)
    (rrset,) = api.connect().zones.get(ZONE).get_rrset_all(name="secrets")
    with pytest.raises(UserError, match="record secrets ") as refused:
        api.connect("infisical").zones.delete_rrset(rrset)
    assert refused.value.code == "refused.other_deployment"
    assert world.api.changes == []


@pytest.mark.parametrize("name", ["a", "infisical", "secrets-2-eu", "a" * 42, "0-0"])
def test_labels_of_every_accepted_name_are_valid_at_hetzner(name: str) -> None:
    """Hetzner allows at most 63 characters of [-A-Za-z0-9_.] in keys and values of labels.

    Source: https://docs.hetzner.cloud/reference/cloud#labels
    """
    assert re.fullmatch(_NAME, name)
    found = api.labels(name) | {api.REPLACES: name, api.CLUSTER: name}
    for key, value in found.items():
        for text in (key, value):
            assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", text)
    assert not re.fullmatch(_NAME, "a" * 43)
