"""Test how etcd members of lost data nodes are replaced."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

import pytest

from infisical_iac.agent.membership import SwarmState
from infisical_iac.cluster import etcd
from infisical_iac.core import connection
from infisical_iac.core.agent import Question
from infisical_iac.core.errors import Refused
from tests.unit.cluster.observed import bare, cluster_of, converged_states, member, three

_INVENTORY = ("one", "two", "four")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps at etcd, each with its host."""
    done: list[str] = []
    current = ["leader"]

    @contextmanager
    def on(name: str) -> Iterator[None]:
        current.append(name)
        yield
        current.pop()

    monkeypatch.setattr(connection, "on", on)

    def perform(asked: Question[None], *, doing: str) -> None:
        (call,) = asked.calls
        given = json.loads(call.arguments).values()
        words = (" ".join(each) if isinstance(each, list) else str(each) for each in given)
        done.append(" ".join([f"{current[-1]}: {call.name.removeprefix('etcd.')}", *words]))

    monkeypatch.setattr(etcd, "perform", perform)
    return done


def test_the_earlier_etcd_of_a_node_is_removed_before_it_joins(steps: list[str]) -> None:
    observed = _replaced_states("healthy", "healthy")
    etcd._replace_member(cluster_of(observed, inventory=_INVENTORY), 3, "four")
    assert steps == ["one: stop etcd-3", "four: forget", "one: replace_member 3"]
    steps.clear()
    # The leader's own etcd has lost its data.
    etcd._replace_member(
        cluster_of(_replaced_states("lost", "healthy"), inventory=_INVENTORY), 1, "one"
    )
    assert steps == ["two: stop etcd-1", "one: forget", "two: replace_member 1"]


def _lost_states(primary: str, furthest: str) -> dict[str, SwarmState]:
    """Return states without etcd's data; `furthest` is the host that has written most."""
    return {
        name: replace(
            state, data=True, etcd="lost", primary=name == primary, wal=(2, 1 + (name == furthest))
        )
        for name, state in three().items()
    }


def test_an_etcd_without_a_quorum_is_removed_while_the_primary_keeps_running(
    steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    observed = _lost_states("two", "")
    monkeypatch.setattr(etcd, "_read_state", lambda name: observed[name])
    etcd.remove_lost_etcd(cluster_of(observed))
    abandoned, forgotten = (
        [f"{name}: {what}" for name in observed] for what in ("abandon", "forget")
    )
    assert steps == [*abandoned, "leader: stop etcd-1 etcd-2 etcd-3", *forgotten]


def test_without_a_primary_servers_that_may_lack_writes_stop_before_the_reset(
    steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    observed = _lost_states("", "two")
    monkeypatch.setattr(etcd, "_read_state", lambda name: observed[name])
    etcd.remove_lost_etcd(cluster_of(observed))
    ended = [
        "leader: stop etcd-1 etcd-2 etcd-3 postgres-1 postgres-3",
        "one: end_postgres",
        "three: end_postgres",
    ]
    abandoned, forgotten = (
        [f"{name}: {what}" for name in observed] for what in ("abandon", "forget")
    )
    assert steps == [*abandoned, *ended, *forgotten]


def test_a_recovered_etcd_is_kept(steps: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = {name: replace(state, etcd="healthy") for name, state in three().items()}
    monkeypatch.setattr(etcd, "_read_state", lambda name: now[name])
    etcd.remove_lost_etcd(cluster_of(_lost_states("", "two")))
    assert steps == []


@pytest.mark.parametrize("now", [_lost_states("one", ""), _lost_states("", "three")])
def test_no_member_is_removed_if_another_server_is_ahead_by_now(
    steps: list[str], monkeypatch: pytest.MonkeyPatch, now: dict[str, SwarmState]
) -> None:
    monkeypatch.setattr(etcd, "_read_state", lambda name: now[name])
    with pytest.raises(Refused, match=r": run again$") as refused:
        etcd.remove_lost_etcd(cluster_of(_lost_states("", "two")))
    assert refused.value.code == "refused.state_changed"
    assert steps == []


def _replaced_states(
    one: Literal["healthy", "lost"], two: Literal["healthy"]
) -> dict[str, SwarmState]:
    known = converged_states(member(1, "one"), member(2, "two"), member(3, "three", down=True))
    return {
        "one": replace(known["one"], etcd=one),
        "two": replace(known["two"], etcd=two),
        "four": bare(4),
    }
