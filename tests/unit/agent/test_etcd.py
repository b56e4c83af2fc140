"""Test how members of etcd are replaced, and how etcd is reset."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import etcd
from infisical_iac.agent.runner import Output
from tests.unit.agent.fake_runner import FakeRunner, docker_answers, docker_container

_PEER = "--peer-urls=https://etcd-2:2382"
_CONTAINERS = (
    docker_container("etcdid", swarm="infisical_etcd-1"),
    docker_container("pgid", swarm="infisical_postgres-1"),
    docker_container("formerid", project="infisical", service="postgres"),
)


def _member(id: int, name: str, peer: str) -> dict[str, Any]:
    found = {"ID": id, "peerURLs": [peer], "clientURLs": ["http://etcd-1:2379"]}
    return {**found, "name": name} if name else found


@dataclass(frozen=True)
class _Node(FakeRunner):
    """A node with etcd; `changes` has the changes that were requested of etcd and Docker."""

    members: list[dict[str, Any]] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    has_quorum: bool = True

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 0,
        environment: Mapping[str, str] = {},
    ) -> Output:
        match [*words]:
            case ["docker", "exec", "etcdid", "etcdctl", "endpoint", "health"]:
                return Output(0 if self.has_quorum else 1)
            case ["docker", "exec", "etcdid", "etcdctl", "member", "list", "--write-out=json"]:
                return Output(0, json.dumps({"members": self.members}))
            case ["docker", "exec", "etcdid", "etcdctl", "member", what, *options]:
                return self._change(what, options)
            case ["docker", "service" | "rm" | "volume", "rm" | "--force", *_]:
                self.changes.append(" ".join(words[1:]))
        return super().run(words, stdin=stdin)

    def _change(self, what: str, options: list[str]) -> Output:
        self.changes.append(" ".join([what, *options]))
        if not self.has_quorum:
            return Output(1)
        named = [each for each in self.members if f"{each['ID']:x}" == options[0]]
        if what == "remove":
            self.members.remove(named[0])
        if what == "update":
            named[0]["peerURLs"] = [options[1].removeprefix("--peer-urls=")]
        return Output(0)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits of a clock that only they advance."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(time, "monotonic", lambda: sum(waits))
    return waits


def _node(tmp_path: Path, *members: dict[str, Any], **more: Any) -> _Node:
    answers = {**more.pop("answers", {}), **docker_answers(*_CONTAINERS)}
    return _Node(tmp_path, answers=answers, members=[*members], **more)


def _fail(call: Any, host: _Node, **arguments: Any) -> str:
    """Return the sentence with which a call fails."""
    with pytest.raises(RuntimeError) as failed:
        call(host, **arguments)
    return str(failed.value.args[0].message)


def test_a_replaced_node_gets_a_new_member(tmp_path: Path) -> None:
    """The ids of members are 64 bits long."""
    host = _node(
        tmp_path,
        _member(0xAA1, "etcd-1", "http://etcd-1:2380"),
        _member(0xFFFFFFFFFFFFFFF1, "etcd-2", "http://etcd-2:2380"),
    )
    etcd.replace_member(host, number=2)
    assert host.changes == [
        "remove fffffffffffffff1",
        "add etcd-2 --peer-urls=http://etcd-2:2380",
    ]


def test_a_member_that_never_started_is_replaced(tmp_path: Path) -> None:
    """Such a member has no name yet."""
    host = _node(
        tmp_path,
        _member(0xAA1, "etcd-1", "http://etcd-1:2380"),
        _member(0xBB2, "", "http://etcd-2:2380"),
        _member(0xCC3, "etcd-22", "http://etcd-22:2380"),
    )
    etcd.replace_member(host, number=2)
    assert host.changes[0] == "remove bb2"


def test_a_replaced_node_joins_members_by_tls(tmp_path: Path) -> None:
    host = _node(
        tmp_path,
        _member(0xAA1, "etcd-1", "https://etcd-1:2382"),
        _member(0xBB2, "etcd-2", "http://etcd-2:2380"),
    )
    etcd.replace_member(host, number=2)
    assert host.changes == ["remove bb2", f"add etcd-2 {_PEER}"]


def test_members_switch_to_tls(tmp_path: Path) -> None:
    host = _node(
        tmp_path,
        _member(0xAA1, "etcd-1", "https://etcd-1:2382"),
        _member(0xBB2, "etcd-2", "http://etcd-2:2380"),
        _member(0xCC3, "", "http://etcd-3:2380"),
    )
    for _ in range(2):
        etcd.secure(host)
    assert host.changes == [
        f"update bb2 {_PEER}",
        "update cc3 --peer-urls=https://etcd-3:2382",
    ]


@pytest.mark.parametrize("members", [[], [_member(0xBB2, "etcd-2", "http://etcd-2:2380")]])
def test_the_run_ends_if_not_all_members_use_tls(
    tmp_path: Path, members: list[dict[str, Any]]
) -> None:
    """The next step removes the plain addresses, so a member with a plain address would be lost."""
    host = _node(tmp_path, *members, has_quorum=False)
    assert "by TLS" in _fail(etcd.secure, host)


def test_only_existing_services_are_removed(tmp_path: Path) -> None:
    names = ("infisical_etcd-1", "infisical_etcd-11", "infisical_postgres-2")
    listed = "".join(f'{{"Name": "{name}"}}\n' for name in names)
    host = _node(tmp_path, answers={"docker service ls": listed, "docker service rm": ""})
    etcd.stop(host, services=["etcd-1", "etcd-2", "postgres-2"])
    assert host.changes == [f"service rm infisical_{name}" for name in ("etcd-1", "postgres-2")]


def test_the_roll_out_waits_for_a_primary_in_etcd(tmp_path: Path, waits: list[float]) -> None:
    asked = "docker exec etcdid etcdctl get --print-value-only /patroni/infisical/leader"
    etcd.await_primary(_node(tmp_path, answers={asked: "postgres-2\n"}), seconds=30)
    assert waits == []
    said = _fail(etcd.await_primary, _node(tmp_path, answers={asked: "\n"}), seconds=30)
    assert "30 s" in said
    assert sum(waits) == 30


def test_without_a_quorum_no_member_is_removed(tmp_path: Path) -> None:
    member = _member(0xBB2, "etcd-2", "http://etcd-2:2380")
    host = _node(tmp_path, member, has_quorum=False)
    assert "quorum" in _fail(etcd.replace_member, host, number=2)
    assert host.changes == []


def test_a_node_without_etcd_replaces_no_member(tmp_path: Path) -> None:
    host = _Node(tmp_path, answers={"docker ps": ""})
    assert "etcd-2" in _fail(etcd.replace_member, host, number=2)


def test_a_returning_node_loses_its_earlier_etcd(tmp_path: Path) -> None:
    chosen = "--filter label=com.docker.stack.namespace=infisical --filter name=^infisical_etcd$"
    answers = {
        f"docker volume ls --quiet {chosen}": "infisical_etcd\n",
        "docker ps --all --quiet --no-trunc --filter volume=infisical_etcd": "aa1\nbb2\n",
        "docker inspect --format {{json .}} aa1 bb2": '{"Id": "aa1"}\n{"Id": "bb2"}\n',
        "docker rm": "",
        "docker volume rm": "",
    }
    host = _node(tmp_path, answers=answers)
    etcd.forget(host)
    assert host.changes == ["rm --force aa1 bb2", "volume rm --force infisical_etcd"]


def test_a_node_without_an_earlier_etcd_loses_nothing(tmp_path: Path) -> None:
    host = _node(tmp_path, answers={"docker volume ls": ""})
    etcd.forget(host)
    assert host.changes == []


def test_an_abandoned_etcd_is_marked_in_its_volume(tmp_path: Path) -> None:
    host = _node(tmp_path)
    etcd.abandon(host)
    mark = host.write("/var/lib/docker/volumes/infisical_etcd/_data/data", "").parents[1]
    assert not (mark / "abandoned").exists()
    etcd.abandon(host)
    assert (mark / "abandoned").exists()


def test_a_postgres_without_a_service_is_stopped(tmp_path: Path) -> None:
    """A container of the former single host is not the cluster's."""
    host = _node(tmp_path, answers={"docker rm": ""})
    assert "PostgreSQL of this node" in _fail(etcd.end_postgres, host)
    assert host.changes == ["rm --force pgid"]
    gone = _Node(tmp_path, answers={"docker rm": "", **docker_answers(_CONTAINERS[2])})
    etcd.end_postgres(gone)
    assert gone.changes == []


def test_a_postgres_is_not_considered_stopped_if_docker_does_not_answer(tmp_path: Path) -> None:
    assert "Docker" in _fail(etcd.end_postgres, _Node(tmp_path))
