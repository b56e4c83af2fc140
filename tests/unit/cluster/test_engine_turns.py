"""Test that engines restart one by one, each waiting for Swarm, etcd and PostgreSQL."""

import json
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from infisical_iac.agent.maintenance import DataCounts
from infisical_iac.cluster import site
from infisical_iac.core import connection, units
from infisical_iac.core.agent import Question
from infisical_iac.core.errors import CommandFailed, Refused
from infisical_iac.host.hardening import programs
from tests.unit.cluster.observed import cluster_of, converged_states, member
from tests.unit.settings_of import settings_of


def _describe(asked: Question[Any]) -> str:
    """Return the name of an observation, and its arguments in the order of their names."""
    (call,) = asked.calls
    words = map(str, json.loads(call.arguments).values())
    return " ".join([call.name.removeprefix("maintenance."), *words])


def test_the_next_engine_waits_for_the_services_of_the_last_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps: list[str] = []

    def ask(asked: Question[Any]) -> DataCounts:
        steps.append(_describe(asked))
        if "await_health" in steps[-1]:
            raise CommandFailed("healthy members: etcd 2")
        return DataCounts(3, 3)

    monkeypatch.setattr(site, "ask", ask)
    monkeypatch.setattr(site, "host", SimpleNamespace(name="node-1"))
    monkeypatch.setattr(units, "systemctl", lambda verb, unit: steps.append(f"{verb} {unit}"))
    monkeypatch.setattr(site, "_lost_hosts", [])
    with pytest.raises(Refused, match=r"node-1 .* 180 s .*healthy members: etcd 2") as refused:
        site.act_in_turn("restart", "docker.service")
    assert refused.value.code == "refused.not_converged"
    expected = ["check_spare", "restart docker.service", "await_health 3 3 180"]
    assert steps == expected
    # No other host of the run takes its turn.
    monkeypatch.setattr(site, "host", SimpleNamespace(name="node-2"))
    with pytest.raises(Refused, match=r"Docker on node-2 .* node-1 is back") as refused:
        site.act_in_turn("restart", "docker.service")
    assert refused.value.code == "refused.node_missing"
    assert steps == expected


def test_an_engine_that_is_needed_is_not_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    restarted: list[str] = []

    def ask(_: object) -> None:
        raise CommandFailed("another node is unreachable")

    monkeypatch.setattr(site, "ask", ask)
    monkeypatch.setattr(site, "host", SimpleNamespace(name="node-1"))
    monkeypatch.setattr(units, "systemctl", lambda verb, _: restarted.append(verb))
    with pytest.raises(Refused, match=r"Docker on node-1 .* node is unreachable") as refused:
        site.act_in_turn("restart", "docker.service")
    assert refused.value.code == "refused.engine_needed"
    assert restarted == []
    site.act_in_turn("start", "docker.service")
    assert restarted == ["start"]


@pytest.mark.parametrize(
    ("missed", "expected"),
    [
        (0, ["await_node id2 30"]),
        (1, ["await_node id2 30", "restart docker.service", "await_node id2 120"]),
    ],
)
def test_an_engine_that_the_swarm_considers_down_is_restarted(
    monkeypatch: pytest.MonkeyPatch, missed: int, expected: list[str]
) -> None:
    steps: list[str] = []

    def ask(asked: Question[None]) -> None:
        steps.append(_describe(asked))
        if len(steps) <= missed:
            raise CommandFailed("the swarm still reports it as down")

    monkeypatch.setattr(site, "ask", ask)
    monkeypatch.setattr(connection, "on", lambda _: nullcontext())
    monkeypatch.setattr(units, "systemctl", lambda verb, unit: steps.append(f"{verb} {unit}"))
    observed = converged_states(member(1, "one"), member(2, "two", down=True), member(3, "three"))
    cluster = cluster_of(observed, me="two")
    assert [each.name for each in cluster.nodes if each.is_cut_off] == ["two"]
    site._bring_back(cluster)
    assert steps == expected


def test_an_engine_whose_node_may_be_needed_is_not_restarted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    restarted: list[str] = []

    def ask(_: object) -> None:
        raise CommandFailed("the swarm still reports it as down")

    monkeypatch.setattr(site, "ask", ask)
    monkeypatch.setattr(site, "host", SimpleNamespace(name="two"))
    monkeypatch.setattr(connection, "on", lambda _: nullcontext())
    monkeypatch.setattr(units, "systemctl", lambda verb, _: restarted.append(verb))
    observed = converged_states(
        member(1, "one"), member(2, "two", down=True), member(3, "three", down=True)
    )
    with pytest.raises(Refused, match=r"Docker on two .* three .*reports it as down") as refused:
        site._bring_back(cluster_of(observed, me="two"))
    assert refused.value.code == "refused.node_missing"
    assert restarted == []


def test_a_locked_or_unreachable_node_is_not_considered_cut_off() -> None:
    observed = converged_states(
        member(1, "one"), member(2, "two", down=True), member(3, "three", down=True)
    )
    observed["two"] = replace(observed["two"], state="locked", id="")
    del observed["three"]
    assert not any(each.is_cut_off for each in cluster_of(observed).nodes)


def test_the_maintenance_unit_of_a_node_waits_for_its_turn() -> None:
    def unit(turn: int | None) -> str:
        files = {file.path.rpartition("/")[2]: file for file in programs(settings_of(), turn)}
        return files["infisical-maintenance.service"].content

    assert "ExecStartPre" not in unit(None)
    assert "TimeoutStartSec=4h" in unit(None)
    assert "--maintenance turn 2'\n" in unit(2)
    assert "TimeoutStartSec=6h" in unit(2)
