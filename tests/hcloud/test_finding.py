"""The production inventory: the server is found by its label, and verified by its own key."""

from pathlib import Path

import pytest

from infisical_iac.connection import production_host
from tests.hcloud.world import World


@pytest.fixture(autouse=True)
def _no_port(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFISICAL_SSH_PORT", str(world.port))


def _file(world: World) -> Path:
    return world.directory / "group_data" / "hetzner.py"


def test_the_server_is_found_with_its_volume_and_its_key(world: World) -> None:
    world.ok("create", "--yes")
    name, data = production_host(_file(world))
    assert (name, data["ssh_user"]) == ("127.0.0.2", "root")
    assert data["data_volume"] == world.cloud.only("volumes")["linux_device"]
    assert data["ssh_strict_host_key_checking"] == "yes"
    assert Path(data["ssh_known_hosts_file"]) == world.directory / ".infisical-iac" / "known_hosts"


def test_a_server_with_ipv6_alone_is_found_by_that(world: World) -> None:
    world.cloud.network = "::/64"
    world.set("server_ipv4 = False\nserver_ipv6 = True\n")
    world.ok("create", "--yes")
    name, data = production_host(_file(world))
    assert name == "::1"
    assert data["ssh_strict_host_key_checking"] == "yes"


def test_a_host_that_is_named_wins_and_nothing_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFISICAL_HOST", "203.0.113.7")
    name, data = production_host(_file(world))
    assert name == "203.0.113.7"
    assert "ssh_known_hosts_file" not in data
    assert world.api.requests == []


def test_of_several_servers_the_one_with_the_set_name_is_meant(world: World) -> None:
    world.ok("create", "--yes")
    labels = {"managed-by": "infisical-iac"}
    world.cloud.add("servers", name="infisical-next", labels=labels)
    world.set('server_name = "infisical"\n')
    assert production_host(_file(world))[0] == "127.0.0.2"


@pytest.mark.parametrize(
    ("servers", "token", "sentence"),
    [
        ([], None, "no server at Hetzner Cloud has the label managed-by=infisical-iac"),
        (["a", "b"], None, r"2 servers at Hetzner Cloud have the label .* \(a, b\): set"),
        ([], "wrong", "HCLOUD_TOKEN is no valid token"),
    ],
)
def test_a_server_that_cannot_be_found_is_told_in_a_sentence(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    servers: list[str],
    token: str | None,
    sentence: str,
) -> None:
    for name in servers:
        world.cloud.add("servers", name=name, labels={"managed-by": "infisical-iac"})
    if token:
        monkeypatch.setenv("HCLOUD_TOKEN", token)
    with pytest.raises(SystemExit, match=sentence):
        production_host(_file(world))


def test_an_api_that_is_down_is_told_in_a_sentence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HCLOUD_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SystemExit, match="the API of Hetzner Cloud can't be reached"):
        production_host(_file(world))
