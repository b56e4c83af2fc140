"""Test killed creates, `server destroy` and `server list` of a cluster."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.hcloud.world import CLUSTER, World, make_world, parse_plan

# These settings leave out resources that the tests of a single server cover.
_SMALL = CLUSTER + 'ingress = "none"\nserver_backups = False\nserver_placement_group = ""\n'


def _counts(world: World) -> Counter[str]:
    return Counter({kind: len(found) for kind, found in world.cloud.kinds.items() if found})


_WHOLE = {"servers": 3, "volumes": 3, "primary_ips": 3, "firewalls": 1, "placement_groups": 1}
_WHOLE |= {"ssh_keys": 1, "zones": 1, "networks": 1, "load_balancers": 1, "certificates": 1}


@pytest.fixture
def cluster(world: World) -> World:
    """A world with a cluster."""
    world.set(_SMALL)
    world.ok("create", "--yes")
    return world


def test_a_killed_create_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # test_killed.py covers the steps over SSH.
    monkeypatch.setattr("infisical_iac.hetzner.remote.finish_first_boot", lambda *_, **__: None)
    for deaths in range(1, 60):
        with monkeypatch.context() as patch, make_world(tmp_path / str(deaths), patch) as world:
            world.set(_SMALL)
            world.api.dies_after = deaths
            if world.run("create", "--yes").exit_code == 0:
                break
            world.api.dies_after = None
            world.ok("create", "--yes")
            assert world.run("plan").exit_code == 0, deaths
            assert _counts(world) == _WHOLE, deaths
            assert len(world.known_hosts) == 3
    assert 25 <= deaths < 59


def test_destroy_keeps_the_volumes_and_the_next_create_reuses_them(cluster: World) -> None:
    volumes = [*cluster.cloud.kinds["volumes"].values()]
    done = cluster.run("destroy", answer="infisical\n")
    removed = {what for kind, what in parse_plan(done.output) if kind == "-"}
    assert {f"server {name}" for name in ("infisical", "infisical-2", "infisical-3")} <= removed
    assert not any(what.startswith("volume") for what in removed)
    assert ", ".join(each["name"] for each in volumes) in done.output.splitlines()[-1]
    assert _counts(cluster) == {"volumes": 3, "zones": 1}
    assert (cluster.cloud.rrsets, cluster.known_hosts) == ({}, [])
    assert parse_plan(cluster.ok("destroy")) == {}
    cluster.ok("create", "--yes")
    assert [*cluster.cloud.kinds["volumes"].values()] == volumes
    assert _counts(cluster) == _WHOLE


def test_destroying_data_also_removes_surplus_servers(
    cluster: World,
) -> None:
    cluster.set("servers = 4\n")
    cluster.ok("create", "--yes")
    cluster.set("servers = 3\n")
    cluster.ok("destroy", "--with-data", "--confirm", "infisical")
    assert _counts(cluster) == {"zones": 1}


def test_a_destroy_killed_after_any_change_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, make_world(tmp_path / "clone", patch) as world:
        world.set(_SMALL)
        world.ok("create", "--yes")
        before = deaths = len(world.api.changes)
        while deaths < before + 40:
            world.api.dies_after = deaths = len(world.api.changes) + 1
            if world.run("destroy", "--with-data", "--confirm", "infisical").exit_code == 0:
                break
        assert _counts(world) == {"zones": 1}
        assert deaths - before >= 20


def test_list_shows_the_balancer_with_the_health_of_the_nodes(cluster: World) -> None:
    ids = {each["name"]: each["id"] for each in cluster.cloud.kinds["servers"].values()}
    cluster.cloud.healthy = {ids["infisical"], ids["infisical-3"]}
    rows = {(row["kind"], row["name"]): row for row in json.loads(cluster.ok("list", "--json"))}
    server = rows["server", "infisical-2"]
    assert (server["what"], server["place"]) == ("cx33, manager", "nbg1")
    assert (server["status"], server["where"]) == ("running", "127.0.0.3, 10.42.0.12")
    balancer = rows["Load Balancer", "infisical"]
    assert (balancer["what"], balancer["place"]) == ("lb11", "nbg1")
    assert balancer["status"] == "2 of 3 healthy"
    assert balancer["where"] == "203.0.113.50, 2001:db8:1::50"
    assert "2 of 3 healthy" in cluster.ok("list")
