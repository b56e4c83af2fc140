"""A data node that takes the place of another, in the eyes of etcd."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

import pytest

from infisical_iac.facts.swarm import SwarmState
from infisical_iac.operations import etcd, nodes
from tests.unit.cluster.looks import bare, member, settled, told

_INVENTORY = ("one", "two", "four")


def test_the_earlier_etcd_of_a_node_goes_before_the_others_take_it_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps: list[str] = []
    current = ["lead"]

    @contextmanager
    def on(name: str) -> Iterator[None]:
        current.append(name)
        yield
        current.pop()

    monkeypatch.setattr(nodes, "on", on)
    monkeypatch.setattr(etcd, "script", lambda _, *arguments: " ".join(arguments))
    monkeypatch.setattr(etcd, "run", lambda command, **_: steps.append(f"{current[-1]}: {command}"))
    looks = _looks("well", "well")
    etcd._replace_member(told(looks, inventory=_INVENTORY), 3, "four")
    assert steps == ["one: stop 3", "four: forget", "one: member 3"]
    steps.clear()
    # The lead's own etcd is the one that lost its data.
    etcd._replace_member(told(_looks("lost", "well"), inventory=_INVENTORY), 1, "one")
    assert steps == ["two: stop 1", "one: forget", "two: member 1"]


def _looks(one: Literal["well", "lost"], two: Literal["well"]) -> dict[str, SwarmState]:
    known = settled(member(1, "one"), member(2, "two"), member(3, "three", down=True))
    return {
        "one": replace(known["one"], etcd=one),
        "two": replace(known["two"], etcd=two),
        "four": bare(4),
    }
