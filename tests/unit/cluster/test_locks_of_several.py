"""The locks of a cluster's hosts, each asked for once."""

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
    """Hold what each lock that is asked for answers, in turn; `asked` counts."""

    asked = 0

    def ask(self, *_: Any) -> tuple[str, lock._LetGo]:
        self.asked += 1
        return self.pop(0), lambda: None


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> _Answers:
    found = _Answers()
    monkeypatch.setattr(lock, "_held", set())
    monkeypatch.setattr(lock, "_spared", set())
    monkeypatch.setattr(lock, "_ask_here", found.ask)
    return found


def test_all_that_are_connected_are_taken_and_none_twice(answers: _Answers) -> None:
    one, two, three = _hosts("one", "two", "three", away="three")
    answers += ["held"] * 2
    lock.take(two)
    lock.take(one)
    assert answers.asked == 2
    assert (lock.is_held(one), lock.is_held(two), lock.is_held(three)) == (True, True, False)


def test_who_is_at_work_is_told_with_the_hosts_name(answers: _Answers) -> None:
    one, two = _hosts("one", "two")
    answers += ["held", "busy by ada@laptop"]
    with pytest.raises(Refused, match=r"^another run is at work on two, by ada@laptop: "):
        lock.take(one)
    assert not lock.is_held(two)


def test_of_a_single_host_no_name_is_told(answers: _Answers) -> None:
    answers.append("busy by ada@laptop")
    with pytest.raises(Refused, match=r"^another run is at work on this host, by ada@laptop: "):
        lock.take(_hosts("one")[0])


def test_a_lock_that_can_not_be_taken_is_told_with_the_hosts_name(answers: _Answers) -> None:
    answers += ["held", ""]
    with pytest.raises(Refused, match="can't be taken on two: "):
        lock.take(_hosts("one", "two")[0])


def test_who_only_looks_takes_none(answers: _Answers) -> None:
    one, two = _hosts("one", "two")
    lock.spare(one)
    lock.take(two)
    assert answers.asked == 0
    assert not lock.is_held(one)
