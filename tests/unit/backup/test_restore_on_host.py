"""Test what a restore hands to the host, and what it says of the restore's end there."""

import json
import shlex
from types import SimpleNamespace
from typing import Any

import pytest

from infisical_iac.agent import restore as on_host
from infisical_iac.agent.journal import TransactionJournal
from infisical_iac.agent.proof_model import ProofPlan
from infisical_iac.agent.public_address import PublicAddress
from infisical_iac.agent.runner import Failure
from infisical_iac.agent.transaction import Progress
from infisical_iac.backup import restore, restore_deploy
from infisical_iac.backup.kit_host import Placing
from infisical_iac.backup.restore import RestoreSite, SnapshotSource
from infisical_iac.core import audit, journal, transaction
from infisical_iac.core.agent import Question
from infisical_iac.core.errors import CheckFailed, Refused, RunFailed
from infisical_iac.core.journal import Journal
from infisical_iac.host.site import Site
from infisical_iac.instance import given
from infisical_iac.stack import compose, edge, session
from infisical_iac.workspace import checks
from infisical_iac.workspace.load import load
from tests.unit.deployment import TEXT
from tests.unit.settings_of import settings_of

_BEGAN = "20261125T101112Z"
_VOLUME = f"infisical_postgres_before_{_BEGAN}"
_GIVEN_UP = {"name": f"infisical_postgres_given_up_{_BEGAN}", "since": "2026", "writes": 7}
_KEY = "obviously-fake-key-of-32-letters\n"
_FAILURE = Failure("checks", "the administrator can't log in", "write the password there")


def _journal(**values: Any) -> TransactionJournal:
    return TransactionJournal("restore", _BEGAN, named=[_BEGAN], **values)


def _undone(**kept: Any) -> TransactionJournal:
    return _journal(outcome="undone", way="back", failure=_FAILURE, kept=kept)


class _Host:
    """The host's part of a restore: its calls, and the ends of the transaction."""

    print_prefix = ""

    def __init__(self) -> None:
        self.name = "secrets"
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.plan: dict[str, Any] = {}
        self.begun, self.ended = _journal(waits=True, step=on_host.PREPARE), _journal()
        self.unfinished: Progress | None = None
        self.has_plan = True
        self.failure: RunFailed | None = None
        self.journal = Journal(goes_on=False)

    def call(self, asked: Question[Any], **_: Any) -> Any:
        for each in asked.calls:
            self.calls.append((each.name, json.loads(each.arguments)))
        return not self.has_plan

    def begin(self, name: str, _: str, plan: Any, **more: Any) -> TransactionJournal:
        assert (name, more["until"]) == ("restore", on_host.PREPARE)
        self.plan = plan
        if self.failure:
            raise self.failure
        return self.begun

    def go_on(self, name: str, step: str) -> TransactionJournal:
        assert (name, step) == ("restore", on_host.PREPARE)
        return self.ended

    def take_up(self, name: str, make_plan: Any) -> TransactionJournal:
        self.calls.append(("take up", make_plan()))
        return self.ended

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> _Host:
    made = _Host()
    monkeypatch.setattr(restore, "host", made)
    for name in ("_proven", "_detached"):
        monkeypatch.setattr(restore, name, set())
    monkeypatch.setattr(restore, "_undone", {})
    monkeypatch.setattr(restore, "perform", made.call)
    monkeypatch.setattr(restore, "ask", made.call)
    monkeypatch.setattr(transaction, "begin", made.begin)
    monkeypatch.setattr(transaction, "go_on", made.go_on)
    monkeypatch.setattr(transaction, "take_up", made.take_up)
    monkeypatch.setattr(
        transaction, "ask_back", lambda name: made.calls.append((f"ask back {name}", {}))
    )
    monkeypatch.setattr(
        transaction,
        "open_transactions",
        lambda: {"restore": made.unfinished} if made.unfinished else {},
    )
    address = PublicAddress("https://secrets.example.com")
    plan = ProofPlan("chainalign", "privilege", address)
    monkeypatch.setattr(checks, "plan_of", lambda *_: plan)
    monkeypatch.setattr(compose, "published_port", lambda: 8081)
    monkeypatch.setattr(restore, "compose_file", lambda *_: "the compose file")
    monkeypatch.setattr(edge, "prepare_closing", lambda _: None)
    monkeypatch.setattr(session, "forget", lambda: None)
    monkeypatch.setattr(journal, "current", lambda: made.journal)
    monkeypatch.setattr(given, "_values", {})
    return made


def _site() -> RestoreSite:
    return RestoreSite(Site(settings_of()))


def _begin(due: Placing) -> None:
    known: Any = SimpleNamespace(settings=settings_of(), workspace=load(TEXT), machine=None)
    _site().begin(known, SnapshotSource("latest", ()), due)


def test_secrets_are_handed_in_and_the_plan_names_only_their_paths(
    host: _Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given, "_values", {"given_smtp_password": "fake-password"})
    _begin(Placing({"keys/encryption_key": _KEY}, ("keys/encryption_key",)))
    (call,) = host.calls
    files = {"keys/encryption_key": _KEY, "keys/given_smtp_password": "fake-password\n"}
    assert call == ("restore.hand_in", {"files": files})
    assert host.plan["put"] == ["keys/encryption_key", "keys/given_smtp_password"]
    assert host.plan["aside"] == ["keys/encryption_key"]
    assert (host.plan["old_port"], host.plan["port"]) == (8081, 8080)
    assert ["backend.production", ""] in host.plan["services"]
    for secret in (_KEY.strip(), "fake-password"):
        assert secret not in json.dumps(host.plan)


def test_secrets_are_taken_back_if_the_restore_does_not_begin(host: _Host) -> None:
    host.failure = RunFailed("a change of version has not ended on the host")
    with pytest.raises(RunFailed):
        _begin(Placing())
    assert host.names == ["restore.hand_in", "restore.take_back"]


def test_a_restore_that_is_undone_fails_and_tells_the_state_of_the_data(host: _Host) -> None:
    host.begun = _undone()
    with pytest.raises(RunFailed, match="log in: write") as failed:
        _begin(Placing())
    assert failed.value.code == "run.given_up"
    assert "not touched" in restore_deploy.go_back(settings_of())


def test_a_proven_restore_tells_where_the_old_data_are(host: _Host) -> None:
    kept = {"volume": _VOLUME, "removed": ["given_up_1"], "given_up": [_GIVEN_UP]}
    host.ended = _journal(outcome="done", told=["Restored."], kept=kept)
    restore._go_on(settings_of())
    told, old, removed, left = host.journal.operator_notes
    assert told == "Restored."
    command = shlex.split(old.rpartition(": ")[2])
    assert command == [
        *("docker", "volume", "rm", _VOLUME, "&&"),
        *("rm", "-rf", f"/var/lib/infisical-restore/aside/{_BEGAN}"),
    ]
    assert "given_up_1" in removed
    assert str(_GIVEN_UP["name"]) in left
    assert restore.is_proven()
    assert "proven and serve" in restore_deploy.go_back(settings_of())


def test_a_restore_on_a_new_host_leaves_no_old_data() -> None:
    assert restore.describe_old_data("") == []


def test_an_undone_restore_tells_of_data_that_were_given_up() -> None:
    said = restore.describe_undone(_undone(is_swapped=True, serves=True, given_up=[_GIVEN_UP]))
    assert "back and serve" in said
    assert str(_GIVEN_UP["name"]) in said
    assert "no data before" in restore.describe_undone(_undone(is_swapped=True, serves=False))


def test_old_data_that_do_not_serve_are_reported() -> None:
    ended = _undone(is_swapped=True, serves=True, unhealthy="infisical is absent")
    with pytest.raises(CheckFailed, match="infisical is absent"):
        restore.describe_undone(ended)
    assert "infisical is absent" in restore.describe_end(ended)[0]


def test_a_lost_connection_undoes_nothing(host: _Host) -> None:
    host.failure = RunFailed("it goes on there", code="run.detached")
    with pytest.raises(RunFailed):
        _begin(Placing())
    host.unfinished = Progress(_journal(), is_active=True)
    assert "undone" in restore_deploy.go_back(settings_of())
    assert host.names == ["restore.hand_in"]


@pytest.mark.parametrize("has_plan", [True, False])
def test_a_restore_goes_back_on_the_host(host: _Host, has_plan: bool) -> None:
    """The version before leaves no plan, and its restores always go back."""
    host.has_plan, host.ended = has_plan, _undone(is_swapped=True, serves=True)
    assert "back and serve" in _site().go_back()
    asked = ["ask back restore"] if has_plan else []
    assert host.names == ["transaction.needs_plan", *asked, "take up"]
    assert host.calls[-1][1].keys() == {"timeout", "edge"}


def test_a_restore_that_was_proven_meanwhile_is_not_undone(host: _Host) -> None:
    host.ended = _journal(outcome="done")
    assert "proven and serve" in _site().go_back()


def test_a_new_restore_does_not_undo_one_that_the_host_is_at_work_on(host: _Host) -> None:
    host.unfinished = Progress(_journal(), is_active=True)
    with pytest.raises(Refused, match="infisical-iac attach"):
        restore_deploy.undo(settings_of(), asked=False)
    assert host.calls == []


@pytest.mark.parametrize("asked", [True, False])
def test_an_unfinished_restore_is_undone(
    host: _Host,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    asked: bool,
) -> None:
    monkeypatch.setattr(audit, "record", lambda *_: _Nothing())
    monkeypatch.setattr(restore_deploy, "site_of", Site)
    host.unfinished = Progress(_journal(waits=True))
    host.ended = _undone()
    restore_deploy.undo(settings_of(), asked=asked)
    printed = capsys.readouterr()
    assert "not touched" in (printed.out if asked else printed.err)


class _Nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def test_nothing_to_undo_is_said_only_if_somebody_asked(
    host: _Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.unfinished = Progress(_journal(outcome="done"))
    restore_deploy.undo(settings_of(), asked=False)
    assert capsys.readouterr().out == ""
    restore_deploy.undo(settings_of(), asked=True)
    assert "nothing to undo" in capsys.readouterr().out


def test_an_attached_restore_tells_its_end(
    host: _Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(restore_deploy, "site_of", Site)
    host.ended = _journal(outcome="done", told=["Restored."])
    restore_deploy.attach(settings_of())
    assert "Restored. `infisical-iac apply`" in capsys.readouterr().out
    host.ended = _undone()
    with pytest.raises(RunFailed, match="not touched"):
        restore_deploy.attach(settings_of())
