"""Test the leader's changes of the swarm and its nodes."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from infisical_iac.agent.system import UnitState
from infisical_iac.cluster import swarm
from infisical_iac.cluster.swarm import differing_settings, removals, updates, with_members
from infisical_iac.cluster.swarm_state import FORMER
from infisical_iac.core import connection
from infisical_iac.core.errors import CheckFailed
from infisical_iac.core.files import File
from tests.unit.cluster.observed import bare, cluster_of, converged_states, member, three
from tests.unit.operations.cases import Case, decide


def test_a_converged_swarm_needs_no_change() -> None:
    cluster = cluster_of(three())
    assert [*updates(cluster), *removals(cluster)] == []
    assert differing_settings(three()["one"]) == []


def test_an_unlocked_swarm_or_a_longer_certificate_is_a_difference() -> None:
    there = replace(three()["one"], autolock=False, expiry=90 * 24 * 3600)
    assert differing_settings(there) == [
        "autolock off → on",
        "certificates end after 2160 → 720 hours",
    ]


def test_a_drained_node_is_activated() -> None:
    observed = converged_states(
        member(1, "one"), member(2, "two", active=False), member(3, "three")
    )
    [update] = updates(cluster_of(observed))
    assert update.arguments == ("update", "--availability", "active", "id2")
    assert (update.node, update.why) == ("two", "drained → active")


def test_missing_or_wrong_labels_are_set() -> None:
    observed = converged_states(member(1, "one"), member(2, "two", joined=""), member(3, "three"))
    observed["one"] = replace(
        observed["one"], members=(member(1, "one"), member(2, "x"), member(3, "three"))
    )
    [update] = updates(cluster_of(observed))
    assert update.arguments == ("update", "--label-add", "infisical.host=two", "id2")
    assert update.why == "infisical.host x → two"


def test_missing_kernel_features_are_labelled_and_kept_while_the_host_is_unreachable() -> None:
    observed = converged_states(
        member(1, "one"), member(2, "two"), member(3, "three", lacks="ipvs")
    )
    del observed["three"]
    observed["two"] = replace(observed["two"], esp=False)
    [update] = updates(cluster_of(observed))
    assert update.arguments == ("update", "--label-add", "infisical.lacks=esp", "id2")
    there = converged_states(member(1, "one"), member(2, "two", lacks="esp"), member(3, "three"))
    [update] = updates(cluster_of(there))
    assert update.arguments == ("update", "--label-rm", "infisical.lacks", "id2")


def test_data_nodes_are_managers_and_other_nodes_are_not() -> None:
    observed = converged_states(
        member(1, "one"),
        member(2, "two", manager=False),
        member(3, "three"),
        member(4, "four", manager=True),
    )
    found = [*updates(cluster_of(observed, inventory=("one", "two", "three", "four")))]
    assert [(each.node, each.arguments[1:3]) for each in found] == [
        ("two", ("--role", "manager")),
        ("four", ("--role", "worker")),
    ]


def test_a_lost_node_is_demoted_before_it_is_removed() -> None:
    observed = converged_states(member(1, "one"), member(2, "two", down=True), member(3, "three"))
    found = removals(cluster_of({**observed, "two": bare(9)}))
    assert [each.arguments for each in found] == [("demote", "id2"), ("rm", "--force", "id2")]


def test_nodes_that_have_just_joined_get_their_labels() -> None:
    cluster = cluster_of({name: bare(n) for n, name in enumerate(("one", "two", "three"), 1)})
    read_stack_again = [
        member(n, "", number=0, joined="", leader=False, manager=True) for n in (1, 2, 3)
    ]
    now = with_members(cluster, read_stack_again, {"one": "id1", "two": "id2", "three": "id3"})
    assert [each.why for each in updates(now)] == [
        f"infisical.host (none) → {name}, infisical.node (none) → {number}, "
        "infisical.joined (none) → new"
        for number, name in enumerate(("one", "two", "three"), 1)
    ]


def test_a_node_that_did_not_join_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no ID, and the other nodes know nothing of it."""
    cluster = cluster_of({name: bare(n) for n, name in enumerate(("one", "two", "three"), 1)})
    answers: dict[str, Any] = {"joining.ids": ("", ""), "membership.inspect": bare(1)}
    monkeypatch.setattr(swarm, "ask", lambda asked: answers[asked.calls[0].name])
    monkeypatch.setattr(connection, "on", lambda _: nullcontext())
    with pytest.raises(CheckFailed, match="two"):
        swarm._apply_node_roles(cluster)


def test_the_program_of_earlier_versions_is_removed_after_its_unit_has_changed() -> None:
    """The agent unlocks the swarm since."""
    unit = File("/etc/systemd/system/infisical-unlock.service", "unit\n")
    there = replace(three()["one"], files={FORMER: unit.state})
    runs = {"infisical-unlock.service": UnitState(loaded=True, active=True, enabled=True)}
    plan = decide(
        Case(
            lambda: swarm.decide_unlock_unit(
                cluster_of(three()), replace(there, units=runs), [unit]
            )
        )
    )
    made, removed = plan.items[-2:]
    assert made == f"+ {unit.path}"
    assert removed.startswith(f"- {FORMER}: ")
    assert plan.steps[-1] == f"remove {FORMER}"
