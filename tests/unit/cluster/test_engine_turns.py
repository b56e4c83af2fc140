"""Test that engines restart one by one, each waiting for Swarm, etcd and PostgreSQL."""

import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from infisical_iac.cluster import site
from infisical_iac.core import connection, units
from infisical_iac.core.errors import CommandFailed, Refused
from infisical_iac.core.rendering import script
from tests.unit.cluster.observed import cluster_of, converged_states, member
from tests.unit.cluster.swarm_host import MANAGER
from tests.unit.fake_programs import fake_docker, run_with

_DOCKER = """
"node inspect"*) take_line states ;;
"exec etcdid"*) for member in $(cat "$HOST/etcd"); do echo "$member is healthy: took"; done ;;
"""
_LEADER = '{"name": "postgres-1", "role": "leader", "state": "running"}'
_STANDBY = '{"name": "postgres-2", "role": "sync_standby", "state": "streaming"}'
_BEHIND = '{"name": "postgres-2", "role": "replica", "state": "starting"}'

Engine = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fake(tmp_path: Path) -> Engine:
    """Return a function that runs the script on a manager with a fake Docker and its files."""
    fake_docker(tmp_path, _DOCKER + MANAGER)

    def run(*step: str, **files: str) -> subprocess.CompletedProcess[str]:
        texts = {
            "info": "active true\n",
            "nodes": "Ready Active Leader\nReady Active Reachable\n",
            "services": "infisical_etcd-1 1/1\n",
            "etcd": "etcd-1 etcd-2 etcd-3",
            "patroni": f"[{_LEADER}, {_STANDBY}]",
            **files,
        }
        for name, text in texts.items():
            (tmp_path / name).write_text(text)
        return run_with(tmp_path, script("engine", *step))

    return run


def test_data_services_are_counted_before_a_restart(fake: Engine) -> None:
    assert fake("ready").stdout == "3 2\n"


def test_a_host_without_data_waits_for_no_data_service(fake: Engine) -> None:
    assert fake("ready", **{"docker ps": ""}).stdout == "0 0\n"


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (
            {"nodes": "Ready Active Leader\nDown Active Unreachable\n"},
            "another node is unreachable",
        ),
        ({"etcd": "etcd-1 etcd-2"}, "2 members of etcd"),
        ({"etcd": ""}, "0 members of etcd"),
    ],
)
def test_a_restart_that_would_end_a_majority_is_refused(
    fake: Engine, files: dict[str, str], why: str
) -> None:
    done = fake("ready", **files)
    assert (done.returncode, done.stdout) == (1, "")
    assert why in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("files", "converged"),
    [
        ({}, True),
        ({"etcd": "etcd-1 etcd-2"}, False),
        ({"patroni": f"[{_LEADER}, {_BEHIND}]"}, False),
        ({"nodes": "Ready Active Leader\nDown Active \n"}, False),
        ({"info": "active false\n", "docker ps": ""}, False),
    ],
)
def test_as_many_data_services_as_before_are_waited_for(
    fake: Engine, files: dict[str, str], converged: bool
) -> None:
    assert (fake("await_health", "0", "3", "2", **files).returncode == 0) is converged


def test_services_that_were_missing_before_are_not_waited_for(fake: Engine) -> None:
    assert fake("await_health", "0", "1", "1", etcd="etcd-1", patroni=_LEADER).returncode == 0


def test_the_next_engine_waits_for_the_services_of_the_last_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps: list[str] = []

    def run(command: str, *, doing: str) -> str:
        steps.append(command)
        if command.startswith("await_health"):
            raise CommandFailed(f"could not {doing}: healthy members: etcd 2")
        return "3 3\n"

    monkeypatch.setattr(site, "run", run)
    monkeypatch.setattr(site, "host", SimpleNamespace(name="node-1"))
    monkeypatch.setattr(site, "script", lambda _, *arguments: " ".join(arguments))
    monkeypatch.setattr(units, "systemctl", lambda verb, unit: steps.append(f"{verb} {unit}"))
    monkeypatch.setattr(site, "_lost_hosts", [])
    with pytest.raises(Refused, match=r"node-1 .* 180 s .* healthy members: etcd 2") as refused:
        site.act_in_turn("restart", "docker.service")
    assert refused.value.code == "refused.not_converged"
    expected = ["ready", "restart docker.service", "await_health 180 3 3"]
    assert steps == expected
    # No other host of the run takes its turn.
    monkeypatch.setattr(site, "host", SimpleNamespace(name="node-2"))
    with pytest.raises(Refused, match=r"Docker on node-2 .* node-1 is back") as refused:
        site.act_in_turn("restart", "docker.service")
    assert refused.value.code == "refused.node_missing"
    assert steps == expected


def test_an_engine_that_is_needed_is_not_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    restarted: list[str] = []

    def run(_: str, *, doing: str) -> str:
        raise CommandFailed(f"could not {doing}: another node is unreachable")

    monkeypatch.setattr(site, "run", run)
    monkeypatch.setattr(site, "host", SimpleNamespace(name="node-1"))
    monkeypatch.setattr(units, "systemctl", lambda verb, _: restarted.append(verb))
    with pytest.raises(Refused, match=r"Docker on node-1 .* node is unreachable") as refused:
        site.act_in_turn("restart", "docker.service")
    assert refused.value.code == "refused.engine_needed"
    assert restarted == []
    site.act_in_turn("start", "docker.service")
    assert restarted == ["start"]


def test_the_swarm_gets_time_to_reach_a_node(fake: Engine) -> None:
    assert fake("seen", "id1", "5", states="down\nready\n").returncode == 0
    done = fake("seen", "id1", "0", states="down\nready\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "`journalctl -u docker`" in done.stderr


@pytest.mark.parametrize(
    ("missed", "expected"),
    [
        (0, ["seen id2 30"]),
        (1, ["seen id2 30", "restart docker.service", "seen id2 120"]),
    ],
)
def test_an_engine_that_the_swarm_considers_down_is_restarted(
    monkeypatch: pytest.MonkeyPatch, missed: int, expected: list[str]
) -> None:
    steps: list[str] = []

    def run(command: str, *, doing: str) -> str:
        steps.append(command)
        if len(steps) <= missed:
            raise CommandFailed(f"could not {doing}: the swarm still reports it as down")
        return ""

    monkeypatch.setattr(site, "run", run)
    monkeypatch.setattr(site, "script", lambda _, *arguments: " ".join(arguments))
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

    def run(_: str, *, doing: str) -> str:
        raise CommandFailed(f"could not {doing}: the swarm still reports it as down")

    monkeypatch.setattr(site, "run", run)
    monkeypatch.setattr(site, "host", SimpleNamespace(name="two"))
    monkeypatch.setattr(connection, "on", lambda _: nullcontext())
    monkeypatch.setattr(units, "systemctl", lambda verb, _: restarted.append(verb))
    observed = converged_states(
        member(1, "one"), member(2, "two", down=True), member(3, "three", down=True)
    )
    with pytest.raises(Refused, match=r"Docker on two .* three .*could not ") as refused:
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
