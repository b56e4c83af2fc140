"""Test following a transaction of the host, and the end of this side while it waits for it."""

import json
from typing import Any

import pytest
from paramiko import SSHException

from infisical_iac.agent.journal import TransactionJournal
from infisical_iac.agent.transaction import Progress
from infisical_iac.core import transaction
from infisical_iac.core.agent import Question
from infisical_iac.core.errors import CheckFailed, RunFailed

_STEP = "read every secret"


class _WaitingHost:
    """A host whose transaction waits for a step of this side, and ends with its answer."""

    name, print_prefix = "web-1", ""

    def __init__(self) -> None:
        self.journal = TransactionJournal("rotation", "", _STEP, waits=True)
        self.answers: list[dict[str, Any]] = []

    def ask(self, _: Question[Any]) -> Progress:
        return Progress(self.journal)

    def perform(self, asked: Question[Any], *, doing: str) -> None:
        assert doing
        (call,) = asked.calls
        if call.name == "transaction.answer":
            self.answers.append(json.loads(call.arguments))
            self.journal.waits, self.journal.outcome = False, "done"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> _WaitingHost:
    made = _WaitingHost()
    for name in ("ask", "perform"):
        monkeypatch.setattr(transaction, name, getattr(made, name))
    monkeypatch.setattr(transaction, "host", made)
    return made


def _follow(error: BaseException | None = None) -> None:
    def act(_: TransactionJournal) -> dict[str, Any]:
        if error:
            raise error
        return {"read": 1}

    transaction.follow("rotation", {f"forward {_STEP}": act})


def test_a_step_of_this_side_is_answered_with_its_values(host: _WaitingHost) -> None:
    _follow()
    (answer,) = host.answers
    assert (answer["kept"], answer["failure"]) == ({"read": 1}, None)


def test_a_step_of_this_side_that_fails_is_answered_with_the_reason(host: _WaitingHost) -> None:
    _follow(CheckFailed("no secret can be read: look"))
    (answer,) = host.answers
    assert (answer["failure"]["code"], answer["failure"]["remedy"]) == ("checks", "look")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SSHException("closed")])
def test_a_step_of_this_side_that_is_interrupted_is_waited_for(
    host: _WaitingHost, error: BaseException
) -> None:
    with pytest.raises(RunFailed) as interrupted:
        _follow(error)
    assert interrupted.value.code == "run.waits"
    assert all(each in str(interrupted.value) for each in (repr(_STEP), "`infisical-iac attach`"))
    assert host.answers == []


def test_a_step_that_the_caller_does_later_ends_the_following(
    host: _WaitingHost, caplog: pytest.LogCaptureFixture
) -> None:
    host.journal.log = [("", "forward", "make the next key"), ("", "forward", _STEP)]
    with caplog.at_level("INFO"):
        found = transaction.follow("rotation", {}, until=_STEP)
        assert found.waits
        host.journal.log.append(("", "forward", "retire the old key"))
        assert transaction.go_on("rotation", _STEP).outcome == "done"
    assert (host.answers[0]["step"], host.answers[0]["kept"]) == (_STEP, {})
    printed = [each.getMessage().removeprefix(host.print_prefix) for each in caplog.records]
    assert printed in ([], ["make the next key", _STEP, "retire the old key"])


def test_a_step_of_another_command_is_named_with_the_command_that_ends_it(
    host: _WaitingHost,
) -> None:
    with pytest.raises(RunFailed, match="`infisical-iac apply` ends it") as waits:
        transaction.follow("rotation", {})
    assert waits.value.code == "run.waits"


def test_a_step_that_was_answered_is_not_done_again_before_the_host_goes_on(
    host: _WaitingHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The unit that takes the answer up needs a moment to start."""
    host.journal.answer, seen = {"kept": {}, "failure": None}, []

    def ask(_: Question[Any]) -> Progress:
        seen.append(host.journal.waits)
        if len(seen) == 3:
            host.journal.waits, host.journal.outcome = False, "done"
        return Progress(host.journal, is_active=True)

    monkeypatch.setattr(transaction, "ask", ask)
    _follow(CheckFailed("it is done a second time"))
    assert (seen, host.answers) == ([True, True, True], [])
