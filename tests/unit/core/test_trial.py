"""Test changes that the host undoes by itself unless a new connection proves them."""

import subprocess
from pathlib import Path

import paramiko
import pytest

from infisical_iac.core import connection
from infisical_iac.core.connection import trial_mark, try_change
from infisical_iac.core.errors import CommandFailed, RunFailed
from tests.unit.fake_host import FakeHost, make_host

_UNIT = "/etc/systemd/system/infisical-trial-door.service"
_COMMANDS = trial_mark("door")


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    """Return a host whose systemd only records its calls."""
    found = make_host(tmp_path)
    found.note("systemctl", "systemd-run")
    (found.directory / "etc/systemd/system").mkdir(parents=True)
    return found


def _arm(host: FakeHost, commands: str) -> None:
    done = host.run("trial", "arm", "door", "60", stdin=commands)
    assert done.returncode == 0, done.stderr


def _run_unit(host: FakeHost) -> None:
    """Run the commands of the unit, as systemd would."""
    for line in (host.read(_UNIT) or "").splitlines():
        if line.startswith("ExecStart="):
            command = line.removeprefix("ExecStart=")
            done = subprocess.run(command.removeprefix("-").split(), capture_output=True)
            assert done.returncode == 0 or command.startswith("-")


def test_the_rollback_is_private_and_is_scheduled_before_the_change(host: FakeHost) -> None:
    _arm(host, "true\n")
    file = host.directory / _COMMANDS[1:]
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("true\n", 0o600)
    unit = Path(_UNIT).name
    *_, enable, schedule = (line.split() for line in host.calls())
    assert (enable[0], enable[-2:]) == ("systemctl", ["enable", unit])
    assert schedule[0] == "systemd-run"
    assert schedule[schedule.index("--unit") :][:4] == ["--unit", unit, "--on-active", "60"]


def test_the_host_rolls_back_and_removes_the_trial(host: FakeHost) -> None:
    _arm(host, f"echo old >{host.directory}/door\n")
    _run_unit(host)
    assert host.read("/door") == "old\n"
    assert host.read(_COMMANDS) is None
    assert host.read(_UNIT) is None


def test_an_interrupted_rollback_is_run_again(host: FakeHost) -> None:
    _arm(host, f"test -e {host.directory}/ready; echo old >{host.directory}/door\n")
    with pytest.raises(AssertionError):
        _run_unit(host)
    host.write("/ready", "")
    _run_unit(host)
    assert host.read("/door") == "old\n"
    assert host.read(_UNIT) is None


def test_a_change_that_is_kept_is_not_rolled_back(host: FakeHost) -> None:
    _arm(host, f"echo old >{host.directory}/door\n")
    host.ok(("trial", "keep", "door"))
    assert (host.read(_COMMANDS), host.read(_UNIT), host.read("/door")) == (None, None, None)


def test_a_change_that_was_rolled_back_can_not_be_kept(host: FakeHost) -> None:
    _arm(host, "true\n")
    _run_unit(host)
    done = host.run("trial", "keep", "door")
    assert (done.returncode, "already" in done.stderr) == (1, True)


def test_an_unfinished_trial_is_rolled_back_before_the_next(host: FakeHost) -> None:
    _arm(host, "true\n")
    _arm(host, "true\n")
    assert host.calls().count(f"systemctl start {Path(_UNIT).name}") == 1


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the steps on the host in their order, with `proof` for the second connection."""
    order: list[str] = []

    def run(command: str, *, doing: str, stdin: str | None = None) -> str:
        order.append(doing.split()[0])
        return ""

    monkeypatch.setattr(connection, "run", run)
    monkeypatch.setattr(connection, "check_connection", lambda _: order.append("proof"))
    return order


def test_a_change_is_kept_once_it_is_proven(order: list[str]) -> None:
    try_change("door", lambda: order.append("change"), back="true\n")
    assert order == ["prepare", "change", "proof", "keep"]


def test_a_change_that_fails_is_rolled_back_at_once(order: list[str]) -> None:
    def change() -> None:
        raise CommandFailed("could not change it: no reason given")

    with pytest.raises(RunFailed, match=r"^could not change it: .*; .* the door ") as failed:
        try_change("door", change, back="true\n")
    assert failed.value.code == "run.rolled_back"
    assert order == ["prepare", "roll"]


def test_a_change_without_a_new_connection_is_rolled_back_at_once(
    order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise RunFailed("no new connection can be made to staging")

    monkeypatch.setattr(connection, "check_connection", refuse)
    with pytest.raises(RunFailed, match=r"\bstaging; .* the door ") as failed:
        try_change("door", lambda: None, back="true\n")
    assert failed.value.code == "run.rolled_back"
    assert order == ["prepare", "roll"]


@pytest.mark.parametrize("error", [EOFError(), OSError(), paramiko.SSHException()])
def test_a_change_that_cuts_the_connection_is_rolled_back_by_the_host(
    order: list[str], error: Exception
) -> None:
    def change() -> None:
        raise error

    with pytest.raises(RunFailed, match=rf"\bdoor\b.*{type(error).__name__}.* 60 s;") as failed:
        try_change("door", change, back="true\n")
    assert failed.value.code == "run.connection_lost"
    assert order == ["prepare"]


def test_a_missing_local_file_is_not_a_lost_connection(order: list[str], tmp_path: Path) -> None:
    with pytest.raises(RunFailed) as failed:
        try_change("door", lambda: (tmp_path / "rules").read_text(), back="true\n")
    assert failed.value.code == "run.rolled_back"
    assert str(tmp_path / "rules") in str(failed.value)
    assert order == ["prepare", "roll"]
