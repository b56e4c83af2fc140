"""Test that the inventory finds the server by its label, and verifies it by its own key."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infisical_iac.core.errors import UserError
from infisical_iac.hetzner.production import production_host, production_hosts
from tests.hcloud.shapes import Data
from tests.hcloud.world import CLUSTER, World


@pytest.fixture(autouse=True)
def _no_port(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFISICAL_SSH_PORT", str(world.port))


def _file(world: World) -> Path:
    return world.directory / "group_data" / "hetzner.py"


def _error(find: Callable[[Path], object], world: World) -> UserError:
    """Return the error whose sentence the inventory exits with."""
    with pytest.raises(SystemExit) as exited:
        find(_file(world))
    error = exited.value.__context__
    assert isinstance(error, UserError)
    assert exited.value.code == str(error)
    return error


def _add(world: World, kind: str, name: str, *, of: str = "", **labels: str) -> Data:
    """Add a server of the deployment `of`, or of one with the server's name."""
    ours = {"managed-by": "infisical-iac", "infisical-iac-deployment": of or name}
    return world.cloud.add(kind, name=name, labels=ours | labels, private_net=[])


def test_the_server_is_found_with_its_volume_and_its_key(world: World) -> None:
    world.ok("create", "--yes")
    name, data = production_host(_file(world))
    # The host has the server's name, and SSH connects to its address.
    assert (name, data["ssh_hostname"], data["ssh_user"]) == ("infisical", "127.0.0.2", "root")
    assert data["data_volume"] == world.cloud.only("volumes")["linux_device"]
    assert data["ssh_strict_host_key_checking"] == "yes"
    assert Path(data["ssh_known_hosts_file"]) == world.directory / ".infisical-iac" / "known_hosts"


def test_a_server_with_only_ipv6_is_reached_at_its_ipv6_address(world: World) -> None:
    world.cloud.network = "::/64"
    world.set("server_ipv4 = False\nserver_ipv6 = True\n")
    world.ok("create", "--yes")
    name, data = production_host(_file(world))
    assert (name, data["ssh_hostname"]) == ("infisical", "::1")
    assert data["ssh_strict_host_key_checking"] == "yes"


def test_a_named_host_wins_without_an_api_request(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFISICAL_HOST", "203.0.113.7")
    name, data = production_host(_file(world))
    assert name == "203.0.113.7"
    assert "ssh_known_hosts_file" not in data
    assert world.api.requests == []


def test_of_several_servers_the_named_one_is_chosen(world: World) -> None:
    world.ok("create", "--yes")
    _add(world, "servers", "other")
    world.set('server_name = "infisical"\n')
    assert production_host(_file(world))[0] == "infisical"


def test_the_default_name_is_that_of_the_server_commands(world: World) -> None:
    _add(world, "servers", "infisical-production")
    error = _error(production_host, world)
    assert error.code == "error.other_server"
    assert str(error).startswith("no server infisical ")
    assert " infisical-production: set server_name " in str(error)


def test_the_inventory_refuses_a_server_during_its_replacement(world: World) -> None:
    world.ok("create", "--yes")
    server = world.cloud.only("servers")
    server["name"] = "infisical-next"
    server["labels"]["infisical-iac-replaces"] = "infisical"
    error = _error(production_host, world)
    assert error.code == "error.unfinished"
    assert " infisical " in str(error)
    assert "`infisical-iac server replace`" in str(error)


def test_a_volume_of_another_deployment_on_the_server_is_not_its_data(world: World) -> None:
    world.ok("create", "--yes")
    world.cloud.only("volumes")["labels"]["infisical-iac-deployment"] = "other"
    assert "data_volume" not in production_host(_file(world))[1]


def test_a_volume_that_was_set_aside_is_not_the_servers_data(world: World) -> None:
    world.ok("create", "--yes")
    volume = world.cloud.only("volumes")
    aside = world.cloud.add("volumes", labels=volume["labels"], server=volume["server"])
    aside |= {"name": f"infisical-data-{aside['id']}", "linux_device": "/dev/disk/by-id/aside"}
    data = production_host(_file(world))[1]
    assert data["data_volume"] == volume["linux_device"]


def test_a_second_volume_of_the_deployment_is_not_the_servers_data(world: World) -> None:
    world.ok("create", "--yes")
    volume = world.cloud.only("volumes")
    second = world.cloud.add("volumes", labels=volume["labels"], server=volume["server"])
    second |= {"name": "infisical-images", "linux_device": "/dev/disk/by-id/images"}
    data = production_host(_file(world))[1]
    assert data["data_volume"] == volume["linux_device"]


@pytest.mark.parametrize(
    ("servers", "token", "code", "fact"),
    [
        ([], None, "error.no_server", " managed-by=infisical-iac: "),
        (["a", "b"], None, "error.several_deployments", " (a, b): set server_name "),
        ([], "wrong", "error.hetzner", "HCLOUD_TOKEN … not a valid token"),
    ],
)
def test_a_missing_server_is_reported_in_a_sentence(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    servers: list[str],
    token: str | None,
    code: str,
    fact: str,
) -> None:
    for name in servers:
        _add(world, "servers", name)
    if token:
        monkeypatch.setenv("HCLOUD_TOKEN", token)
    error = _error(production_host, world)
    assert error.code == code
    assert all(part in str(error) for part in fact.split(" … "))


def test_an_unreachable_api_is_reported_in_a_sentence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HCLOUD_ENDPOINT", "http://127.0.0.1:9")
    assert _error(production_host, world).code == "unreachable.hetzner"


def test_the_servers_of_a_cluster_are_found_managers_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other tests cover the first boot of a server.
    monkeypatch.setattr("infisical_iac.hetzner.remote.finish_first_boot", lambda *_, **__: None)
    world.set(CLUSTER + "servers = 10\n")
    _add(world, "servers", "other")
    world.set('server_name = "infisical"\n')
    world.ok("create", "--yes")
    before = len(world.api.requests)
    found = production_hosts(_file(world))
    assert len(world.api.requests) == before + 3
    assert [name for name, _ in found] == ["infisical", *(f"infisical-{n}" for n in range(2, 11))]
    devices = {
        each["server"]: each["linux_device"] for each in world.cloud.kinds["volumes"].values()
    }
    servers = {each["name"]: each["id"] for each in world.cloud.kinds["servers"].values()}
    for number, (name, data) in enumerate(found, 1):
        assert data["ssh_hostname"] == f"127.0.0.{number + 1}"
        assert data["cluster_address"] == f"10.42.0.{number + 10}"
        assert data["data_volume"] == devices[servers[name]]
        assert data["ssh_strict_host_key_checking"] == "yes"


def test_a_manager_comes_before_workers_whatever_its_name(world: World) -> None:
    for name, role in (("infisical-2", "worker"), ("infisical-9", "manager"), ("infisical", "")):
        labels = {"infisical-iac-cluster": "infisical", "role": role}
        made = _add(world, "servers", name, of="infisical", **labels)
        world.cloud.add("primary_ips", type="ipv4", ip="203.0.113.9", assignee_id=made["id"])
    world.set(CLUSTER)
    names = [name for name, _ in production_hosts(_file(world))]
    assert names == ["infisical-9", "infisical", "infisical-2"]


@pytest.mark.parametrize(
    ("clusters", "settings", "code", "facts"),
    [
        (
            [],
            "",
            "error.no_cluster",
            (" managed-by=infisical-iac and infisical-iac-cluster=infisical",),
        ),
        (
            ["a"],
            'server_name = "b"\n',
            "error.no_cluster",
            ("infisical-iac-cluster=b, ", " there is a: "),
        ),
        (["a", "b"], "", "error.several_deployments", (" (a, b): set server_name ",)),
    ],
)
def test_a_missing_cluster_is_reported_in_a_sentence(
    world: World, clusters: list[str], settings: str, code: str, facts: tuple[str, ...]
) -> None:
    for each in clusters:
        _add(world, "servers", each, **{"infisical-iac-cluster": each})
    world.set(CLUSTER + settings)
    error = _error(production_hosts, world)
    assert error.code == code
    for fact in facts:
        assert fact in str(error)
