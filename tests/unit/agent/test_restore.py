"""Test that a restore loses neither data nor keys, wherever the agent is killed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from infisical_iac.agent import (
    aside,
    proof,
    restore,
    restore_proof,
    snapshot,
    stack,
    transaction,
)
from infisical_iac.agent.data import MAIN
from infisical_iac.agent.keys import key_fingerprint
from infisical_iac.agent.restore_proof import BeforeRestore, RestoreProof
from infisical_iac.agent.runner import Failure, Output, Runner
from infisical_iac.agent.snapshot import FetchedSnapshot, LoadedSnapshot, SnapshotPlace
from tests.unit.agent.fake_engine import FakeEngine
from tests.unit.agent.killed import deaths

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from infisical_iac.agent.journal import TransactionJournal

_BEGAN = "20261125T101112Z"
_DIRECTORY = "/var/lib/infisical-restore"
_STATE, _ASIDE = f"{_DIRECTORY}/state", f"{_DIRECTORY}/aside/{_BEGAN}"
_NEW, _OLD = "infisical-restore_postgres", f"{MAIN}_before_{_BEGAN}"
_GIVEN_UP = f"{MAIN}_given_up_{_BEGAN}"
_COMPOSE, _MEMORY = "/etc/infisical/compose.yaml", "/etc/infisical/workspace.json"
_EDGE = "/etc/infisical/ingress/closed"
_KEY, _KEY_PATH = "/etc/infisical/keys/encryption_key", "keys/encryption_key"
_KIND = restore.TRANSACTION
_OLD_KEY, _NEW_KEY = f"{'old-fake-key-' * 3}"[:32] + "\n", f"{'new-fake-key-' * 3}"[:32] + "\n"


def _plan(**changes: Any) -> dict[str, Any]:
    address = {"url": "https://secrets.example.com", "is_ours": True, "closed_text": "closed"}
    return {
        "put": [_KEY_PATH],
        "aside": [_KEY_PATH],
        "admin_email": "ada@example.com",
        "more": [],
        "targets": ["broken", "store"],
        "snapshot": "latest",
        "versions": {
            "infisical": "v0.165.16",
            "postgres_image": "postgres:17",
            "postgres_major": 17,
        },
        "compose": "new",
        "timeout": 60,
        "edge": True,
        "port": 8080,
        "old_port": 8080,
        "services": [["backend.production", ""]],
        "proof": {"project": "chainalign", "isolation": "privilege", "address": address},
        **changes,
    }


class _World:
    """The parts of a host that a restore uses.

    Attributes:
        failing: the steps that fail, such as "start new".
        writes: whether each start on the new data is followed by a write of a user.
        starts: the text of the Compose file at each start, and whether the edge was closed.
    """

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.writes = False
        self.starts: list[tuple[str, bool]] = []
        self.rows = {"projects": 2}
        self.manifest: dict[str, Any] = {
            "format": 1,
            "at": "2026-11-25T02:30:11Z",
            "host": "secrets",
            "infisical": {"version": "v0.165.16"},
            "postgresql": {"version": "17.11"},
            "rows": {"projects": 2},
        }
        self.proven: list[RestoreProof] = []

    def refuse(self, step: str) -> None:
        if step in self.failing:
            raise RuntimeError(Failure("checks.data", f"{step} fails"))

    def fetch(
        self, runner: Runner, *, directory: str, target: str, snapshot: str
    ) -> FetchedSnapshot:
        if target == "broken":
            raise RuntimeError(Failure("command", "no matching ID found"))
        self.refuse("fetch")
        place = runner.path(f"{directory}/fetched")
        place.mkdir(parents=True, exist_ok=True)
        found = {"encryption_key": key_fingerprint(runner), **self.manifest}
        (place / "manifest.json").write_text(json.dumps(found))
        (place / "workspace.json").write_text("new")
        return FetchedSnapshot("", "")

    def load(self, runner: Runner, place: SnapshotPlace) -> LoadedSnapshot:
        assert isinstance(runner, FakeEngine)
        self.refuse("load")
        runner.volume(f"{place.project}_postgres", base="new")
        return LoadedSnapshot(self.rows, "770")

    def clean(self, runner: Runner, place: SnapshotPlace) -> None:
        assert isinstance(runner, FakeEngine)
        if f"{place.project}_postgres" in runner.volumes():
            runner.run(["docker", "volume", "rm", f"{place.project}_postgres"])

    def start(self, runner: Runner, *, seconds: int) -> None:
        self.up(runner)
        self.refuse(f"start {runner.text(_COMPOSE)}")

    def up(self, runner: Runner) -> None:
        assert isinstance(runner, FakeEngine)
        text = runner.text(_COMPOSE) or ""
        self.starts.append((text, runner.path(_EDGE).exists()))
        self.refuse(f"up {text}")
        if self.writes and text == "new":
            runner.volume(MAIN, written="acknowledged")

    def await_health(self, runner: Runner, *, seconds: int) -> list[stack.UnhealthyService]:
        return [stack.UnhealthyService("infisical")] if "health" in self.failing else []

    def prove(self, _: Runner, asked: RestoreProof, port: int) -> list[str]:
        self.refuse("prove")
        self.proven.append(asked)
        return [f"Restored: the snapshot of {asked.snapshot}."]

    def check_opened(self, *_: object) -> None:
        self.refuse("open")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> _World:
    made = _World()
    before = BeforeRestore({"1": "identity backend"}, public=True)
    monkeypatch.setattr(snapshot, "fetch", made.fetch)
    monkeypatch.setattr(snapshot, "load", made.load)
    monkeypatch.setattr(snapshot, "clean", made.clean)
    monkeypatch.setattr(stack, "start", made.start)
    monkeypatch.setattr(stack, "up", made.up)
    monkeypatch.setattr(stack, "await_health", made.await_health)
    monkeypatch.setattr(restore_proof, "record_before", lambda *_, **__: before)
    monkeypatch.setattr(restore_proof, "prove", made.prove)
    monkeypatch.setattr(proof, "check_closed", lambda *_, **__: [])
    monkeypatch.setattr(proof, "check_opened", made.check_opened)
    return made


def _make_bare(directory: Path, services: Sequence[str] = (), **changes: Any) -> FakeEngine:
    """A host without data, and a restore with a kit's key that has begun on it."""
    directory.mkdir(exist_ok=True)
    answers: dict[str, str | Output] = {"docker service": Output(1), "docker rm": ""}
    host = FakeEngine(directory, answers, services=services)
    restore.hand_in(host, files={_KEY_PATH: _NEW_KEY})
    plan = _plan(**changes)
    transaction.begin(host, name="restore", began=_BEGAN, plan=plan, named=[_BEGAN])
    return host


def _make(directory: Path, **changes: Any) -> FakeEngine:
    """The same on a host with data and keys of its own."""
    host = _make_bare(directory, ("infisical", "postgres", "redis"), **changes)
    host.write(_KEY, _OLD_KEY)
    for path in (_COMPOSE, _MEMORY):
        host.write(path, "old")
    host.volume(MAIN, base="old")
    host.volume("infisical_redis", queue="old")
    return host


@pytest.fixture
def host(tmp_path: Path) -> FakeEngine:
    return _make(tmp_path / "host")


@pytest.fixture
def bare(tmp_path: Path) -> FakeEngine:
    return _make_bare(tmp_path / "bare", aside=[])


def _run(host: Runner) -> TransactionJournal:
    ended = transaction.run(host, _KIND)
    assert ended
    return ended


def _assert_ended(host: FakeEngine) -> None:
    assert host.text(_STATE) is None
    assert not host.path(_EDGE).exists()
    left = {each.name for each in host.path(_DIRECTORY).iterdir()}
    assert left <= {"lock", "last", "fetched", "aside", "undone", f"failed-{_BEGAN}.log"}
    kit = host.path(aside._KIT)
    assert not kit.exists()


def _assert_new(host: FakeEngine) -> None:
    volumes = host.volumes()
    assert volumes[MAIN]["base"] == "new"
    assert (host.text(_COMPOSE), host.text(_MEMORY)) == ("new", "new")
    assert host.text(_KEY) == _NEW_KEY
    _assert_ended(host)


def _assert_old(host: FakeEngine) -> None:
    volumes = host.volumes()
    assert volumes[MAIN] == {"base": "old"}
    assert volumes.keys() - {_GIVEN_UP, f"{_GIVEN_UP}_2"} == {MAIN, "infisical_redis"}
    assert (host.text(_COMPOSE), host.text(_MEMORY)) == ("old", "old")
    assert host.text(_KEY) == _OLD_KEY
    assert not host.path(_ASIDE).exists()
    assert host.text(f"{_DIRECTORY}/undone") == f"{_BEGAN}\n"
    _assert_ended(host)


def test_a_restore_opens_after_its_checks_and_keeps_the_old_data(
    world: _World, host: FakeEngine
) -> None:
    ended = _run(host)
    assert ended.failure is None
    assert ended.outcome == "done"
    assert ended.told == ["Restored: the snapshot of 2026-11-25T02:30:11Z."]
    assert world.starts == [("new", True)]
    assert world.proven[0].before == {"1": "identity backend"}
    assert ended.kept["volume"] == _OLD
    assert host.volumes()[_OLD] == {"base": "old"}
    assert host.volumes()["infisical_redis"] == {}
    assert host.text(f"{_ASIDE}/files/{_KEY_PATH}") == _OLD_KEY
    _assert_new(host)


def test_a_host_without_data_has_no_old_data_afterwards(world: _World, bare: FakeEngine) -> None:
    ended = _run(bare)
    assert ended.failure is None
    assert ended.kept["volume"] == ""
    assert bare.volumes().keys() == {MAIN}
    _assert_new(bare)


def test_no_secret_of_the_kit_stands_in_the_plan_or_the_journal(
    world: _World, host: FakeEngine
) -> None:
    plan = host.text(f"{_DIRECTORY}/plan.json") or ""
    _run(host)
    texts = plan + (host.text(f"{_DIRECTORY}/last") or "")
    for secret in (_OLD_KEY, _NEW_KEY):
        assert secret.strip() not in texts


def test_a_restore_waits_for_the_preparation_with_the_keys_in_place(
    world: _World, tmp_path: Path
) -> None:
    host = _make(tmp_path / "host", operator_forward=[restore.PREPARE])
    waiting = _run(host)
    assert waiting.waits
    assert host.text(_KEY) == _NEW_KEY
    assert host.volumes()[MAIN] == {"base": "old"}
    assert not host.path(aside._KIT).exists()
    transaction.answer(host, name="restore", step=restore.PREPARE, kept={})
    assert _run(host).outcome == "done"
    _assert_new(host)


_STEPS = ["fetch", "load", "start new", "prove", "open"]


@pytest.mark.parametrize("failing", _STEPS)
def test_a_restore_that_fails_is_undone_and_the_edge_opens_on_the_old_data(
    world: _World, host: FakeEngine, failing: str
) -> None:
    world.failing = {failing}
    ended = _run(host)
    assert ended.outcome == "undone"
    assert ended.failure
    assert f"{failing} fails" in ended.failure.message
    if failing not in ("fetch", "load"):
        assert world.starts[-1] == ("old", True)
        assert ended.kept["serves"]
        assert "a logged line" in (host.text(f"{_DIRECTORY}/failed-{_BEGAN}.log") or "")
    else:
        assert world.starts == []
    _assert_old(host)


@pytest.mark.parametrize("failing", ["start new", "prove", "open"])
def test_a_restore_onto_a_bare_host_that_fails_leaves_no_data(
    world: _World, bare: FakeEngine, failing: str
) -> None:
    world.failing = {failing}
    ended = _run(bare)
    assert ended.outcome == "undone"
    assert not ended.kept["serves"]
    assert bare.volumes().keys() <= {_GIVEN_UP}
    assert bare.text(_COMPOSE) is None
    assert bare.text(_MEMORY) is None
    assert bare.text(f"{_DIRECTORY}/undone") == f"{_BEGAN}\n"
    _assert_ended(bare)


def test_every_target_without_the_snapshot_is_named(world: _World, tmp_path: Path) -> None:
    host = _make(tmp_path / "host", targets=["broken"])
    ended = _run(host)
    assert ended.failure
    assert "broken: no matching" in ended.failure.message
    _assert_old(host)


def test_a_snapshot_with_other_rows_is_not_used(world: _World, host: FakeEngine) -> None:
    world.rows = {"projects": 1}
    ended = _run(host)
    assert ended.failure
    assert "projects 1 instead of 2" in ended.failure.message
    _assert_old(host)


def test_a_snapshot_under_another_key_is_refused(world: _World, host: FakeEngine) -> None:
    world.manifest["encryption_key"] = "another"
    ended = _run(host)
    assert ended.failure
    assert ended.failure.code == "refused"
    _assert_old(host)


def test_a_restore_without_a_kit_leaves_the_derived_file_as_it_is(
    world: _World, tmp_path: Path
) -> None:
    """Somebody may have changed a key by hand, and no restore should spread that."""
    host = _make(tmp_path / "host", put=[], aside=[])
    host.write("/etc/infisical/.env", "as it was")
    world.manifest["encryption_key"] = "another"
    assert _run(host).outcome == "undone"
    assert host.text("/etc/infisical/.env") == "as it was"


def test_old_data_that_are_unhealthy_end_the_rollback_nevertheless(
    world: _World, host: FakeEngine
) -> None:
    """They may be the reason for the restore, and the next one must be able to begin."""
    world.failing = {"prove", "health"}
    ended = _run(host)
    assert ended.outcome == "undone"
    assert "infisical is absent" in ended.kept["unhealthy"]
    _assert_old(host)


def test_an_edge_stays_closed_while_the_old_stack_cannot_be_started(
    world: _World, host: FakeEngine
) -> None:
    world.failing = {"prove", "up old"}
    with pytest.raises(RuntimeError):
        transaction.run(host, _KIND)
    assert host.path(_EDGE).exists()
    world.failing = set()
    assert _run(host).outcome == "undone"
    _assert_old(host)


@pytest.mark.parametrize("failing", ["", "prove", "open"])
def test_a_restore_that_is_killed_anywhere_reaches_an_end_and_loses_no_write(
    world: _World, tmp_path: Path, failing: str
) -> None:
    world.failing = {failing} if failing else set()
    world.writes = True
    number = 0
    for host in deaths(_make, _run, tmp_path):
        assert isinstance(host, FakeEngine)
        wrote = "written" in host.volumes().get(MAIN, {})
        ended = transaction.run(host, _KIND)
        if host.volumes()[MAIN]["base"] == "new":
            assert not failing
            assert host.volumes()[_OLD] == {"base": "old"}
            _assert_new(host)
        else:
            _assert_old(host)
            held = [name for name, files in host.given_up().items() if "written" in files]
            assert held or not wrote
            if ended:
                told = [each["name"] for each in ended.kept.get("given_up", ())]
                assert {*held} <= {*told}
        assert transaction.run(host, _KIND) is None
        number += 1
    assert number > 60


@pytest.mark.parametrize("failing", ["", "prove"])
def test_a_restore_onto_a_bare_host_that_is_killed_anywhere_reaches_an_end(
    world: _World, tmp_path: Path, failing: str
) -> None:
    world.failing = {failing} if failing else set()
    world.writes = True
    for host in deaths(lambda place: _make_bare(place, aside=[]), _run, tmp_path):
        assert isinstance(host, FakeEngine)
        wrote = "written" in host.volumes().get(MAIN, {})
        transaction.run(host, _KIND)
        if MAIN in host.volumes():
            assert not failing
            _assert_new(host)
        else:
            held = [name for name, files in host.given_up().items() if "written" in files]
            assert held or not wrote
            assert host.text(_COMPOSE) is None
            _assert_ended(host)
        assert transaction.run(host, _KIND) is None


def test_writes_during_the_rollback_are_kept_too(world: _World, tmp_path: Path) -> None:
    world.failing, world.writes = {"prove"}, True
    for host in deaths(_make, _run, tmp_path):
        assert isinstance(host, FakeEngine)
        if host.volumes().get(MAIN, {}).get("base") == "new":
            host.volume(MAIN, more="acknowledged")
            transaction.run(host, _KIND)
            assert any("more" in files for files in host.given_up().values())
            _assert_old(host)


def test_a_proven_restore_removes_given_up_data_without_writes(
    world: _World, host: FakeEngine
) -> None:
    for writes in ("0", "3"):
        labels = {"infisical-iac.since": "2026", "infisical-iac.writes": writes}
        host.volume(f"{MAIN}_given_up_{writes}", labels, base="x")
    ended = _run(host)
    assert ended.kept["removed"] == [f"{MAIN}_given_up_0"]
    (left,) = ended.kept["given_up"]
    assert (left["name"], left["writes"]) == (f"{MAIN}_given_up_3", 3)


@pytest.mark.parametrize("phase", ["begun", "keys", "data", "backing", "back"])
@pytest.mark.parametrize("had_data", [True, False])
def test_a_restore_of_the_version_before_is_undone_from_each_phase(
    world: _World, tmp_path: Path, phase: str, had_data: bool
) -> None:
    """The state is that which the version before leaves in each phase."""
    host = FakeEngine(tmp_path, {"docker service": Output(1), "docker rm": ""})
    host.write(_STATE, f"{_BEGAN} {phase}\n")
    host.write(f"{_DIRECTORY}/started", "postgres 2026-11-25T09:00:00Z\n")
    host.write(f"{_DIRECTORY}/loaded", "770\n")
    host.write(_EDGE, "")
    host.path(f"{_ASIDE}/files").mkdir(parents=True)
    if had_data:
        host.write(_KEY, _OLD_KEY)
        for path in (_COMPOSE, _MEMORY):
            host.write(path, "old")
        host.volume(MAIN, base="old")
        host.volume("infisical_redis", queue="old")
    if phase in ("keys", "data", "backing") and had_data:
        host.write(f"{_ASIDE}/files/{_KEY_PATH}", _OLD_KEY)
        host.write(_KEY, _NEW_KEY)
    if phase in ("data", "backing"):
        names = (_COMPOSE, _MEMORY)
        if had_data:
            host.write(f"{_ASIDE}/volume", f"{_OLD}\n")
            host.volume(_OLD, base="old")
            host.path(f"/var/lib/docker/volumes/{MAIN}/_data/base").unlink()
            for path in names:
                host.write(f"{_ASIDE}/files/{path.rpartition('/')[2]}", "old")
        else:
            host.write(f"{_ASIDE}/new", "compose.yaml\nworkspace.json\n")
        for path in names:
            host.write(path, "new")
        host.volume(MAIN, base="new", written="acknowledged")
    transaction.take_up(host, name="restore", plan={"timeout": 60, "edge": True})
    ended = _run(host)
    assert (ended.outcome, ended.named) == ("undone", [_BEGAN])
    kept = {_GIVEN_UP: {"base": "new", "written": "acknowledged"}}
    assert host.given_up() == (kept if phase in ("data", "backing") else {})
    if had_data:
        _assert_old(host)
    else:
        assert MAIN not in host.volumes()
        assert host.text(_COMPOSE) is None
        _assert_ended(host)


@pytest.mark.parametrize("name", ["upgrade", "rotation"])
def test_a_restore_does_not_begin_beside_another_change(tmp_path: Path, name: str) -> None:
    host = FakeEngine(tmp_path)
    host.write(f"/var/lib/infisical-{name}/state", "it has not ended")
    with pytest.raises(RuntimeError) as refused:
        transaction.begin(host, name="restore", began=_BEGAN, plan=_plan(), named=[_BEGAN])
    assert refused.value.args[0].code == "refused.under_way"
    assert "infisical-iac apply" in refused.value.args[0].remedy
    assert host.text(_STATE) is None


@pytest.mark.parametrize("name", ["upgrade", "rotation"])
def test_another_change_does_not_begin_beside_a_restore(tmp_path: Path, name: str) -> None:
    host = FakeEngine(tmp_path)
    host.write(_STATE, f"{_BEGAN} data\n")
    with pytest.raises(RuntimeError) as refused:
        transaction.begin(host, name=name, began=_BEGAN, plan={}, named=[_BEGAN])
    assert refused.value.args[0].code == "refused.under_way"
    assert "restore --undo" in refused.value.args[0].remedy


def test_files_handed_in_are_removed_if_the_restore_does_not_begin(tmp_path: Path) -> None:
    host = FakeEngine(tmp_path)
    restore.hand_in(host, files={_KEY_PATH: _NEW_KEY})
    staged = host.path(f"{aside._KIT}/{_KEY_PATH}")
    assert staged.stat().st_mode & 0o777 == 0o600
    restore.take_back(host)
    assert not host.path(aside._KIT).exists()


def test_no_file_is_handed_in_during_a_restore(tmp_path: Path) -> None:
    host = FakeEngine(tmp_path)
    host.write(_STATE, f"{_BEGAN} data\n")
    with pytest.raises(RuntimeError):
        restore.hand_in(host, files={_KEY_PATH: _NEW_KEY})
    assert not host.path(aside._KIT).exists()
