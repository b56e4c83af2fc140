"""A data node that takes the place of another, in the eyes of etcd."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infisical_iac.operations import cluster_stack, nodes


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
    monkeypatch.setattr(cluster_stack, "script", lambda _, *arguments: " ".join(arguments))
    monkeypatch.setattr(
        cluster_stack, "run", lambda command, **_: steps.append(f"{current[-1]}: {command}")
    )
    cluster_stack._replace_member(3, "four")
    assert steps == ["four: without_etcd", "lead: member 3"]
