"""Test the report of changes that ended without a command that followed them."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from infisical_iac.agent.journal import TransactionJournal
from infisical_iac.agent.runner import Failure
from infisical_iac.backup import restore
from infisical_iac.change import ended, kept_releases
from infisical_iac.cli import options
from infisical_iac.core import audit, connection, lock, transaction
from infisical_iac.core.agent import Question
from infisical_iac.core.audit_entries import AuditEntry, Event, Log, list_runs
from infisical_iac.core.errors import CommandFailed
from tests.unit.settings_of import defaults, settings_of

_IMAGE = "infisical/infisical:v0.166.0"
_VOLUME = "infisical_postgres_given_up_20261125T101112Z"
_GIVEN_UP = {
    "name": _VOLUME,
    "since": "2026-11-25T10:12:00Z",
    "writes": 30,
    "images": [_IMAGE, "postgres:17.11"],
}


def _begun(event: Event) -> AuditEntry:
    return AuditEntry("2026-11-25T10:11:12Z", "ada@laptop", event, "begun", "one", "0.2.0")


class _Host:
    """A host with ended transactions, and an audit log.

    Attributes:
        ended: the transactions whose end nobody was told.
        discarded: the images after which releases were discarded.
    """

    name, print_prefix = "web-1", ""

    def __init__(self) -> None:
        self.ended: dict[str, TransactionJournal] = {}
        self.entries: list[AuditEntry] = []
        self.discarded: list[str] = []

    def ask(self, _: Question[Any]) -> dict[str, TransactionJournal]:
        return dict(self.ended)

    def perform(self, asked: Question[Any], *, doing: str) -> None:
        assert doing
        (call,) = asked.calls
        values = json.loads(call.arguments)
        if call.name == "transaction.forget":
            del self.ended[values["name"]]
        else:
            self.entries.append(AuditEntry(**json.loads(values["entry"])))

    def last(self) -> AuditEntry:
        (run,) = list_runs(self.entries)
        return run.last


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> _Host:
    made = _Host()
    monkeypatch.setattr(ended, "ask", made.ask)
    for module in (transaction, audit):
        monkeypatch.setattr(module, "perform", made.perform)
        monkeypatch.setattr(module, "host", made)
    monkeypatch.setattr(audit, "read", lambda: Log(made.entries))
    monkeypatch.setattr(audit, "_current", lambda: made)
    monkeypatch.setattr(audit, "with_others", lambda each: [each])
    monkeypatch.setattr(
        kept_releases, "discard_releases", lambda _, image: made.discarded.append(image)
    )
    return made


def _upgrade(**changes: Any) -> TransactionJournal:
    named = ["20261125T101112Z-v0.165.16", _IMAGE]
    return TransactionJournal("upgrade", "", named=named, run="one", outcome="done", **changes)


def test_a_change_of_version_is_finished_and_told_once(host: _Host) -> None:
    host.entries = [_begun("rollback")]
    host.ended["upgrade"] = _upgrade(told=["Read as before: 1 secret."])
    (first, *rest), is_undone = ended.tell(settings_of())
    assert first.endswith("version is done.")
    assert (rest, is_undone) == (["Read as before: 1 secret."], False)
    assert host.discarded == [_IMAGE]
    last = host.last()
    assert (last.event, last.outcome, last.by) == ("rollback", "done", "ada@laptop")
    assert _IMAGE in last.changes[0]
    assert ended.tell(settings_of()) == ([], False)


def test_data_that_a_change_gave_up_are_named(host: _Host) -> None:
    host.entries = [_begun("apply")]
    journal = _upgrade(kept={"given_up": [_GIVEN_UP]})
    journal.outcome, journal.failure = "undone", Failure("checks", "no secret")
    host.ended["upgrade"] = journal
    sentences, is_undone = ended.tell(settings_of())
    assert is_undone
    assert any(_VOLUME in each for each in sentences)
    assert (host.last().outcome, host.last().reason) == ("failed", "no secret")


def test_data_that_a_cluster_has_reverted_are_explained(host: _Host) -> None:
    journal = _upgrade(
        kept={"given_up": [_GIVEN_UP], "reverted": "2026-11-25T10:00:00Z", "unusable": "no secret"}
    )
    journal.transaction = "cluster_upgrade"
    journal.outcome, journal.failure = "undone", Failure("checks", "it does not start")
    host.ended["cluster_upgrade"] = journal
    first, second = ended.tell(settings_of())[0]
    assert "it does not start" in first
    for each in ("2026-11-25T10:00:00Z", "no secret", _VOLUME):
        assert each in second


def test_a_restore_names_its_old_data(host: _Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "host", host)
    kept = {"volume": "infisical_postgres_before_20261125T101112Z"}
    journal = TransactionJournal("restore", "", outcome="done", told=["Restored."], kept=kept)
    host.ended["restore"] = journal
    first, told, old = ended.tell(settings_of())[0]
    assert first.endswith("restore is done.")
    assert told == "Restored."
    assert kept["volume"] in old


def test_an_apply_whose_change_went_on_has_not_made_the_rest(host: _Host) -> None:
    host.entries = [_begun("apply")]
    host.ended["upgrade"] = _upgrade()
    ended.tell(settings_of())
    assert host.last().outcome == "failed"
    assert "is done" not in host.last().reason


def test_the_end_of_a_run_that_is_not_in_the_log_is_not_recorded(host: _Host) -> None:
    host.ended["rotation"] = TransactionJournal("rotation", "", run="one", outcome="done")
    assert ended.tell(settings_of())[0]
    assert (host.entries, host.ended, host.discarded) == ([], {}, [])


def test_a_release_that_can_not_be_removed_is_a_note(
    host: _Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise CommandFailed("Docker does not answer")

    monkeypatch.setattr(kept_releases, "discard_releases", fail)
    host.ended["upgrade"] = _upgrade()
    assert "Docker does not answer" in ended.tell(settings_of())[0][-1]
    assert host.ended == {}


@pytest.mark.parametrize(
    ("add", "tells"), [(options.lock_options, True), (options.quiet_lock_options, False)]
)
def test_a_command_that_takes_the_lock_tells_of_an_end(
    host: _Host,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    add: Callable[[Callable[..., Any]], Callable[..., Any]],
    tells: bool,
) -> None:
    host.ended["rotation"] = TransactionJournal("rotation", "", outcome="done")
    target = SimpleNamespace(name="web-1", data=SimpleNamespace(dict=defaults))
    monkeypatch.setattr(lock, "with_others", lambda _: [target])
    monkeypatch.setattr(connection, "current", lambda _: nullcontext())
    monkeypatch.setattr(lock, "take", lambda *_, **__: lock._untold.add("web-1"))
    monkeypatch.setattr(lock, "_untold", set())
    command = add(lambda lock: lock(target))
    command(lock_timeout=5, break_lock=False)
    assert ("rotation" in capsys.readouterr().err) is tells
    assert bool(host.ended) is not tells
