"""Test the lock of a host, taken on this machine."""

import fcntl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from infisical_iac.core import lock
from infisical_iac.core.connection import HOST_REFUSES

if TYPE_CHECKING:
    from pyinfra.api.host import Host
from infisical_iac.core.errors import Refused
from infisical_iac.core.rendering import script

Ask = Callable[[str], tuple[str, Callable[[], None]]]


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    """Return a function that requests the same lock each time, and waits at most a second."""
    taken: list[Callable[[], None]] = []

    def request(holder: str) -> tuple[str, Callable[[], None]]:
        command = script("lock", str(tmp_path / "lock"), "1")
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
    command = script("lock", str(lock_file), "1", "break")
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
    lock.skip(cast("Host", host))
    lock.take(cast("Host", host))
    assert not lock.is_held(cast("Host", host))
