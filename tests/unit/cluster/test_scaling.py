"""Test the steps of scale-out and scale-in, with a host that records them."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from infisical_iac.backup import snapshot
from infisical_iac.cluster import change, deploy, scaling, stack
from infisical_iac.cluster.scaling import Direction, UnfinishedScaling
from infisical_iac.core import journal
from infisical_iac.core.agent import Question
from infisical_iac.core.errors import CheckFailed
from infisical_iac.core.settings import Settings
from infisical_iac.stack import compose, edge, keys, session
from infisical_iac.workspace import checks
from tests.unit.clusters import settings, site

_MANIFEST = {
    "format": 1,
    "at": "2026-11-26T10:11:12Z",
    "host": "node-1",
    "infisical": {"version": "v0.165.16"},
    "postgresql": {"version": "17.6"},
    "encryption_key": "0123456789abcdef",
    "rows": {"projects": 2},
}
_STAMP = "20261126T101112Z"


class _Host:
    """Record the scripts that are run, each by its name and its first argument."""

    name = "node-1"
    print_prefix = ""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.rows = "projects 2"
        self.unhealthy = ""
        self.served = ""
        self.given_up = ""

    def script(self, name: str, *arguments: str) -> str:
        return f"{name} {arguments[0]}"

    def perform(self, asked: Question[None], *, doing: str) -> None:
        (call,) = asked.calls
        self.steps.append(f"{json.loads(call.arguments)['topology']} dump")

    def run(self, command: str, *, doing: str, stdin: str | None = None) -> str:
        if command.startswith("cat /var/lib/infisical-scale/served "):
            return self.served
        self.steps.append(step := command)
        said = {"out take": json.dumps(_MANIFEST), "in take": json.dumps(_MANIFEST)}
        said |= {"out load": self.rows, "out back": self.given_up, "in end": "volume old"}
        return said.get(
            step.removeprefix("scale-"), self.unhealthy if step.endswith("wait") else ""
        )

    def wait(self, _: int) -> str:
        self.steps.append("wait")
        return self.unhealthy


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> _Host:
    made = _Host()
    monkeypatch.setattr(scaling, "perform", made.perform)
    for name, value in (("run", made.run), ("script", made.script), ("host", made)):
        monkeypatch.setattr(scaling, name, value)
    monkeypatch.setattr(journal, "host", made)
    monkeypatch.setattr(compose, "bring_up", lambda: made.steps.append("bring up"))
    monkeypatch.setattr(compose, "list_unhealthy", lambda _: made.unhealthy)
    monkeypatch.setattr(edge, "close_on", lambda _, names: made.steps.append(f"close {names}"))
    monkeypatch.setattr(edge, "close", lambda _: made.steps.append("close"))
    monkeypatch.setattr(edge, "open_", lambda: made.steps.append("open"))
    monkeypatch.setattr(edge, "open_on", lambda names: made.steps.append(f"open {names}"))
    monkeypatch.setattr(scaling, "with_others", lambda host: [host])
    monkeypatch.setattr(scaling, "write", lambda *_: None)
    monkeypatch.setattr(session, "forget", lambda: None)
    monkeypatch.setattr(checks, "record_before", lambda *_: None)
    monkeypatch.setattr(checks, "check_as_before", lambda *_, **__: ["Read as before: 1 secret."])
    monkeypatch.setattr(stack, "deploy", lambda: made.steps.append("deploy"))
    monkeypatch.setattr(stack, "deploy_part", lambda _: made.steps.append("deploy part"))
    monkeypatch.setattr(stack, "await_services", made.wait)
    monkeypatch.setattr(stack, "render_clients", lambda _: "services: {haproxy: {}, infisical: {}}")
    monkeypatch.setattr(snapshot, "clean", lambda *_: None)
    monkeypatch.setattr(snapshot, "load", lambda *_: {"projects": 2})
    return made


_NODES = ("node-1", "node-2", "node-3")
_CLOSE, _OPEN = f"close {_NODES}", f"open {_NODES}"
_PAUSED = [
    *("scale-out begin", "deploy part", "scale-out await_haproxy", "scale-out pause"),
    *("single dump", "scale-out take", "scale-out load"),
]


def test_the_cluster_takes_over_once_all_rows_are_loaded(host: _Host) -> None:
    scaling._move_out(site(), "chainalign")
    assert host.steps == [*_PAUSED, _CLOSE, "scale-out switch", "deploy part"]


def test_scale_in_switches_behind_a_closed_edge(host: _Host) -> None:
    scaling._move_in("", settings(topology="single"), "chainalign")
    assert host.steps[-2:] == ["close", "scale-in switch"]


def _known() -> Any:
    """Return the data that a run has on the leader of a cluster."""
    found = site()
    return SimpleNamespace(
        settings=found.settings,
        machine=found.machine,
        site=found,
        workspace=SimpleNamespace(project=SimpleNamespace(slug="chainalign")),
        leads=True,
        admin_password=None,
    )


def test_scale_in_asks_for_secrets_and_makes_the_keys_before_the_data_move(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The leader may never have led a deploy, and the settings may have a new secret."""
    steps: list[str] = []

    def record(what: Any, name: str) -> None:
        monkeypatch.setattr(what, name, lambda *_, **__: steps.append(name))

    monkeypatch.setattr(scaling, "preflight", lambda **_: _known())
    move_in: Any = scaling.move_in
    monkeypatch.setattr(scaling, "move_in", move_in._inner)
    monkeypatch.setattr(journal, "current", journal.Journal)
    record(compose, "image_set")
    for name in ("given_secrets", "make_keys", "inward_migration", "run_containers"):
        record(scaling, name)
    for name in ("prove", "remove_cluster", "record_run"):
        record(scaling, name)
    scaling.scaling_in()
    keys = ["given_secrets", "make_keys"]
    moved = ["image_set", "inward_migration", "run_containers"]
    assert steps == [*keys, *moved, "prove", "remove_cluster", "record_run"]


def test_a_scale_out_removes_unused_secrets_once_it_is_proven(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The single host would need them again; its inventory may have other settings."""
    steps: list[str] = []

    def record(what: Any, name: str) -> None:
        monkeypatch.setattr(what, name, lambda *_, **__: steps.append(name))

    for name in ("node_tasks", "networks", "services"):
        record(stack, name)
    record(change, "version_change")
    record(deploy, "end_interrupted")
    record(deploy, "follow_transactions")
    record(scaling, "proof")
    record(keys, "unused_secrets")
    take_over: Any = scaling.take_over
    take_over._inner(_known())
    prove: Any = scaling.prove
    prove._inner(_known(), "out")
    assert steps[-3:] == ["services", "proof", "unused_secrets"]
    prove._inner(_known(), "in")
    assert steps[-1] == "proof"


@pytest.mark.parametrize(
    ("direction", "topology", "opens"), [("out", "swarm", _OPEN), ("in", "single", "open")]
)
def test_the_serving_side_is_proven_and_opened(
    host: _Host, monkeypatch: pytest.MonkeyPatch, direction: Direction, topology: str, opens: str
) -> None:
    """The host has both databases meanwhile, with different secrets."""

    def pass_checks(
        serving: Settings, *_: object, open_edge: Callable[[], None], **__: object
    ) -> list[str]:
        host.steps.append(serving.cluster.topology)
        open_edge()
        return []

    monkeypatch.setattr(checks, "check_as_before", pass_checks)
    scaling._prove(direction, settings(), "chainalign", site().names)
    assert host.steps[:2] == [topology, opens]


def test_a_load_with_other_rows_is_refused_before_the_switch(host: _Host) -> None:
    host.rows = "projects 1"
    with pytest.raises(CheckFailed, match="projects"):
        scaling._move_out(site(), "chainalign")
    assert host.steps == _PAUSED


def test_a_scale_in_with_other_rows_is_refused(
    host: _Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "load", lambda *_: {"projects": 3})
    with pytest.raises(CheckFailed, match="projects"):
        scaling._move_in("", settings(topology="single"), "chainalign")
    assert host.steps == [
        "scale-in begin",
        "scale-in pause",
        "swarm dump",
        "scale-in take",
    ]


def test_an_unproven_migration_does_not_end(host: _Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_checks(*_: object, **__: object) -> list[str]:
        raise CheckFailed("the secrets can't be read")

    monkeypatch.setattr(checks, "check_as_before", fail_checks)
    with pytest.raises(CheckFailed):
        scaling._prove("out", settings(), "chainalign", site().names)
    assert host.steps == []


def test_the_scale_in_ends_after_the_cluster_is_removed(
    host: _Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = "Kept on node-2: volume infisical_patroni_before_x."

    def remove(stamp: str) -> list[str]:
        host.steps.append(f"remove {stamp}")
        return [kept]

    monkeypatch.setattr(scaling, "end_swarm", remove)
    assert scaling.end_cluster(UnfinishedScaling(_STAMP, "in", "proven")) == [
        kept,
        "Kept on node-1: volume old.",
    ]
    assert host.steps == [f"remove {_STAMP}", "scale-in end"]


@pytest.mark.parametrize(("phase", "stamp"), [("paused", ""), ("switched", _STAMP)])
def test_an_undone_scale_out_ends_after_its_cluster_is_removed(
    host: _Host, monkeypatch: pytest.MonkeyPatch, phase: str, stamp: str
) -> None:
    def remove(stamp: str) -> list[str]:
        host.steps.append(f"remove {stamp}")
        return []

    monkeypatch.setattr(scaling, "end_swarm", remove)
    found = UnfinishedScaling(_STAMP, "out", phase)
    data = f"its data of {_STAMP}" if phase == "switched" else "all its data"
    now, left = scaling.go_back(found, 60, removing_cluster=True)
    assert now.startswith("node-1 ")
    assert now.endswith(f" {data}.")
    assert "left the swarm" in left
    assert host.steps == [
        "scale-out back",
        "bring up",
        f"remove {stamp}",
        "open ['node-1']",
        "scale-out end",
    ]


def test_data_of_a_cluster_that_has_served_are_kept_by_an_undo(
    host: _Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier scale-out had switched, and was undone; the current scale-out has just begun."""
    host.served = "20261125T101112Z\n"
    kept: list[str] = []

    def remove(stamp: str) -> list[str]:
        kept.append(stamp)
        return []

    monkeypatch.setattr(scaling, "end_swarm", remove)
    scaling.go_back(UnfinishedScaling(_STAMP, "out", "begun"), 60, removing_cluster=True)
    assert kept == ["20261125T101112Z"]


def test_writes_to_the_cluster_are_reported_with_their_database(host: _Host) -> None:
    output = scaling.go_back(UnfinishedScaling(_STAMP, "out", "switched"), 60)
    assert "unknown number of writes" in output[1]
    assert "database infisical" in output[1]
    host.given_up = "given-up infisical 2026-11-26T10:12:00Z 3 image\n"
    output = scaling.go_back(UnfinishedScaling(_STAMP, "out", "switched"), 60)
    assert "3 writes since 2026-11-26T10:12:00Z" in output[1]
    assert "database infisical." in output[1]
    assert len(scaling.go_back(UnfinishedScaling(_STAMP, "out", "paused"), 60)) == 1


@pytest.mark.parametrize(
    ("direction", "steps"),
    [
        ("in", ["scale-in back", "deploy", "wait"]),
        ("out", ["scale-out back", "bring up"]),
    ],
)
def test_an_unhealthy_rollback_leaves_the_migration_unfinished(
    host: _Host, direction: Direction, steps: list[str]
) -> None:
    host.unhealthy = "infisical is restarting"
    with pytest.raises(CheckFailed, match="infisical is restarting"):
        scaling.go_back(UnfinishedScaling(_STAMP, direction, "paused"), 60)
    assert host.steps == steps


@pytest.mark.parametrize(
    ("direction", "phase", "served"),
    [
        ("out", "begun", False),
        ("out", "paused", False),
        ("out", "switching", True),
        ("out", "switched", True),
        ("out", "backing", True),
        ("in", "switched", False),
    ],
)
def test_a_cluster_may_have_served_from_the_start_of_the_switch(
    direction: Direction, phase: str, served: bool
) -> None:
    assert UnfinishedScaling(_STAMP, direction, phase).has_served is served
