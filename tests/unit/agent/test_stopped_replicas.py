"""Test that Infisical's replicas are stopped before data change, or an error is raised."""

from pathlib import Path

import pytest

from infisical_iac.agent import rollout
from tests.unit.agent.fake_primary import FakePrimary


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePrimary:
    monkeypatch.setattr("time.sleep", lambda _: None)
    made = FakePrimary(tmp_path)
    made.begin(infisical="data")
    return made


def test_a_running_replica_is_waited_for(host: FakePrimary) -> None:
    host.lasting[0] = 3
    rollout.stop_replicas(host)
    assert (host.read()["replicas"], host.lasting[0]) == (0, -1)


def test_a_swarm_without_a_leader_does_not_count_as_without_replicas(
    host: FakePrimary, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.lasting[0] = 1
    host.failing.append("node ls")
    monkeypatch.setattr("time.sleep", lambda _: host.failing.clear())
    rollout.stop_replicas(host)
    assert host.lasting[0] == -1


def test_a_replica_on_a_lost_node_is_not_waited_for(host: FakePrimary) -> None:
    host.lasting[0] = 1000
    host.nodes[1] = ("down", {})
    rollout.stop_replicas(host)
    assert host.read()["replicas"] == 0


@pytest.mark.parametrize(
    ("failing", "message"), [("service ls", "majority"), ("", "not stop on host-1")]
)
def test_a_replica_that_cannot_be_stopped_is_an_error(
    host: FakePrimary, monkeypatch: pytest.MonkeyPatch, failing: str, message: str
) -> None:
    monkeypatch.setattr(rollout, "_STOP_SECONDS", 0)
    host.lasting[0] = 1000
    host.failing.extend([failing] if failing else [])
    with pytest.raises(RuntimeError) as refused:
        rollout.stop_replicas(host)
    assert message in refused.value.args[0].message
