"""Test that `server adopt` labels the resources of an earlier version, and no others."""

import copy
from pathlib import Path

import pytest

from infisical_iac.core.connection import HOST_REFUSES
from infisical_iac.hetzner.production import production_host, production_hosts
from tests.hcloud.shapes import Data
from tests.hcloud.test_replace import grown_hosts
from tests.hcloud.world import CLUSTER, World, make_world, notes, parse_plan

_OURS = {"managed-by": "infisical-iac", "infisical-iac-deployment": "infisical"}
_CLUSTER = CLUSTER + 'ingress = "none"\nserver_backups = False\n'


def _all(world: World) -> list[Data]:
    found = [each for kind in world.cloud.kinds.values() for each in kind.values()]
    return [each for each in [*found, *world.cloud.rrsets.values()] if each["labels"]]


def _labels(world: World) -> dict[tuple[int, str], Data]:
    return {(each["id"], each["name"]): dict(each["labels"]) for each in _all(world)}


def _age(world: World) -> None:
    """Change all resources to the form of the earlier version."""
    for each in _all(world):
        if each["labels"].pop("infisical-iac-replaces", "") and "auto_delete" in each:
            each |= {"labels": {}, "name": f"primary_ip-{each['id']}"}
        each["labels"].pop("infisical-iac-deployment", None)


@pytest.mark.parametrize("settings", ["", _CLUSTER])
def test_adopt_labels_resources_of_an_earlier_version(world: World, settings: str) -> None:
    world.set(settings)
    world.ok("create", "--yes")
    right = copy.deepcopy(world.cloud.kinds)
    count = len(_all(world))
    _age(world)
    before = len(world.api.changes)
    done = world.run("plan")
    assert done.exit_code == 0
    (note,) = notes(done.output)
    assert f" {count - 1} more " in note
    assert "`infisical-iac server adopt`" in note
    said = world.ok("list")
    assert "to no deployment yet" in said
    assert "firewall infisical" in said
    node = ["infisical-2"] if settings else []
    for command in (
        ["create", "--yes"],
        ["destroy", "--confirm", "infisical", "--with-data"],
        ["replace", *node, "--yes"],
    ):
        error = world.error(*command)
        assert error.code == "refused.unadopted"
        assert "`infisical-iac server adopt`" in str(error)
    assert world.run("adopt", answer="n\n").exit_code == 1
    assert len(world.api.changes) == before

    said = world.ok("adopt", answer="y\n")
    for what in ("server infisical", "volume infisical-data"):
        assert parse_plan(said)["~", what].endswith(" infisical-iac-deployment=infisical")
    assert f"{count} changes made" in said
    assert world.cloud.kinds == right
    assert all(each["labels"].items() >= _OURS.items() for each in _all(world))
    assert world.run("plan").output == done.output.replace(
        next(line for line in done.output.splitlines(keepends=True) if line[0] == "!"), ""
    )
    assert "left to adopt" in world.ok("adopt")
    assert "of no deployment" not in world.ok("list")


def test_a_killed_adoption_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infisical_iac.hetzner.remote.finish_first_boot", lambda *_, **__: None)
    with monkeypatch.context() as patch, make_world(tmp_path / "clone", patch) as world:
        world.set(_CLUSTER)
        world.ok("create", "--yes")
        right = copy.deepcopy(world.cloud.kinds)
        for deaths in range(1, 40):
            _age(world)
            world.api.dies_after = len(world.api.changes) + deaths
            died = world.run("adopt", "--yes").exit_code != 0
            world.api.dies_after = None
            world.ok("adopt", "--yes")
            assert world.cloud.kinds == right, deaths
            if not died:
                break
    assert 10 <= deaths < 39


def test_resources_of_a_deployment_with_a_longer_name_are_not_adopted(world: World) -> None:
    world.set('server_name = "infisical-test"\nserver_dns_zone = ""\n')
    world.ok("create", "--yes")
    _age(world)
    theirs = _labels(world)
    world.set('server_name = "infisical"\nserver_dns_zone = "example.com"\n')
    assert parse_plan(world.ok("adopt")) == {}
    world.ok("create", "--yes")
    _age(world)
    world.ok("adopt", "--yes")
    assert theirs.items() <= _labels(world).items()
    world.ok("destroy", "--with-data", "--confirm", "infisical")
    assert _labels(world) == theirs


def test_resources_that_seem_to_belong_to_another_deployment_are_refused(world: World) -> None:
    world.set('server_name = "infisical-2"\nserver_dns_zone = ""\n')
    world.ok("create", "--yes")
    _age(world)
    before = len(world.api.changes)
    world.set(CLUSTER + 'server_name = "infisical"\nserver_dns_zone = "example.com"\n')
    for command in ("adopt", "create"):
        error = world.error(command, "--yes")
        assert error.code == "refused.other_deployment"
        assert str(error).count("infisical-2") == 2, "the server, and its deployment"
    assert len(world.api.changes) == before


def test_a_node_of_an_earlier_cluster_is_not_a_server_of_a_deployment_of_its_name(
    world: World,
) -> None:
    world.set(CLUSTER)
    world.ok("create", "--yes")
    _age(world)
    before = len(world.api.changes)
    world.set('topology = "single"\nserver_name = "infisical-2"\nserver_dns_zone = ""\n')
    for command in ("adopt", "create"):
        error = world.error(command, "--yes")
        assert error.code == "refused.other_deployment"
        assert "server infisical-2" in str(error)
        assert "deployment infisical," in str(error)
    assert len(world.api.changes) == before
    with pytest.raises(SystemExit, match="no server infisical-2 of the deployment infisical-2"):
        production_host(world.directory / "group_data" / "hetzner.py")


def test_a_replacement_of_an_earlier_version_is_completed_after_adoption(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = grown_hosts(world, monkeypatch)
    fake.unhealthy = True
    world.expect_refusal("replace", "--yes")
    fake.unhealthy = False
    _age(world)
    assert "server adopt" in world.expect_refusal("replace", "--undo", "--yes")
    said = world.ok("adopt", "--yes")
    assert "~ server infisical-next: labelled" in said
    assert "infisical-iac-replaces=infisical" in said
    world.ok("replace", "--yes")
    assert world.cloud.only("servers")["name"] == "infisical"
    assert len(world.cloud.kinds["primary_ips"]) == 1
    assert world.run("plan").exit_code == 0


@pytest.mark.parametrize("settings", ["", _CLUSTER])
def test_the_inventory_includes_unadopted_servers_with_a_note(
    world: World, settings: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.set(settings)
    world.ok("create", "--yes")
    file = world.directory / "group_data" / "hetzner.py"
    assert HOST_REFUSES not in production_hosts(file)[0][1]
    assert capsys.readouterr().err == ""
    _age(world)
    found = production_hosts(file)
    assert [name for name, _ in found][:2] == ["infisical", *(["infisical-2"] if settings else [])]
    assert all("`infisical-iac server adopt`" in data[HOST_REFUSES] for _, data in found)
    assert all("data_volume" in data for _, data in found)
    (note,) = capsys.readouterr().err.splitlines()
    assert "server infisical " in note
    assert "`infisical-iac server adopt`" in note
