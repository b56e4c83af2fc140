"""Test the lock of a host, taken on this machine."""

import atexit
import fcntl
import io
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from infisical_iac.agent import lock as agent_lock
from infisical_iac.core import agent, archive, lock
from infisical_iac.core.connection import HOST_REFUSES

if TYPE_CHECKING:
    from pyinfra.api.host import Host
from infisical_iac.core.errors import CommandFailed, Refused

Ask = Callable[[str], tuple[str, Callable[[], None]]]


def _hold(file: Path, *how: str) -> str:
    """Return the command that holds the lock, with an agent next to it."""
    program = file.with_name("agent.pyz")
    program.write_bytes(archive.build())
    return shlex.join(
        ["exec", sys.executable, "-IS", str(program), "--hold-lock", str(file), "1", *how]
    )


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    """Return a function that requests the same lock each time, and waits at most a second."""
    taken: list[Callable[[], None]] = []

    def request(holder: str) -> tuple[str, Callable[[], None]]:
        command = _hold(tmp_path / "lock")
        answer, let_go = lock._ask_here(command, f"{holder}\n")
        taken.append(let_go)
        return answer, let_go

    yield request
    for let_go in taken:
        let_go()


def test_a_second_run_learns_who_holds_the_lock(ask: Ask) -> None:
    assert ask("by first")[0] == "held"
    assert ask("by second")[0] == "busy by first"


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that has nothing to do with the lock."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def _break(lock_file: Path) -> str:
    command = _hold(lock_file, "break")
    answer, let_go = lock._ask_here(command, "by breaker\n")
    let_go()
    return answer


def test_breaking_ends_the_run_that_holds_the_lock(ask: Ask, tmp_path: Path) -> None:
    assert ask("by first")[0] == "held"
    assert _break(tmp_path / "lock") == "held"


def test_breaking_ends_no_process_that_has_the_pid_of_an_earlier_holder(
    tmp_path: Path, bystander: subprocess.Popen[bytes]
) -> None:
    """The holder's process is not in the file, which still has the pid of an earlier run."""
    file = tmp_path / "lock"
    file.write_text(f"by an earlier run\npid {bystander.pid}\n")
    with file.open("a") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        answer, _, holder = _break(file).partition(" by ")
        assert (answer, holder) == ("busy", "an earlier run")
    assert bystander.poll() is None


def test_breaking_does_not_end_the_maintenance_of_the_host(tmp_path: Path) -> None:
    """The maintenance takes the lock like the previous version, which wrote its own pid."""
    file = tmp_path / "lock"
    text = r"by the host's maintenance\npid $$\n"
    held = f'exec 8>>{file}; flock 8 && printf "{text}" >{file} && echo held && cat'
    with subprocess.Popen(
        ["sh", "-c", held],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as maintenance:
        assert maintenance.stdout is not None
        assert maintenance.stdout.readline() == "held\n"
        answer, _, holder = _break(file).partition(" by ")
        assert (answer, holder) == ("busy", "the host's maintenance")
        assert maintenance.poll() is None


def test_the_error_on_the_hosts_own_maintenance_does_not_advise_to_break_the_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here: Any = SimpleNamespace(data={}, connector=None)
    answer = ("busy by the host's maintenance since noon", lambda: None)
    monkeypatch.setattr(lock, "_ask_here", lambda *_: answer)
    with pytest.raises(Refused) as refused:
        lock._take(here, 0, True, named="")
    assert refused.value.code == "refused.locked"
    assert "maintenance since noon" in str(refused.value)
    assert "--break-lock" not in str(refused.value)
    assert "pkill" not in str(refused.value)


def test_the_lock_is_free_again_once_its_holder_has_ended(ask: Ask) -> None:
    answer, let_go = ask("by first")
    assert answer == "held"
    let_go()
    assert ask("by second")[0] == "held"
    assert ask("by third")[0] == "busy by second"


def test_a_server_that_is_not_adopted_is_not_locked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Commands that change a host take its lock first; commands that only read take no lock."""
    host = SimpleNamespace(name="one", data={HOST_REFUSES: "adopt it"}, connector=None)
    host.state = SimpleNamespace(inventory=[host], active_hosts=[host])
    monkeypatch.setattr(lock, "_skipped", set())
    with pytest.raises(Refused, match=r"^adopt it;") as refused:
        lock.take(cast("Host", host))
    assert refused.value.code == "refused.unadopted"
    assert not lock.is_held(cast("Host", host))
    with pytest.raises(Refused):
        lock.refuse_unadopted(cast("Host", host))
    lock.skip(cast("Host", host))
    lock.refuse_unadopted(cast("Host", host))
    lock.take(cast("Host", host))
    assert not lock.is_held(cast("Host", host))


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Fake a host without the agent, and return what was done there."""
    done: list[str] = []

    def ask(command: str, holder: str) -> tuple[str, Callable[[], None]]:
        assert "--hold-lock" in command
        done.append("ask")
        return "held" if "deliver" in done else agent.ABSENT, lambda: done.append("let go")

    monkeypatch.setattr(lock, "_ask_here", ask)
    monkeypatch.setattr(agent, "deliver", lambda: done.append("deliver"))
    monkeypatch.setattr(lock, "current", lambda _: nullcontext())
    monkeypatch.setattr(atexit, "register", lambda _: done.append("hold"))
    return done


_BARE: Any = SimpleNamespace(name="one", data={}, connector=None)


def test_a_host_without_the_agent_gets_it_before_its_lock_is_taken(bare: list[str]) -> None:
    lock._take(_BARE, 0, False, named="")
    assert bare == ["ask", "let go", "deliver", "ask", "hold"]


def test_a_host_that_can_not_get_the_agent_is_refused(
    bare: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise CommandFailed("could not run the agent: sudo: a password is required")

    monkeypatch.setattr(agent, "deliver", fail)
    with pytest.raises(Refused, match="a password is required") as refused:
        lock._take(_BARE, 0, False, named="")
    assert refused.value.code == "refused.no_lock"
    assert "hold" not in bare


def test_the_command_does_not_wait_for_the_holder_where_the_agent_is_missing() -> None:
    """Its standard input stays open for as long as the lock is held."""
    answer, let_go = lock._ask_here(lock.hold_command(1), "by somebody\n")
    let_go()
    assert answer in (agent.ABSENT, "held")


@pytest.mark.parametrize("ended", [False, True])
def test_the_lock_comes_with_the_news_of_an_end_that_nobody_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ended: bool
) -> None:
    monkeypatch.setattr(agent_lock, "_RECORDS", tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO("by first\n"))
    (tmp_path / "infisical-upgrade").mkdir()
    (tmp_path / "infisical-backup").mkdir()
    (tmp_path / "infisical-backup" / "last.json").touch()
    if ended:
        (tmp_path / "infisical-upgrade" / "last").touch()
    agent_lock.main([str(tmp_path / "lock"), "0"])
    assert capsys.readouterr().out == ("held ended\n" if ended else "held\n")
