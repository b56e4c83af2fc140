"""A fake host that records the steps of a rotation, and the other nodes of its cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infisical_iac.agent import proof as agent_proof
from infisical_iac.agent import rotation as on_host
from infisical_iac.agent import stack as agent_stack
from infisical_iac.agent.proof_model import ProofPlan
from infisical_iac.agent.public_address import PublicAddress
from infisical_iac.agent.runner import Output
from infisical_iac.change import rotation
from infisical_iac.cluster import change as cluster_change
from infisical_iac.cluster import membership, shared_state, stack
from infisical_iac.cluster import site as cluster_site
from infisical_iac.core import connection, transaction
from infisical_iac.stack import compose, session
from infisical_iac.workspace import checks
from tests.unit.agent.fake_runner import FakeRunner
from tests.unit.change.steps import KEYS, NotingHost
from tests.unit.clusters import site


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> NotingHost:
    made = NotingHost(FakeRunner(tmp_path, {"systemctl is-active": Output(3), "systemd-run": ""}))
    for name in ("postgres_password", "redis_password"):
        made.runner.write(f"{KEYS}/{name}", "obviously-fake")
    for module in (rotation, transaction):
        monkeypatch.setattr(module, "perform", made.perform)
        monkeypatch.setattr(module, "ask", made.ask)
    monkeypatch.setattr(transaction, "host", made)
    monkeypatch.setattr(transaction, "logger", made)
    monkeypatch.setattr(on_host, "derive", lambda _: made.note_on_host("keys derive"))
    monkeypatch.setattr(on_host, "_start_database", lambda _: None)
    monkeypatch.setattr(on_host, "give_password", lambda *_: made.note_on_host("rotation alter"))
    monkeypatch.setattr(agent_proof, "record_before", lambda *_, **__: None)
    monkeypatch.setattr(agent_proof, "plan_of", lambda _: None)
    monkeypatch.setattr(agent_proof, "check_as_before", made.pass_checks_on_host)
    monkeypatch.setattr(checks, "plan_of", lambda *_: ProofPlan("", "", PublicAddress("")))
    monkeypatch.setattr(agent_stack, "start", lambda *_, **__: made.note_on_host("up"))
    monkeypatch.setattr(rotation, "run", made.run)
    for name in ("perform", "ask"):
        monkeypatch.setattr(cluster_change, name, getattr(made, name))
    monkeypatch.setattr(compose, "published_port", lambda: 8080)
    monkeypatch.setattr(stack, "roll_out", made.roll_out)
    monkeypatch.setattr(cluster_site, "ask", made.ask)
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
