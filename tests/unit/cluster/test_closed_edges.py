"""Test that the edges of all nodes are closed together, and opened again after any failure."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import paramiko
import pytest

from infisical_iac.agent.restore_proof import BeforeRestore
from infisical_iac.backup import manifest, snapshot
from infisical_iac.backup.manifest import Manifest
from infisical_iac.backup.restore import SnapshotSource
from infisical_iac.cluster import restore, stack
from infisical_iac.cluster import site as cluster_site
from infisical_iac.cluster.restore import ClusterRestoreSite
from infisical_iac.core import connection
from infisical_iac.core.errors import CommandFailed
from infisical_iac.stack import edge, keys, session
from infisical_iac.workspace.load import load
from tests.unit.clusters import settings, site
from tests.unit.deployment import TEXT
from tests.unit.noting import Noting


class _Nodes:
    """Record the closed nodes; steps on failing nodes raise an error."""

    print_prefix = ""

    def __init__(self) -> None:
        self.closed: set[str] = set()
        self.failing: dict[str, Exception] = {}
        self.warned: list[str] = []
        self.name = "node-1"

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        self.name = name
        yield
        self.name = "node-1"

    def _do(self, change: Callable[[str], None]) -> None:
        if error := self.failing.get(self.name):
            raise error
        change(self.name)

    def close(self, _: object) -> None:
        self._do(self.closed.add)

    def open(self) -> None:
        self._do(self.closed.discard)

    def warning(self, text: str) -> None:
        self.warned.append(text)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> _Nodes:
    made = _Nodes()
    monkeypatch.setattr(connection, "on", made.on)
    monkeypatch.setattr(edge, "close", made.close)
    monkeypatch.setattr(edge, "open_", made.open)
    monkeypatch.setattr(edge, "logger", made)
    monkeypatch.setattr(edge, "host", made)
    return made


_ALL = {"node-1", "node-2", "node-3"}


def test_every_connected_node_is_closed_and_opened(nodes: _Nodes) -> None:
    edge.close_on(settings(), site(unreachable=(2,)).names)
    assert nodes.closed == {"node-1", "node-3"}
    edge.open_on(site().names)
    assert (nodes.closed, nodes.warned) == (set(), [])


def test_a_node_that_cannot_be_closed_is_reported_and_the_others_are_closed(nodes: _Nodes) -> None:
    nodes.failing = {"node-2": CommandFailed("could not close the edge: no space left")}
    with pytest.raises(CommandFailed, match=r"node-2: .* no space left$") as failed:
        edge.close_on(settings(), site().names)
    assert failed.value.code == "command.close_edge"
    assert nodes.closed == {"node-1", "node-3"}


def test_a_failing_node_does_not_keep_other_nodes_closed(nodes: _Nodes) -> None:
    """Only a warning is printed, because the other edges are open."""
    edge.close_on(settings(), site().names)
    nodes.failing = {"node-2": paramiko.SSHException()}
    edge.open_on(site().names)
    assert nodes.closed == {"node-2"}
    (warned,) = nodes.warned
    assert "connection to node-2 " in warned


def test_an_error_is_raised_if_no_edge_can_be_opened(nodes: _Nodes) -> None:
    nodes.failing = dict.fromkeys(_ALL, OSError())
    with pytest.raises(CommandFailed) as failed:
        edge.open_on(site().names)
    assert failed.value.code == "command.open_edge"
    assert all(name in str(failed.value) for name in _ALL)


_GIVEN_UP = "given-up infisical_given_up_x 2026-11-25T10:12:00Z 3 image\n"


class _Restore:
    """Record the steps of a restore, with the nodes that are closed meanwhile."""

    def __init__(self, nodes: _Nodes, phase: str) -> None:
        self.steps: list[tuple[str, set[str]]] = []
        self._nodes, self._phase = nodes, phase

    def do(self, name: str, *_: str, doing: str) -> str:
        if name != "state":
            self.note(name)
        state = f"20261125T101112Z {self._phase}\n"
        return {"back": _GIVEN_UP, "load": "projects 2", "state": state}.get(name, "")

    def note(self, name: str) -> None:
        self.steps.append((name, set(self._nodes.closed)))


def _record_restore(
    monkeypatch: pytest.MonkeyPatch, seen: _Nodes, phase: str = "begun"
) -> _Restore:
    made = _Restore(seen, phase)
    then = Manifest("2026-11-25T10:00:00Z", "node-1", "v1", "17.6", "key", {"projects": 2})
    monkeypatch.setattr(restore, "do", made.do)
    monkeypatch.setattr(restore, "host", seen)
    monkeypatch.setattr(restore, "logger", Noting())
    monkeypatch.setattr(restore, "_record", lambda *_: BeforeRestore())
    monkeypatch.setattr(snapshot, "fetch", lambda *_: ("key", then))
    monkeypatch.setattr(snapshot, "clean", lambda *_: None)
    monkeypatch.setattr(manifest, "refuse", lambda *_, **__: None)
    monkeypatch.setattr(session, "forget", lambda: None)
    monkeypatch.setattr(keys, "make", lambda *_: None)
    monkeypatch.setattr(stack, "roll_out", lambda _: made.note("roll out"))
    monkeypatch.setattr(cluster_site, "keep_running_version", lambda site: site)
    return made


def test_a_restore_closes_all_edges_from_the_swap_on(
    nodes: _Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = _record_restore(monkeypatch, nodes)
    restore._restore(SnapshotSource("latest", ()), site(), load(TEXT))
    assert noted.steps == [("load", set()), ("swap", _ALL), ("roll out", _ALL)]


@pytest.mark.parametrize("phase", ["data", "backing", "back"])
def test_an_undone_restore_opens_all_nodes_and_reports_writes(
    nodes: _Nodes, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    nodes.closed = set(_ALL)
    noted = _record_restore(monkeypatch, nodes, phase)
    output = ClusterRestoreSite(site()).go_back()
    assert "3 writes since 2026-11-25T10:12:00Z" in output
    assert " infisical_given_up_x" in output
    assert noted.steps == [("back", _ALL), ("roll out", _ALL), ("forget", set())]
