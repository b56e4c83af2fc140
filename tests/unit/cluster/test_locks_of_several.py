"""Test that the lock of each host of a cluster is requested once."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from pyinfra.api.host import Host

from infisical_iac.core import lock
from infisical_iac.core.errors import Refused


def _hosts(*names: str, away: str = "") -> list[Host]:
    state = SimpleNamespace()
    hosts = [SimpleNamespace(name=name, state=state, data={}, connector=None) for name in names]
    state.inventory = hosts
    state.active_hosts = [host for host in hosts if host.name != away]
    return cast("list[Host]", hosts)


class _Answers(list[str]):
    """The answers to requests of locks, in their order; `asked` counts the requests."""

    asked = 0

    def ask(self, *_: Any) -> tuple[str, lock._LetGo]:
        self.asked += 1
        return self.pop(0), lambda: None


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> _Answers:
    found = _Answers()
    monkeypatch.setattr(lock, "_held", set())
    monkeypatch.setattr(lock, "_skipped", set())
    monkeypatch.setattr(lock, "_untold", set())
    monkeypatch.setattr(lock, "_ask_here", found.ask)
    return found


def test_each_connected_host_is_locked_once(answers: _Answers) -> None:
    one, two, three = _hosts("one", "two", "three", away="three")
    answers += ["held"] * 2
    lock.take(two)
    lock.take(one)
    assert answers.asked == 2
    assert (lock.is_held(one), lock.is_held(two), lock.is_held(three)) == (True, True, False)


def test_the_holder_of_a_lock_is_reported_with_the_host(answers: _Answers) -> None:
    one, two = _hosts("one", "two")
    answers += ["held", "busy by ada@laptop"]
    with pytest.raises(Refused, match=r" on two, by ada@laptop: ") as refused:
        lock.take(one)
    assert refused.value.code == "refused.locked"
    assert not lock.is_held(two)


def test_a_single_host_is_not_named(answers: _Answers) -> None:
    answers.append("busy by ada@laptop")
    with pytest.raises(Refused, match=r" this host, by ada@laptop: ") as refused:
        lock.take(_hosts("one")[0])
    assert refused.value.code == "refused.locked"


def test_a_failed_lock_is_reported_with_the_host(answers: _Answers) -> None:
    answers += ["held", ""]
    with pytest.raises(Refused, match=f"{lock.FILE} .* on two: ") as refused:
        lock.take(_hosts("one", "two")[0])
    assert refused.value.code == "refused.no_lock"


def test_reading_commands_take_no_lock(answers: _Answers) -> None:
    one, two = _hosts("one", "two")
    lock.skip(one)
    lock.take(two)
    assert answers.asked == 0
    assert not lock.is_held(one)


def test_an_end_that_nobody_was_told_is_known_once(answers: _Answers) -> None:
    one, two = _hosts("one", "two")
    answers += ["held", "held ended"]
    lock.take(one)
    assert (lock.has_untold_end(one), lock.has_untold_end(two)) == (False, True)
    assert not lock.has_untold_end(two)
