"""Test that a key stays whole wherever its rotation is killed, and that PostgreSQL follows it."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from infisical_iac.agent import proof, rotation, stack, transaction
from infisical_iac.agent.files import hold
from infisical_iac.agent.journal import read_journal
from infisical_iac.agent.rotation import BackupPlaces
from infisical_iac.agent.runner import Failure, Output, Runner
from tests.unit.agent.fake_runner import FakeRunner, docker_answers, docker_container
from tests.unit.agent.kill_points import KillStory
from tests.unit.agent.killed import deaths

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_OLD = "obviously-fake-password"
_KEY = "/etc/infisical/keys/redis_password"
_STATE = "/var/lib/infisical-rotation/state"
_BEGAN = "20261125T101112Z"
_TRANSACTION = rotation.TRANSACTION


def _make(directory: Path) -> FakeRunner:
    directory.mkdir()
    host = FakeRunner(directory, {"systemctl is-active": Output(3), "systemd-run": ""})
    host.write(_KEY, _OLD)
    return host


@pytest.fixture
def host(tmp_path: Path) -> FakeRunner:
    return _make(tmp_path / "host")


def _key(host: Runner) -> str:
    return host.text(_KEY) or ""


def _assert_ended(host: Runner) -> None:
    names = [each.name for each in host.path(_KEY).parent.iterdir() if "redis" in each.name]
    assert names == ["redis_password"]
    assert _key(host) == _OLD or len(_key(host)) == 64
    assert host.text(_STATE) is None


def _phases(host: Runner, *steps: Callable[[Runner], None]) -> None:
    rotation.prepare(host, key="redis_password")
    for step in (*steps, rotation.end):
        step(host)


def test_the_phases_of_a_cluster_replace_a_key(host: FakeRunner) -> None:
    _phases(host, rotation.switch)
    assert _key(host) != _OLD
    _assert_ended(host)


def test_a_switched_key_is_put_back(host: FakeRunner) -> None:
    _phases(host, rotation.switch, rotation.back)
    assert _key(host) == _OLD
    _assert_ended(host)


def _end_interrupted(host: Runner) -> None:
    """End a rotation in phases, as the operator's side does."""
    state = (host.text(_STATE) or "").split()
    if state:
        steps = {
            "switching": (rotation.switch, rotation.end),
            "switched": (rotation.switch, rotation.end),
            "backing": (rotation.back, rotation.end),
            "back": (rotation.back, rotation.end),
        }
        for step in steps.get(state[1], (rotation.end,)):
            step(host)


@pytest.mark.parametrize("goes_back", [False, True])
def test_phases_that_are_killed_anywhere_end_with_a_whole_key(
    tmp_path: Path, goes_back: bool
) -> None:
    steps = [rotation.switch, *([rotation.back] if goes_back else [])]
    number = 0
    for host in deaths(_make, lambda host: _phases(host, *steps), tmp_path):
        assert _key(host) == _OLD or len(_key(host)) == 64
        _end_interrupted(host)
        _assert_ended(host)
        number += 1
    assert number > 10


def test_a_second_rotation_waits_for_the_end_of_the_first(host: FakeRunner) -> None:
    rotation.prepare(host, key="redis_password")
    with pytest.raises(RuntimeError):
        rotation.prepare(host, key="auth_secret")


def test_a_rotation_that_is_switching_cannot_end(host: FakeRunner) -> None:
    host.write(_STATE, "redis_password switching\n")
    with pytest.raises(RuntimeError):
        rotation.end(host)


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The key at each time when Infisical was started with it."""
    return _note_used(monkeypatch)


def _note_used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []

    def start(runner: Runner, *, seconds: int) -> None:
        assert seconds == 60
        found.append(_key(runner))

    monkeypatch.setattr(stack, "start", start)
    monkeypatch.setattr(proof, "record_before", lambda *_, **__: None)
    monkeypatch.setattr(proof, "plan_of", lambda _: None)
    monkeypatch.setattr(proof, "check_as_before", lambda *_, **__: ["Read as before."])
    return found


def _run(host: Runner, failure: dict[str, str] | None = None) -> None:
    """Rotate the key on the host; the operator's side answers each of its steps."""
    steps = [rotation.READ, rotation.CHECK]
    plan = {"key": "redis_password", "given": False, "timeout": 60, "operator_forward": steps}
    named = ["redis_password"]
    if not (host.text(_STATE) or host.text("/var/lib/infisical-rotation/last")):
        transaction.begin(host, name="rotation", began=_BEGAN, plan=plan, named=named)
    while (journal := transaction.run(host, _TRANSACTION)) and journal.waits:
        failed = failure if journal.step == rotation.CHECK else None
        transaction.answer(host, name="rotation", step=journal.step, kept={}, failure=failed)


def test_a_new_key_is_used_before_the_old_one_is_retired(host: FakeRunner, used: list[str]) -> None:
    _run(host)
    assert used == [_key(host)]
    assert used != [_OLD]
    _assert_ended(host)


def test_a_key_with_which_infisical_fails_is_given_up(host: FakeRunner, used: list[str]) -> None:
    failure = {"code": "checks.data", "message": "no secret can be read", "remedy": ""}
    _run(host, failure)
    assert _key(host) == used[-1] == _OLD
    assert len(used) == 2
    _assert_ended(host)
    ended = transaction.open_transactions(host)["rotation"].journal
    assert ended
    assert (ended.outcome, ended.failure) == (
        "undone",
        Failure(failure["code"], failure["message"]),
    )


# For the tests of `test_kill_points.py`.
FAILURES = ("", "checks")


def kill_story(monkeypatch: pytest.MonkeyPatch, failing: str) -> KillStory:
    """Return a rotation of Redis' key, after which Infisical runs with the key in place."""
    used = _note_used(monkeypatch)
    failure = {"code": failing, "message": "x", "remedy": ""} if failing else None

    def check(host: Runner) -> None:
        assert isinstance(host, FakeRunner)
        assert _key(host) == _OLD or (len(_key(host)) == 64 and not failing)
        _assert_ended(host)
        assert used[-1:] in ([], [_key(host)])
        used.clear()

    return KillStory(_make, lambda host: _run(host, failure), check)


def test_a_secret_that_the_user_gives_is_handed_in_before(
    host: FakeRunner, used: list[str]
) -> None:
    rotation.hand_in(host, key="redis_password", value="given")
    assert host.path(f"{_KEY}.next").stat().st_mode & 0o777 == 0o600
    plan = {"key": "redis_password", "given": True, "timeout": 60, "port": 8080}
    transaction.begin(host, name="rotation", began=_BEGAN, plan=plan, named=["redis_password"])
    transaction.run(host, _TRANSACTION)
    assert (used, _key(host)) == (["given\n"], "given\n")


def test_the_new_key_of_the_database_is_tried_by_a_login(host: FakeRunner) -> None:
    host.write("/etc/infisical/keys/postgres_password", "new-obviously-fake")
    database = docker_container("db", project="infisical", service="postgres")
    host.answers.update(docker_answers(database))  # type: ignore[attr-defined]
    host.answers.update({"docker exec": "", "docker service": Output(1)})  # type: ignore[attr-defined]
    rotation.alter(host)
    given = [(line, stdin) for line, stdin in host.ran if "psql" in line]
    assert [stdin for _, stdin in given] == [
        "new-obviously-fake\nnew-obviously-fake\n",
        "new-obviously-fake\n",
    ]
    assert "--host postgres" in given[1][0]
    assert not any("obviously-fake" in line for line, _ in host.ran)


def test_a_database_that_refuses_the_new_key_is_reported(host: FakeRunner) -> None:
    host.write("/etc/infisical/keys/postgres_password", "new-obviously-fake")
    database = docker_container("db", project="infisical", service="postgres")
    host.answers.update(docker_answers(database))  # type: ignore[attr-defined]
    refused = {"docker exec": Output(1, "", "no"), "docker service": Output(1)}
    ready = {"docker exec --interactive --env PGAPPNAME=infisical-iac db pg_isready": ""}
    host.answers.update({**ready, **refused})  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError) as failed:
        rotation.alter(host)
    assert "does not accept" in failed.value.args[0].message


def test_keys_are_listed_without_those_of_a_rotation(host: FakeRunner) -> None:
    for which in (".next", ".old", ".new"):
        host.write(f"{_KEY}{which}", "x")
    found = rotation.key_times(host)
    assert found.keys() == {"redis_password"}
    assert found["redis_password"] == pytest.approx(host.path(_KEY).stat().st_mtime)


def test_a_bare_host_has_no_keys(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    assert rotation.key_times(host) == {}
    assert rotation.backup_places(host) == BackupPlaces()


def test_former_repositories_are_named(host: FakeRunner) -> None:
    host.write("/etc/infisical/backup/backup.conf", "TARGETS='local box'\n")
    for name, place in {"local": "/var/backups/infisical", "box": "sftp:box"}.items():
        host.write(f"/etc/infisical/backup/{name}.conf", f"REPOSITORY={place}\n")
    folder = "/var/lib/infisical-backup/repositories"
    known = sha256(b"/var/backups/infisical\n").hexdigest()[:16]
    host.write(f"{folder}/{known}", "")
    host.write(f"{folder}/0123456789abcdef", "")
    found = rotation.backup_places(host)
    assert found.targets == ("local", "box")
    assert found.others == (f"{folder}/0123456789abcdef",)


def test_a_backup_at_work_prevents_a_rotation(
    host: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.write("/var/lib/infisical-backup/lock", "")
    monkeypatch.setattr(rotation, "_PATIENCE", 0)
    busy = host.path("/var/lib/infisical-backup/lock")
    with (
        hold(busy, 0, "busy"),
        pytest.raises(RuntimeError) as refused,
    ):
        rotation.prepare(host, key="redis_password")
    command = refused.value.args[0].message.split("`")[1]
    assert command.split() == ["systemctl", "stop", "infisical-backup", "infisical-drill"]
    assert host.text(_STATE) is None


def test_an_unknown_phase_of_the_version_before_is_refused(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    host.write("/var/lib/infisical-rotation/state", "jwt begun by hand\n")
    with pytest.raises(RuntimeError) as refused:
        read_journal(host, transaction.find("rotation"))
    assert refused.value.args[0].code == "refused.newer_tool"
