"""A data node that takes the place of another, in the eyes of etcd."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

import pytest

from infisical_iac.facts.swarm_state import SwarmState
from infisical_iac.operations import etcd, nodes
from tests.unit.cluster.looks import bare, member, settled, three, told

_INVENTORY = ("one", "two", "four")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps, each with the host that it is done on."""
    done: list[str] = []
    current = ["lead"]

    @contextmanager
    def on(name: str) -> Iterator[None]:
        current.append(name)
        yield
        current.pop()

    monkeypatch.setattr(nodes, "on", on)
    monkeypatch.setattr(etcd, "script", lambda _, *arguments: " ".join(arguments))
    monkeypatch.setattr(etcd, "run", lambda command, **_: done.append(f"{current[-1]}: {command}"))
    return done


def test_the_earlier_etcd_of_a_node_goes_before_the_others_take_it_in(steps: list[str]) -> None:
    looks = _looks("well", "well")
    etcd._replace_member(told(looks, inventory=_INVENTORY), 3, "four")
    assert steps == ["one: stop 3", "four: forget", "one: member 3"]
    steps.clear()
    # The lead's own etcd is the one that lost its data.
    etcd._replace_member(told(_looks("lost", "well"), inventory=_INVENTORY), 1, "one")
    assert steps == ["two: stop 1", "one: forget", "two: member 1"]


@pytest.mark.parametrize("well", [True, False])
def test_an_etcd_that_lost_its_quorum_goes_unless_it_is_well_by_now(
    steps: list[str], monkeypatch: pytest.MonkeyPatch, well: bool
) -> None:
    lost = {
        name: replace(look, data=True, etcd="lost", primary=name == "two")
        for name, look in three().items()
    }
    now = {name: replace(look, etcd="well") if well else look for name, look in lost.items()}
    monkeypatch.setattr(etcd, "_seen", lambda name: now[name])
    etcd.end_lost(told(lost))
    gone = ["lead: stop", "one: forget", "two: forget", "three: forget"]
    assert steps == ([] if well else gone)


def _looks(one: Literal["well", "lost"], two: Literal["well"]) -> dict[str, SwarmState]:
    known = settled(member(1, "one"), member(2, "two"), member(3, "three", down=True))
    return {
        "one": replace(known["one"], etcd=one),
        "two": replace(known["two"], etcd=two),
        "four": bare(4),
    }
