"""Test how the edges of all nodes are closed and opened together, and reported if that fails."""

from pathlib import Path

import pytest

from infisical_iac.agent import edges
from infisical_iac.agent.runner import Failure
from tests.unit.agent.fake_primary import FakePrimary


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePrimary:
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(edges, "_SECONDS", 0)
    made = FakePrimary(tmp_path)
    made.begin(infisical="data")
    return made


def _failure(error: pytest.ExceptionInfo[RuntimeError]) -> Failure:
    found: Failure = error.value.args[0]
    return found


def test_all_edges_are_closed_and_opened_by_a_job(host: FakePrimary) -> None:
    edges.close(host)
    assert (host.read()["edge"], host.read()["edges"]) == ("closed", [])
    assert edges.open_all(host) == []
    assert (host.read()["edge"], host.read()["edges"]) == ("open", [])


def test_a_node_that_the_swarm_does_not_reach_stays_as_it_is(host: FakePrimary) -> None:
    host.nodes[2] = ("down", {})
    edges.close(host)
    assert host.read()["edge"] == "closed"


def test_a_node_that_is_down_when_the_others_are_opened_is_named(host: FakePrimary) -> None:
    """It may have been closed before."""
    host.nodes[1:] = [("down", {}), ("ready", {})]
    assert edges.open_all(host) == ["host-1: it is down"]


def test_a_node_that_does_not_close_its_edge_is_named(
    host: FakePrimary, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = {"n0": ("Complete", ""), "n1": ("Rejected", "no such path")}
    monkeypatch.setattr(edges, "_list_tasks", lambda _: tasks)
    with pytest.raises(RuntimeError) as refused:
        edges.close(host)
    failure = _failure(refused)
    assert failure.code == "command.close_edge"
    assert "host-0" not in failure.message
    assert "host-1: Rejected" in failure.message
    assert "host-2" in failure.message
    opened = edges.open_all(host)
    assert [each.partition(":")[0] for each in opened] == ["host-1", "host-2"]


def test_no_edge_that_opens_is_an_error(host: FakePrimary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "_list_tasks", lambda _: {})
    with pytest.raises(RuntimeError) as refused:
        edges.open_all(host)
    assert _failure(refused).code == "command.open_edge"


def test_the_job_of_a_killed_run_is_removed_first(host: FakePrimary) -> None:
    host.change(edges=[{"Node": "n0", "CurrentState": "Failed now", "Error": ""}])
    edges.close(host)
    assert host.read()["edge"] == "closed"
