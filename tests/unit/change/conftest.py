"""A fake host that records the steps of a rotation, and the other nodes of its cluster."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infisical_iac.change import rotation
from infisical_iac.cluster import change as cluster_change
from infisical_iac.cluster import membership, shared_state, stack
from infisical_iac.cluster import site as cluster_site
from infisical_iac.core import connection
from infisical_iac.stack import compose, session
from infisical_iac.workspace import checks
from tests.unit.change.steps import NotingHost
from tests.unit.clusters import site


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> NotingHost:
    made = NotingHost()
    monkeypatch.setattr(rotation, "run", made.run)
    monkeypatch.setattr(rotation, "script", made.script)
    for module in (rotation, cluster_change):
        monkeypatch.setattr(module, "perform", made.perform)
    monkeypatch.setattr(cluster_change, "ask", made.ask)
    monkeypatch.setattr(compose, "up", made.up)
    monkeypatch.setattr(compose, "published_port", lambda: 8080)
    monkeypatch.setattr(stack, "roll_out", made.roll_out)
    monkeypatch.setattr(cluster_site, "host", made)
    monkeypatch.setattr(session, "forget", lambda: None)
    monkeypatch.setattr(checks, "record_before", lambda *_: None)
    monkeypatch.setattr(checks, "check_as_before", made.pass_checks)
    return made


@pytest.fixture
def nodes_of(host: NotingHost, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The steps on each other node, by node; those on the leader are in `host`."""
    seen: dict[str, list[str]] = {}

    @contextmanager
    def on(node: str) -> Iterator[None]:
        before, host.steps = host.steps, seen.setdefault(node, [])
        yield
        host.steps = before

    monkeypatch.setattr(connection, "on", on)
    monkeypatch.setattr(membership, "observe", lambda: site().cluster)
    monkeypatch.setattr(shared_state, "spread", lambda _: host.note("spread"))
    monkeypatch.setattr(rotation, "write", lambda path, _: host.steps.append(f"write {path}"))
    monkeypatch.setattr(
        rotation,
        "remove",
        lambda *paths, doing: host.steps.append(f"rm -f {' '.join(paths)}"),
    )
    said = host.run
    monkeypatch.setattr(
        rotation,
        "run",
        lambda command, doing: "text" if command.startswith("cat ") else said(command, doing=doing),
    )
    return seen
