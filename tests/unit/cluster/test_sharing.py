"""Test which hosts get the leader's state, and under which serial."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from infisical_iac.agent.membership import SwarmState
from infisical_iac.cluster import membership, shared_state
from infisical_iac.cluster.shared_state import Sharing, claim, plan_sharing
from infisical_iac.core import connection, journal
from infisical_iac.core.agent import Question
from infisical_iac.core.change import UpToDate
from tests.unit.cluster.observed import NAMES, bare, cluster_of, converged_states, member, three
from tests.unit.operations.cases import Case, decide, of

_SHARED = {"keys/encryption_key": [384, "b2J2aW91c2x5LWZha2U="]}
_TAKEN_BY_TWO = ("two", "shared_state.take", {"serial": 5, "shared": _SHARED})
_TAKEN_BY_THREE = ("three", "shared_state.take", {"serial": 5, "shared": _SHARED})
_COPY_TO_TWO = "~ /etc/infisical on two: serial 4 → 5, from one"
_COPY_TO_THREE = "~ /etc/infisical on three: serial 4 → 5, from one"
_LEADER = SwarmState(serial=4, serial_as_leader=4, digest="state")
_OTHER = SwarmState(serial=4, digest="state")
_NEW = SwarmState()


def test_hosts_with_one_state_and_serial_need_no_copy() -> None:
    assert plan_sharing(_LEADER, {"two": _OTHER, "three": _OTHER}) == Sharing(4, ())


def test_a_leader_with_changes_raises_the_serial_for_all() -> None:
    changed = replace(_LEADER, digest="changed")
    found = plan_sharing(changed, {"two": _OTHER, "three": _OTHER})
    assert found == Sharing(5, ("two", "three"))


def test_a_returning_host_gets_the_state_under_the_current_serial() -> None:
    stale = replace(_OTHER, serial=3, digest="older")
    assert plan_sharing(_LEADER, {"two": _OTHER, "three": stale}) == Sharing(4, ("three",))


def test_a_new_host_gets_the_state() -> None:
    assert plan_sharing(_LEADER, {"two": _OTHER, "three": _NEW}) == Sharing(4, ("three",))


def test_a_host_with_an_altered_state_is_corrected() -> None:
    wrong = replace(_OTHER, digest="meddled")
    assert plan_sharing(_LEADER, {"two": _OTHER, "three": wrong}) == Sharing(5, ("two", "three"))


def test_an_interrupted_copy_is_completed() -> None:
    raised = replace(_LEADER, serial=5, serial_as_leader=5, digest="changed")
    reached = replace(_OTHER, serial=5, digest="changed")
    torn = replace(_OTHER, serial=0, digest="torn")
    found = plan_sharing(raised, {"two": reached, "three": torn})
    assert found == Sharing(5, ("three",))


def test_an_empty_state_is_not_shared() -> None:
    assert plan_sharing(_NEW, {"two": _NEW}) == Sharing(0, ())


def test_the_last_leader_keeps_its_serial() -> None:
    assert claim(_LEADER, {"two": _OTHER}) == 4


def test_a_new_leader_has_a_higher_serial_than_the_former_one() -> None:
    assert claim(_OTHER, {"three": _OTHER}) == 5
    assert claim(_NEW, {"two": _NEW}) == 1
    assert claim(_NEW, {}) == 1


def test_a_leader_exceeds_a_higher_serial_of_a_worker() -> None:
    assert claim(_LEADER, {"four": replace(_OTHER, serial=7)}) == 8


def test_a_node_without_data_gets_no_secret() -> None:
    names = (*NAMES, "four")
    observed = converged_states(*(member(number, name) for number, name in enumerate(names, 1)))
    cluster = cluster_of(observed, inventory=names)
    assert shared_state._split_states(cluster, observed)[1].keys() == {"two", "three"}


def test_a_future_data_node_gets_the_state() -> None:
    lost = converged_states(member(1, "one"), member(2, "two", down=True), member(3, "three"))
    observed = {name: lost[name] for name in ("one", "three")} | {"four": bare(4)}
    cluster = cluster_of(observed, inventory=("one", "four", "three"))
    assert shared_state._split_states(cluster, observed)[1].keys() == {"three", "four"}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Any]]:
    """The calls of the agent, each with its host and its arguments."""
    made: list[tuple[str, str, Any]] = []
    current = ["one"]

    def ask(asked: Question[Any], **_: str) -> Any:
        (call,) = asked.calls
        made.append((current[-1], call.name, json.loads(call.arguments)))
        return _SHARED if call.name == "shared_state.give" else None

    @contextmanager
    def on(name: str) -> Iterator[None]:
        current.append(name)
        yield
        current.pop()

    monkeypatch.setattr(shared_state, "ask", ask)
    monkeypatch.setattr(shared_state, "perform", ask)
    monkeypatch.setattr(connection, "on", on)
    return made


def _observe(monkeypatch: pytest.MonkeyPatch, observed: dict[str, SwarmState]) -> None:
    monkeypatch.setattr(membership, "observe_again", lambda: observed)


def _change(observed: dict[str, SwarmState]) -> dict[str, SwarmState]:
    return {**observed, "one": replace(observed["one"], digest="changed")}


def test_a_changed_state_is_copied_after_its_new_serial_is_recorded_on_the_leader(
    calls: list[tuple[str, str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise another host would lead if the run were killed while it copies the state."""
    _observe(monkeypatch, _change(three()))
    assert shared_state.spread(cluster_of(three())) == ("two", "three")
    assert calls == [
        ("one", "shared_state.lead", {"serial": 5}),
        ("one", "shared_state.give", {}),
        _TAKEN_BY_TWO,
        _TAKEN_BY_THREE,
    ]


def test_a_command_without_changes_on_the_leader_copies_no_state(
    calls: list[tuple[str, str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _observe(monkeypatch, three())
    assert shared_state.spread(cluster_of(three())) == ()
    assert calls == []


def _plan(
    monkeypatch: pytest.MonkeyPatch,
    observed: dict[str, SwarmState],
    *,
    has_changed: bool = False,
    planned: str = "",
) -> Case:
    """Return the decision on copies in a run that made changes, or planned the change `planned`."""
    monkeypatch.setattr(journal, "current", lambda: SimpleNamespace(has_changed=has_changed))
    monkeypatch.setattr(journal, "will_change", lambda what: what == planned)
    return decide(Case(lambda: of(shared_state.state_copies)(cluster_of(observed))))


def test_nodes_are_observed_again_after_the_run_has_changed_the_leader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _observe(monkeypatch, _change(three()))
    unchanged = _plan(monkeypatch, three())
    assert (unchanged.items, unchanged.steps) == ((), ())
    changed = _plan(monkeypatch, three(), has_changed=True)
    assert changed.items == (
        _COPY_TO_TWO,
        _COPY_TO_THREE,
    )
    assert changed.steps == ("spread",)


def test_a_copy_that_an_earlier_step_plans_is_planned_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    observed = _change(three())
    plan = _plan(monkeypatch, observed, planned="/etc/infisical on two")
    assert plan.items == (_COPY_TO_THREE,)
    assert plan.steps == ("spread",)


def test_only_the_leader_shares_its_state() -> None:
    observed = _change(three())
    (found,) = shared_state.decide(cluster_of(observed, me="two"), observed)
    assert isinstance(found, UpToDate)
    assert "one" in found


def test_the_last_step_of_a_deploy_copies_the_state_of_its_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copied: list[dict[str, Any]] = []
    monkeypatch.setattr(shared_state, "state_copies", lambda **given: copied.append(given))
    cluster = cluster_of(three())
    shared_state.share._inner(cluster=cluster)
    assert [each["cluster"] for each in copied] == [cluster]


def test_a_blocked_stack_blocks_the_copying_of_the_leaders_state() -> None:
    """Copying would bring the leader's losses to all nodes."""
    part: Any = shared_state.share._inner
    name = f"{part.deploy_name} | Share the leader's keys"
    assert journal.needs(name, "Stack | Make keys", unseen=False)
