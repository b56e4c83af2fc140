"""Test that `server replace` moves the volume, then the addresses, and deletes the old server."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from infisical_iac.core.errors import CheckFailed, CommandFailed
from infisical_iac.hetzner.remote import Login
from tests.hcloud.shapes import Data
from tests.hcloud.world import World, make_world


@dataclass
class FakeHosts:
    """Record the steps on servers instead of running them, and check their order.

    Attributes:
        did: the steps, with the owners of the volume and of the first address then.
        unhealthy: whether Infisical is unhealthy on the new server.
        elsewhere: whether the data of the old server are on its own disk.
    """

    world: World
    did: list[tuple[str, str, str]] = field(default_factory=list)
    unhealthy: bool = False
    elsewhere: bool = False

    def _log(self, what: str) -> None:
        cloud = self.world.cloud
        names = {id: each["name"] for id, each in cloud.kinds["servers"].items()}
        (volume,) = cloud.kinds["volumes"].values()
        first = next(e for e in cloud.kinds["primary_ips"].values() if e["labels"])
        has = (names.get(volume["server"], ""), names.get(first["assignee_id"], ""))
        self.did.append((what, *has))

    def check_data(self, login: Login) -> None:
        self._log("check")
        if self.elsewhere:
            raise CommandFailed("the data are on the host's own disk")

    def check_volume(self, login: Login) -> None:
        self._log("inspect")

    def release_volume(self, login: Login) -> None:
        self._log("release")

    def wait_for_host_key(self, login: Login) -> str:
        self._log("wait")
        return [*self.world.booted.values()][-1].public()

    def deploy(self, login: Login) -> None:
        self._log("apply")

    def check_health(self, login: Login) -> None:
        self._log("prove")
        if self.unhealthy:
            raise CheckFailed("Infisical is not healthy there (postgres)")


def grown_hosts(world: World, monkeypatch: pytest.MonkeyPatch) -> FakeHosts:
    """A world with a server, whose settings describe a bigger one."""
    fake = FakeHosts(world)
    monkeypatch.setattr("infisical_iac.hetzner.remote.RemoteExecutor", lambda device, timeout: fake)
    world.ok("create", "--yes")
    world.set('server_type = "cx43"\n')
    return fake


def _type(server: Data) -> str:
    return str(server["server_type"]["name"])


def test_volume_and_addresses_move_in_an_order_that_loses_no_data(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = grown_hosts(world, monkeypatch)
    volume, address = world.cloud.only("volumes"), world.cloud.only("primary_ips")
    old = world.cloud.only("servers")["id"]
    said = world.ok("replace", "--yes")
    assert fake.did == [
        ("check", "infisical", "infisical"),
        ("release", "infisical", "infisical"),
        ("inspect", "infisical-next", "infisical"),
        ("apply", "infisical-next", "infisical"),
        ("prove", "infisical-next", "infisical"),
        ("wait", "infisical-next", "infisical-next"),
        ("prove", "infisical-next", "infisical-next"),
    ]
    server = world.cloud.only("servers")
    assert (server["name"], _type(server)) == ("infisical", "cx43")
    assert server["id"] != old
    assert volume["server"] == address["assignee_id"] == server["id"]
    assert [*world.cloud.kinds["primary_ips"]] == [address["id"]]
    assert server["backup_window"]
    assert len(world.known_hosts) == 1
    assert "127.0.0.2" in said.splitlines()[-1]
    assert world.run("plan").exit_code == 0
    assert "--fresh" in world.ok("replace", "--yes")


@pytest.mark.long
def test_a_killed_replacement_is_completed_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for deaths in range(1, 60):
        with monkeypatch.context() as patch, make_world(tmp_path / str(deaths), patch) as world:
            fake = grown_hosts(world, patch)
            world.api.dies_after = len(world.api.changes) + deaths
            if world.run("replace", "--yes").exit_code == 0:
                break
            world.api.dies_after = None
            world.ok("replace", "--yes")
            world.ok("create", "--yes")
            server = world.cloud.only("servers")
            assert (server["name"], _type(server)) == ("infisical", "cx43"), deaths
            assert world.cloud.only("volumes")["server"] == server["id"]
            assert world.cloud.only("primary_ips")["assignee_id"] == server["id"]
            # The old server is deleted only after the new one passed its checks.
            assert ("prove", "infisical-next", "infisical-next") in fake.did
    assert 12 <= deaths < 59


def test_undo_returns_to_the_old_server_until_the_addresses_move(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = grown_hosts(world, monkeypatch)
    old = world.cloud.only("servers")["id"]
    fake.unhealthy = True
    assert world.error("replace", "--yes").code == "checks"
    assert len(world.cloud.kinds["servers"]) == 2
    assert world.error("destroy").code == "refused.unfinished"
    fake.unhealthy = False
    fake.did.clear()
    world.ok("replace", "--undo", "--yes")
    assert [what for what, *_ in fake.did] == ["release", "wait", "apply", "prove"]
    assert world.cloud.only("servers")["id"] == old
    assert world.cloud.only("volumes")["server"] == old
    assert len(world.known_hosts) <= 2


def test_a_killed_undo_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for deaths in range(1, 20):
        with monkeypatch.context() as patch, make_world(tmp_path / str(deaths), patch) as world:
            fake = grown_hosts(world, patch)
            old = world.cloud.only("servers")["id"]
            fake.unhealthy = True
            world.expect_refusal("replace", "--yes")
            fake.unhealthy = False
            world.api.dies_after = len(world.api.changes) + deaths
            if world.run("replace", "--undo", "--yes").exit_code == 0:
                break
            world.api.dies_after = None
            if len(world.cloud.kinds["servers"]) == 2:
                world.ok("replace", "--undo", "--yes")
            assert world.cloud.only("servers")["id"] == old
            assert world.cloud.only("volumes")["server"] == old
    assert 3 <= deaths < 19


def test_a_server_without_need_or_volume_is_not_replaced(world: World) -> None:
    assert world.error("replace", "--yes").code == "refused.no_volume"
    world.ok("create", "--yes")
    before = len(world.api.changes)
    assert "--fresh" in world.ok("replace", "--yes")
    assert world.error("replace", "--undo", "--yes").code == "refused.nothing_to_undo"
    assert len(world.api.changes) == before


def test_a_server_whose_data_are_not_on_the_volume_is_not_replaced(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = grown_hosts(world, monkeypatch)
    fake.elsewhere = True
    before = len(world.api.changes)
    assert world.error("replace", "--yes").code == "command"
    assert len(world.api.changes) == before
