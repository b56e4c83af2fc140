"""Test that `destroy` removes nothing while the host is at work on a change."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from infisical_iac.agent.journal import TransactionJournal
from infisical_iac.agent.transaction import Progress
from infisical_iac.cli import deploy
from infisical_iac.core import audit, connection, lock, transaction
from infisical_iac.core.errors import Refused
from infisical_iac.stack.deploy import HostRemoval


@pytest.fixture
def removals(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A host with the stack; the list has whether each removal took the volumes."""
    made: list[bool] = []
    host = SimpleNamespace(name="web-1", data={})

    @contextmanager
    def connect(*_: Any, **__: Any) -> Iterator[SimpleNamespace]:
        yield host

    @contextmanager
    def record(*_: Any) -> Iterator[None]:
        yield

    # Importing the real module would let pyinfra patch the whole process.
    module = SimpleNamespace(connect=connect)
    monkeypatch.setitem(sys.modules, "infisical_iac.core.inventory", module)
    monkeypatch.setattr(connection, "with_others", lambda _: [host])
    monkeypatch.setattr(connection, "each_of", lambda hosts, call: [call(each) for each in hosts])
    monkeypatch.setattr(lock, "take", lambda *_, **__: None)
    monkeypatch.setattr(audit, "record", record)
    monkeypatch.setattr(HostRemoval, "list_deployed", lambda _: "container infisical-redis-1")
    monkeypatch.setattr(HostRemoval, "remove", lambda _, volumes: made.append(volumes))
    return made


def _destroy() -> BaseException | None:
    options = ["--no-backup", "--confirm", "web-1"]
    return CliRunner().invoke(deploy.destroy, options).exception


@pytest.mark.parametrize(
    ("waits", "is_active", "outcome"), [(False, True, ""), (True, False, ""), (False, True, "done")]
)
def test_a_host_at_work_on_a_change_is_not_destroyed(
    removals: list[bool],
    monkeypatch: pytest.MonkeyPatch,
    waits: bool,
    is_active: bool,
    outcome: Any,
) -> None:
    journal = TransactionJournal("rotation", "", waits=waits, outcome=outcome)
    found = {"rotation": Progress(journal, is_active)}
    monkeypatch.setattr(transaction, "host", SimpleNamespace(name="web-1"))
    monkeypatch.setattr(transaction, "open_transactions", lambda: found)
    refused = _destroy()
    assert isinstance(refused, Refused)
    assert refused.code == "refused.under_way"
    assert "`infisical-iac attach`" in str(refused)
    assert removals == []


@pytest.mark.parametrize("found", [{}, {"upgrade": Progress(TransactionJournal("upgrade", ""))}])
def test_an_interrupted_change_does_not_keep_the_stack(
    removals: list[bool], monkeypatch: pytest.MonkeyPatch, found: dict[str, Progress]
) -> None:
    monkeypatch.setattr(transaction, "host", SimpleNamespace(name="web-1"))
    monkeypatch.setattr(transaction, "open_transactions", lambda: found)
    assert _destroy() is None
    assert removals == [False]
