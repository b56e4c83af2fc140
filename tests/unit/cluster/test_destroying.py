"""Test the order in which a cluster is removed, and the report of a failing host."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pyinfra.api.host import Host
from pyinfra.context import ctx_host, host

from infisical_iac.cluster import deploy, swarm
from infisical_iac.core.connection import current
from infisical_iac.core.errors import CommandFailed


@pytest.fixture
def leader(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """The first of three hosts, which are handled one by one."""
    hosts = [SimpleNamespace(name=name) for name in ("one", "two", "three")]
    for each in hosts:
        each.state = SimpleNamespace(inventory=hosts, active_hosts=hosts)

    def each_of(hosts: list[Host], call: Callable[[Host], Any]) -> list[Any]:
        found = []
        for each in hosts:
            with current(each):
                found.append(call(each))
        return found

    monkeypatch.setattr(deploy, "each_of", each_of)
    with ctx_host.use(hosts[0]):
        yield cast("Host", hosts[0])


def _play(
    monkeypatch: pytest.MonkeyPatch, *, fails: str = "", removes: str = "removed"
) -> list[str]:
    """Fake each step on a host; return the steps with the host's name."""
    done: list[str] = []

    def run(_: object, *, doing: str) -> str:
        done.append(f"{host.name}: {doing}")
        if done[-1] == fails:
            raise CommandFailed("no")
        return removes

    for name in ("run", "perform"):
        monkeypatch.setattr(deploy, name, run)
    monkeypatch.setattr(swarm, "perform", run)
    return done


_LEAVE = "take the host out of the swarm"


def test_the_hosts_leave_the_swarm_one_by_one_and_the_leader_last(
    leader: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = _play(monkeypatch)
    deploy.ClusterRemoval("hetzner", leader=leader).remove(volumes=True)
    left = [each for each in done if each.endswith(_LEAVE)]
    assert left == [f"two: {_LEAVE}", f"three: {_LEAVE}", f"one: {_LEAVE}"]
    removed = [number for number, each in enumerate(done) if each.endswith("remove the volumes")]
    assert len(removed) == 3
    assert min(removed) > done.index(left[-1])


@pytest.mark.parametrize(("removes", "first"), [("removed", True), ("", False)])
def test_without_a_working_manager_containers_end_as_the_hosts_leave(
    leader: Host, monkeypatch: pytest.MonkeyPatch, removes: str, first: bool
) -> None:
    done = _play(monkeypatch, removes=removes)
    deploy.ClusterRemoval("hetzner", leader=leader).remove(volumes=True)
    ended = [
        number
        for number, each in enumerate(done)
        if each.endswith("wait until the containers have stopped")
    ]
    assert (ended[0] < done.index(f"two: {_LEAVE}")) is first
    assert ended[-1] > done.index(f"one: {_LEAVE}")


def test_a_removal_that_keeps_the_data_keeps_the_swarm(
    leader: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = _play(monkeypatch)
    deploy.ClusterRemoval("hetzner", leader=leader).remove(volumes=False)
    assert "one: remove the services" in done
    assert not any(_LEAVE in each for each in done)


def test_a_host_that_does_not_leave_is_named_and_no_data_are_removed(
    leader: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = _play(monkeypatch, fails=f"three: {_LEAVE}")
    with pytest.raises(CommandFailed, match=r"^three: no$"):
        deploy.ClusterRemoval("hetzner", leader=leader).remove(volumes=True)
    assert not any(each.endswith("remove the volumes") for each in done)
