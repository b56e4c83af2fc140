"""Test that a staging host is entered through its first process, or else through its engine."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.staging import entering

_BY_DOCKER = ("docker", "exec", "-i", "host")
_NAME = Path("/etc/hostname").read_text().strip()


class _Engine:
    """An engine that returns a container's first process, and counts the requests."""

    def __init__(self) -> None:
        self.process, self.name, self.asked = os.getpid(), _NAME, 0

    def __call__(self, *_: str, check: bool) -> str:
        assert not check
        self.asked += 1
        return json.dumps({"id": self.process, "name": self.name})


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> _Engine:
    made = _Engine()
    monkeypatch.setattr(entering, "docker", made)
    monkeypatch.setattr(entering, "_inits", {})
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda program: f"/usr/bin/{program}")
    return made


def test_a_container_of_this_machine_is_entered_and_looked_up_once(engine: _Engine) -> None:
    for _ in range(2):
        assert entering.into("host")[:4] == ("nsenter", "--all", "--target", str(os.getpid()))
    assert engine.asked == 1


def test_a_container_is_looked_up_again_once_it_has_another_first_process(engine: _Engine) -> None:
    with subprocess.Popen(["sleep", "60"]) as before:
        engine.process = before.pid
        assert entering.into("host")[3] == str(before.pid)
        before.kill()
    engine.process = os.getpid()
    assert entering.into("host")[3] == str(os.getpid())


def test_a_container_in_a_virtual_machine_is_entered_through_the_engine(engine: _Engine) -> None:
    engine.name = "another"
    assert entering.into("host") == _BY_DOCKER


def test_a_stopped_container_is_entered_through_the_engine(engine: _Engine) -> None:
    engine.process = 0
    assert entering.into("host") == _BY_DOCKER


def test_a_user_without_root_enters_a_container_through_the_engine(
    engine: _Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert entering.into("host") == _BY_DOCKER


def test_background_processes_are_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(entering, "into", lambda _: ())
    leaving = "sleep 60 & cat; echo $!; echo failed >&2; exit 3"
    done = entering.run("host", "bash", "-c", leaving, input="given\n")
    given, background = done.stdout.splitlines()
    os.kill(int(background), 9)
    assert (given, done.stderr, done.returncode) == ("given", "failed\n", 3)


def test_a_command_that_takes_too_long_is_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entering, "into", lambda _: ())
    with pytest.raises(subprocess.TimeoutExpired):
        entering.run("host", "sleep", "60", input=None, seconds=0.1)
