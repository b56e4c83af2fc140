"""Test that networks of the stack are removed once they are unused."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from infisical_iac.agent import networks
from infisical_iac.agent.runner import Output
from tests.unit.agent.fake_runner import FakeRunner, docker_answers, docker_container

_EDGE = "infisical-edge"
_USERS = ("infisical_haproxy", "infisical_etcd-1", "infisical_postgres-1")
_NODES = (("s1", "Ready"), ("s2", "Down"))


@dataclass(frozen=True)
class _Manager(FakeRunner):
    """A manager with services and networks; each listing of tasks is one task shorter.

    Attributes:
        tasks: node and state of the tasks.
        refusals: how often Docker refuses to remove a network.
        changes: the changes that were requested.
    """

    there: list[str] = field(default_factory=lambda: [*_USERS[:2], _EDGE])
    tasks: list[tuple[str, str]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 0,
        environment: Mapping[str, str] = {},
    ) -> Output:
        match [*words]:
            case ["docker", "service" | "network", "inspect", name]:
                return Output(0 if name in self.there else 1)
            case ["docker", "service", "scale", "--detach", asked]:
                name = asked.removesuffix("=0")
                if name == "infisical_haproxy":
                    return Output(1, errors="global service")
                self.changes.append(f"stop {name}")
                return Output(0)
            case ["docker", "service", "update", *_, "node.role==nobody", name]:
                self.changes.append(f"stop {name}")
                return Output(0)
            case ["docker", "node", "ls", *_]:
                listed = [{"Hostname": name, "Status": status} for name, status in _NODES]
                return Output(0, "".join(f"{json.dumps(each)}\n" for each in listed))
            case ["docker", "service", "ps", *_]:
                listed = [{"Node": node, "CurrentState": state} for node, state in self.tasks]
                del self.tasks[:1]
                return Output(0, "".join(f"{json.dumps(each)}\n" for each in listed))
            case ["docker", "network", "rm", _] if self.refusals:
                return Output(1, errors=self.refusals.pop())
            case ["docker", "service" | "network", "rm", *names]:
                for name in names:
                    self.there.remove(name)
                    self.changes.append(f"rm {name}")
                return Output(0)
        return super().run(words, stdin=stdin)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits of a clock that only they advance."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(time, "monotonic", lambda: sum(waits))
    return waits


_STOPPED = ["stop infisical_haproxy", "stop infisical_etcd-1"]
_REMOVED = ["rm infisical_haproxy", "rm infisical_etcd-1", f"rm {_EDGE}"]


def test_a_network_is_removed_after_its_last_container_ended(tmp_path: Path) -> None:
    tasks = [
        ("s1", "Running 2 hours ago"),
        ("s1", "Shutdown 1 second ago"),
        ("s2", "Running 1 second ago"),
        ("", "Pending 1 second ago"),
    ]
    host = _Manager(tmp_path, tasks=tasks, refusals=["has active endpoints"] * 3)
    networks.remove(host, services=_USERS, networks=[_EDGE])
    assert host.changes == [*_STOPPED, *_REMOVED]


def test_a_running_container_keeps_service_and_network(tmp_path: Path, waits: list[float]) -> None:
    host = _Manager(tmp_path, tasks=[("s1", "Running 2 hours ago")] * 400)
    with pytest.raises(RuntimeError) as late:
        networks.remove(host, services=_USERS, networks=[_EDGE])
    assert "s1 Running" in late.value.args[0].message
    assert host.changes == _STOPPED
    assert sum(waits) == 180


def test_a_network_in_use_is_reported(tmp_path: Path) -> None:
    host = _Manager(tmp_path, refusals=["has active endpoints"] * 400)
    with pytest.raises(RuntimeError) as refused:
        networks.remove(host, services=_USERS, networks=[_EDGE])
    assert "has active endpoints" in refused.value.args[0].message
    assert _EDGE in host.there


def test_a_swarm_that_does_not_answer_is_waited_for(tmp_path: Path) -> None:
    assert networks.list_left(FakeRunner(tmp_path), _USERS) != []


def test_redis_has_a_master_once_one_of_the_servers_is_it(
    tmp_path: Path, waits: list[float]
) -> None:
    container = docker_container("redisid", swarm="infisical_redis-2")
    for roles, waited in (("slave\nslave\nmaster\n", 0), ("slave\nslave\n", 120)):
        answers = {"docker exec redisid sh -c": roles, **docker_answers(container)}
        host = FakeRunner(tmp_path, answers=answers)
        if waited:
            with pytest.raises(RuntimeError):
                networks.await_master(host, seconds=120)
        else:
            networks.await_master(host, seconds=120)
        assert sum(waits) == waited
