"""Test `server list`, and that `server destroy` keeps the data without --with-data."""

import json

from tests.hcloud.world import World, parse_plan


def test_destroy_keeps_the_volume_and_the_next_create_reuses_it(world: World) -> None:
    world.ok("create", "--yes")
    volume = world.cloud.only("volumes")
    said = world.ok("destroy", answer="infisical\n")
    assert "infisical-data" in said.splitlines()[-1]
    left = {kind for kind, found in world.cloud.kinds.items() if found}
    assert left == {"volumes", "zones"}
    assert volume["protection"] == {"delete": True}
    assert (world.cloud.rrsets, world.known_hosts) == ({}, [])
    assert parse_plan(again := world.ok("destroy")) == {}
    assert "infisical-data" in again
    world.ok("create", "--yes")
    assert world.cloud.only("volumes") == volume
    assert volume["server"] == world.cloud.only("servers")["id"]


def test_destroy_with_data_removes_all_resources(world: World) -> None:
    world.ok("create", "--yes")
    said = world.ok("destroy", "--with-data", "--confirm", "infisical")
    assert parse_plan(said)["-", "volume infisical-data"].startswith("20 GB")
    assert {kind for kind, found in world.cloud.kinds.items() if found} == {"zones"}


def test_destroy_with_another_name_deletes_nothing(world: World) -> None:
    world.ok("create", "--yes")
    before = len(world.api.changes)
    sentence = world.expect_refusal("destroy", "--with-data", answer="other\n")
    assert "'other'" in sentence
    assert sentence.endswith(" type infisical")
    assert len(world.api.changes) == before


def test_a_failure_to_lift_the_protection_of_a_volume_is_reported(world: World) -> None:
    world.ok("create", "--yes")
    world.cloud.failing.add("change_protection")
    error = world.error("destroy", "--with-data", "--confirm", "infisical")
    assert error.code == "run.hetzner"
    assert "volume infisical-data" in str(error)


def test_resources_of_others_are_not_destroyed(world: World) -> None:
    world.cloud.add("servers", name="infisical", labels={"of": "somebody"})
    assert world.error("destroy").code == "refused.foreign"
    assert world.api.changes == []


def test_keys_and_groups_of_others_are_kept(world: World) -> None:
    world.cloud.add("ssh_keys", name="theirs", public_key="ssh-ed25519 AAAA")
    world.cloud.add("placement_groups", name="apart", servers=[])
    world.ok("create", "--yes")
    world.ok("destroy", "--confirm", "infisical")
    assert [each["name"] for each in world.cloud.kinds["ssh_keys"].values()] == ["theirs"]
    assert world.cloud.only("placement_groups")["name"] == "apart"


def test_a_killed_destroy_is_completed_by_the_next(world: World) -> None:
    world.ok("create", "--yes")
    world.api.dies_after = len(world.api.changes) + 2
    world.expect_refusal("destroy", "--confirm", "infisical")
    world.api.dies_after = None
    world.ok("destroy", "--confirm", "infisical")
    assert {kind for kind, found in world.cloud.kinds.items() if found} == {"volumes", "zones"}


def test_a_list_shows_servers_and_unattached_volumes(world: World) -> None:
    assert json.loads(world.ok("list", "--json")) == []
    assert "managed-by=infisical-iac" in world.ok("list")
    world.ok("create", "--yes")
    world.cloud.add("servers", name="somebody-elses")
    said = world.ok("list")
    assert "somebody-elses" not in said
    assert "infisical       cx33   nbg1   running    127.0.0.2" in said
    world.ok("destroy", "--confirm", "infisical")
    assert "no server" in world.ok("list")


def test_a_list_has_all_pages(world: World) -> None:
    world.api.per_page = 2
    for number in range(5):
        labels = {"managed-by": "infisical-iac"}
        world.cloud.add(
            *("volumes",),
            name=f"v{number}",
            labels=labels,
            size=10,
            server=None,
            status="available",
        )
    assert all(f"v{number}" in world.ok("list") for number in range(5))


def test_destroying_a_server_without_a_volume_warns_about_its_disk(world: World) -> None:
    world.set("server_volume_gb = 0\n")
    world.ok("create", "--yes")
    done = world.run("destroy", answer="no\n")
    assert "its own disk" in done.output
