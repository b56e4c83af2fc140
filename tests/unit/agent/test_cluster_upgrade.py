"""Test that a change of version of a cluster loses no data, wherever the agent is killed."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from infisical_iac.agent import (
    cluster_upgrade,
    databases,
    dump,
    leadership,
    proof,
    rollout,
    services,
    snapshot,
    stack,
    transaction,
)
from infisical_iac.agent.databases import MAIN, NEW
from infisical_iac.agent.proof_model import Before
from infisical_iac.agent.releases import RELEASES
from infisical_iac.agent.runner import Failure, Runner
from infisical_iac.agent.services import SwarmService
from infisical_iac.agent.snapshot import LoadedSnapshot, SnapshotPlace
from tests.unit.agent.fake_primary import FakePrimary
from tests.unit.agent.kill_points import KillStory

if TYPE_CHECKING:
    from pathlib import Path

    from infisical_iac.agent.journal import TransactionJournal

_BEGAN = "20261125T101112Z"
_OLD_IMAGE, _IMAGE = "infisical/infisical:v0.165.16", "infisical/infisical:v0.166.0"
_RELEASE, _OTHER = f"{_BEGAN}-v0.165.16", "20261101T101112Z-v0.164.0"
_ASIDE, _GIVEN_UP = "infisical_before_20261125t101112z", "infisical_given_up_20261125t101112z"
_STACK, _MEMORY = "/etc/infisical/stack.yaml", "/etc/infisical/workspace.json"
_RECORD = "/etc/infisical/stack.json"
_DIRECTORY = "/var/lib/infisical-upgrade"
_STATE = f"{_DIRECTORY}/state"
_KIND = cluster_upgrade.TRANSACTION
_MANIFEST = {"encryption_key": "key", "rows": {"projects": 2}, "at": "2026-11-25T10:00:00Z"}


def _plan(**changes: Any) -> dict[str, Any]:
    address = {"url": "https://secrets.example.com", "is_ours": True, "closed_text": "closed"}
    return {
        "release": _RELEASE,
        "image": _IMAGE,
        "stack": "new stack",
        "part": "new part",
        "rendered": "hash of the new part",
        "old_stack": "old stack",
        "old_part": "old part",
        "compose": "the copy",
        "data": "",
        "timeout": 60,
        "roll_seconds": 600,
        "edge": True,
        "port": 8080,
        "proof": {"project": "chainalign", "isolation": "privilege", "address": address},
        **changes,
    }


class _World:
    """The parts of a cluster that a change of version uses.

    Attributes:
        failing: the steps that fail, such as "roll new part".
        writes: whether each roll-out of the new version is followed by a write of a user.
        deleted: the sentences on secrets that the old version misses.
        steps: the steps of the roll-outs and checks.
        answers: whether the API answers.
    """

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.writes = False
        self.deleted: list[str] = []
        self.steps: list[str] = []
        self.rows = {"projects": 2}
        self.answers = True
        self.update = "completed"

    def note(self, step: str) -> None:
        self.steps.append(step)
        if step in self.failing:
            raise RuntimeError(Failure("checks.data", f"{step} fails"))

    def dump(self, runner: Runner, *, folder: str) -> None:
        assert isinstance(runner, FakePrimary)
        self.note("dump")
        _write_dump(runner, folder, runner.databases[MAIN])

    def copy(self, runner: Runner, place: SnapshotPlace) -> LoadedSnapshot:
        assert runner.text(f"{place.directory}/compose.yaml") == "the copy"
        assert (runner.path(place.directory) / "fetched/database.dump").exists()
        self.note("copy")
        return LoadedSnapshot(self.rows, "770")

    def clean(self, runner: Runner, place: SnapshotPlace) -> None:
        (runner.path(place.directory) / "fetched").unlink(missing_ok=True)

    def isolation(self, *_: object) -> str:
        self.note("prove")
        return ""

    def roll(self, runner: Runner, *, text: str) -> dict[str, str]:
        assert isinstance(runner, FakePrimary)
        runner.run(["docker", "tag", text])
        self.note(f"roll {text}")
        runner.change(replicas=3, part=text)
        if text == "new part":
            runner.change(damaged=True)
        if self.writes and text == "new part":
            runner.add_write()
        return {"infisical": f"hash of {text}"}

    def list_services(self, runner: Runner) -> dict[str, SwarmService]:
        assert isinstance(runner, FakePrimary)
        state = runner.read()
        number = state["replicas"]
        found = SwarmService(number, number, self.update, hash=f"hash of {state.get('part')}")
        return {"infisical_infisical": found}

    def check(self, *_: object, is_closed: bool, **__: object) -> list[str]:
        self.note(f"check{' behind a closed edge' if is_closed else ''}")
        return ["Read as before: 1 secret."]

    def check_opened(self, *_: object) -> None:
        self.note("open")

    def usable(self, runner: Runner, *_: object) -> tuple[list[str], bool]:
        assert isinstance(runner, FakePrimary)
        if runner.read().get("damaged"):
            self.note("use")
        else:
            self.steps.append("use")
        return self.deleted, bool(self.deleted)


def _write_dump(host: FakePrimary, folder: str, content: str) -> None:
    host.write(f"{folder}/snapshot/manifest.json", json.dumps(_MANIFEST))
    host.write(f"{folder}/snapshot/database.dump", content)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> _World:
    return _make_world(monkeypatch)


def _make_world(monkeypatch: pytest.MonkeyPatch) -> _World:
    made = _World()
    for name, by in {"load": made.copy, "clean": made.clean, "serve": lambda *_, **__: ""}.items():
        monkeypatch.setattr(snapshot, name, by)
    monkeypatch.setattr(dump, "make_dump", made.dump)
    monkeypatch.setattr(snapshot, "refuse_altered", lambda *_: None)
    monkeypatch.setattr(stack, "forward_port", lambda *_, **__: 2020)
    monkeypatch.setattr(proof, "record_before", lambda *_, **__: Before({}, public=True))
    monkeypatch.setattr(proof, "prove_isolation", made.isolation)
    monkeypatch.setattr(proof, "check_before_opening", made.check)
    monkeypatch.setattr(proof, "check_opened", made.check_opened)
    monkeypatch.setattr(proof, "check_usable", made.usable)
    monkeypatch.setattr(rollout, "deploy_part", made.roll)
    monkeypatch.setattr(rollout, "retry", lambda _: None)
    monkeypatch.setattr(rollout, "await_services", lambda *_, **__: "")
    monkeypatch.setattr(services, "list_services", made.list_services)
    monkeypatch.setattr(services, "explain", lambda *_, **__: "  why\n")
    client = SimpleNamespace(answers=lambda: made.answers)
    monkeypatch.setattr(cluster_upgrade, "LoopbackClient", lambda _: client)
    monkeypatch.setattr(databases, "_FIND_SECONDS", 0)
    monkeypatch.setattr(leadership, "_MAJORITY_SECONDS", 0)
    return made


def _prepare(directory: Path) -> FakePrimary:
    directory.mkdir()
    host = FakePrimary(directory, {"docker stack": "", "docker image": '"sha256:known"\n'})
    host.begin(infisical="old")
    host.change(part="old part")
    host.write(_STACK, "old stack")
    host.write(_MEMORY, "old")
    host.write(_RECORD, json.dumps({"services": {"infisical": {}, "caddy": {"hash": "x"}}}))
    return host


def _make(directory: Path, **changes: Any) -> FakePrimary:
    host = _prepare(directory)
    plan = _plan(**changes)
    _write_dump(host, f"{RELEASES}/{_OTHER}", "new")
    host.write(f"{RELEASES}/{_OTHER}/snapshot/workspace.json", "new")
    named = [_RELEASE, _IMAGE]
    transaction.begin(host, name="cluster_upgrade", began=_BEGAN, plan=plan, named=named)
    return host


def _make_with_data(directory: Path) -> FakePrimary:
    return _make(directory, data=_OTHER)


def _run(host: Runner) -> TransactionJournal:
    ended = transaction.run(host, _KIND)
    assert ended
    return ended


def _assert_ended(host: FakePrimary, version: str) -> None:
    state = host.read()
    assert (state["closed"], state["edge"], state["replicas"]) == ([], "open", 3)
    assert state["edges"] == []
    assert {NEW, _ASIDE} & state["databases"].keys() == set()
    assert (host.text(_STACK), state["part"]) == (f"{version} stack", f"{version} part")
    assert {each.name for each in host.path(_DIRECTORY).iterdir()} <= {"lock", "last"}


def _assert_new(host: FakePrimary) -> None:
    _assert_ended(host, "new")
    recorded = json.loads(host.text(_RECORD) or "")["services"]
    desired = {"hash": "hash of new part", "rendered": "hash of the new part", "desired": 3}
    assert recorded == {"infisical": desired, "caddy": {"hash": "x"}}


def _assert_old(host: FakePrimary, *, with_dump: bool = False) -> None:
    _assert_old_serves(host, with_dump=with_dump)
    assert _read_failure(host)[1] == _IMAGE


def _assert_old_serves(host: FakePrimary, *, with_dump: bool = False) -> None:
    _assert_ended(host, "old")
    assert host.text(_MEMORY) == "old"
    assert host.path(f"{RELEASES}/{_RELEASE}/snapshot").exists() is with_dump


def _read_failure(host: FakePrimary) -> list[str]:
    """Return the words of the note on a failed change."""
    return (host.text(f"{RELEASES}/{_RELEASE}/failed") or "").split()


_UP = ["dump", "copy", "prove", "roll new part", "check"]
_BACK = ["roll old part", "use"]


def test_an_upgrade_is_proven_without_stopping_infisical(world: _World, tmp_path: Path) -> None:
    host = _make(tmp_path / "host")
    ended = _run(host)
    assert (ended.outcome, ended.told) == ("done", ["Read as before: 1 secret."])
    assert world.steps == [*_UP, "open"]
    assert host.databases == {MAIN: "old"}
    ran = " ".join(line for line, _ in host.ran)
    assert "service scale" not in ran
    assert "infisical-edge" not in ran
    assert host.nodes[0][1] == {"infisical.led": "3"}
    _assert_new(host)


@pytest.mark.parametrize("failing", ["dump", "copy", "prove"])
def test_a_version_that_fails_on_a_copy_of_the_data_is_not_rolled_out(
    world: _World, tmp_path: Path, failing: str
) -> None:
    host = _make(tmp_path / "host")
    world.failing = {failing}
    ended = _run(host)
    assert ended.failure == Failure("checks.data", f"{failing} fails")
    assert world.steps == _UP[: _UP.index(failing) + 1]
    assert not cluster_upgrade.has_paused(ended)
    assert host.path(f"{RELEASES}/{_RELEASE}/failed.log").exists() is (failing == "prove")
    _assert_old(host)


def test_a_copy_with_other_rows_is_not_used(world: _World, tmp_path: Path) -> None:
    host = _make(tmp_path / "host")
    world.rows, world.failing = {"projects": 1}, {"use", "roll old part"}
    assert _run(host).outcome == "undone"
    _assert_old(host)


@pytest.mark.parametrize("failing", ["roll new part", "check", "open"])
def test_usable_data_keep_the_writes_of_a_version_that_fails(
    world: _World, tmp_path: Path, failing: str
) -> None:
    host = _make(tmp_path / "host")
    world.failing, world.writes = {failing}, True
    ended = _run(host)
    assert (ended.outcome, ended.kept["usable"]) == ("undone", [])
    assert host.databases == {MAIN: "old" + " and a write" * (failing != "roll new part")}
    assert world.steps[-2:] == _BACK
    assert "a logged line" in (host.text(f"{RELEASES}/{_RELEASE}/failed.log") or "")
    _assert_old(host)


def test_a_version_that_swarm_rolls_back_is_given_up(world: _World, tmp_path: Path) -> None:
    host = _make(tmp_path / "host")
    real = world.list_services

    def roll_back(runner: Runner) -> dict[str, SwarmService]:
        (found,) = real(runner).values()
        is_new = found.hash == "hash of new part"
        update = SwarmService(3, 3, "rollback_completed", hash="hash of old part")
        return {"infisical_infisical": update if is_new else found}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services, "list_services", roll_back)
        ended = _run(host)
    assert ended.failure
    assert "Swarm restored" in ended.failure.message
    _assert_old(host)


def test_data_that_the_old_version_cannot_use_are_replaced_by_the_dump(
    world: _World, tmp_path: Path
) -> None:
    host = _make(tmp_path / "host")
    world.failing, world.writes = {"check", "use"}, True
    ended = _run(host)
    assert ended.failure == Failure("checks.data", "check fails")
    assert ended.kept["reverted"] == _MANIFEST["at"]
    assert ended.kept["unusable"] == "use fails"
    (given_up,) = ended.kept["given_up"]
    assert (given_up["name"], given_up["writes"]) == (_GIVEN_UP, 42)
    assert given_up["since"] == "2026-11-25T10:11:12Z"
    assert host.databases == {MAIN: "old", _GIVEN_UP: "old and a write"}
    assert host.read()["emptied"] == 1
    assert world.steps == [*_UP, *_BACK, "roll old part"]
    _assert_old(host)


def test_data_that_cannot_be_checked_are_left_in_place(world: _World, tmp_path: Path) -> None:
    host = _make(tmp_path / "host")
    world.failing = {"check", "roll old part"}
    for _ in range(2):
        with pytest.raises(RuntimeError):
            transaction.run(host, _KIND)
        assert host.databases == {MAIN: "old"}
        assert world.steps[-1] == "roll old part"
    world.failing = set()
    assert _run(host).outcome == "undone"
    _assert_old(host)


def test_without_an_answer_a_revert_has_not_ended(world: _World, tmp_path: Path) -> None:
    host = _make(tmp_path / "host")
    world.failing, world.answers = {"check", "use"}, False
    with pytest.raises(RuntimeError):
        transaction.run(host, _KIND)
    world.answers = True
    assert _run(host).kept["given_up"][0]["name"] == _GIVEN_UP
    assert host.databases == {MAIN: "old", _GIVEN_UP: "old"}


def test_data_with_deleted_secrets_are_not_reverted_and_the_dump_is_kept(
    world: _World, tmp_path: Path
) -> None:
    host = _make(tmp_path / "host")
    world.failing, world.deleted = {"check"}, ["deleted since: TOKEN in production:/"]
    found = _run(host).kept["usable"]
    assert (found[0], _RELEASE in found[1]) == (world.deleted[0], True)
    _assert_old(host, with_dump=True)


def test_a_rollback_is_proven_behind_a_closed_edge(world: _World, tmp_path: Path) -> None:
    host = _make(tmp_path / "host", data=_OTHER)
    edges = []
    roll = world.roll

    def noting(runner: Runner, *, text: str) -> dict[str, str]:
        edges.append(host.read()["edge"])
        assert host.read()["replicas"] == 0
        return roll(runner, text=text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollout, "deploy_part", noting)
        assert _run(host).outcome == "done"
    assert edges == ["closed"]
    assert world.steps == ["dump", "roll new part", "check behind a closed edge", "open"]
    assert host.databases == {MAIN: "new"}
    assert (host.text(_MEMORY), host.read()["emptied"]) == ("new", 1)
    _assert_new(host)


@pytest.mark.parametrize("failing", ["roll new part", "check behind a closed edge", "open"])
def test_a_rollback_that_fails_reports_the_writes_since_the_swap(
    world: _World, tmp_path: Path, failing: str
) -> None:
    host = _make(tmp_path / "host", data=_OTHER)
    world.failing, world.writes = {failing}, True
    ended = _run(host)
    assert ended.outcome == "undone"
    (given_up,) = ended.kept["given_up"]
    assert (given_up["name"], given_up["writes"]) == (_GIVEN_UP, 42)
    assert given_up["images"] == (_OLD_IMAGE,)
    written = " and a write" * (failing != "roll new part")
    assert host.databases == {MAIN: "old", _GIVEN_UP: f"new{written}"}
    assert cluster_upgrade.has_paused(ended)
    _assert_old(host)


@pytest.mark.parametrize("failing", ["dump", "roll new part"])
def test_data_that_only_the_old_version_has_used_are_never_reverted(
    world: _World, tmp_path: Path, failing: str
) -> None:
    host = _make(tmp_path / "host", data=_OTHER)
    world.failing = {failing, "use"}
    host.change(damaged=True)
    ended = _run(host)
    assert ended.outcome == "undone"
    assert world.steps[-1] == "roll old part"
    assert {"usable", "unusable", "reverted"} & ended.kept.keys() == set()
    assert host.databases[MAIN] == "old"
    _assert_old(host)


def test_data_under_another_key_are_refused(world: _World, tmp_path: Path) -> None:
    host = _make(tmp_path / "host", data=_OTHER)
    other = {**_MANIFEST, "encryption_key": "another"}
    host.write(f"{RELEASES}/{_OTHER}/snapshot/manifest.json", json.dumps(other))
    ended = _run(host)
    assert ended.failure
    assert ended.failure.code == "refused.other_key"
    _assert_old(host)


def test_an_edge_that_one_node_does_not_close_ends_a_rollback(
    world: _World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = _make(tmp_path / "host", data=_OTHER)
    host.failing.append("service create")
    with pytest.raises(RuntimeError):  # it could not be opened either
        transaction.run(host, _KIND)
    host.failing.clear()
    ended = _run(host)
    assert (ended.outcome, host.databases) == ("undone", {MAIN: "old"})
    assert host.read()["edge"] == "open"


def test_a_cluster_without_a_standby_is_not_changed(
    world: _World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = _make(tmp_path / "host")
    host.change(alone=True)
    monkeypatch.setattr("time.sleep", lambda _: None)
    ended = _run(host)
    assert ended.failure
    assert "synchronous standby" in ended.failure.message
    assert (world.steps, host.text(_STACK)) == ([], "old stack")


_CLOSED_CHECK = "check behind a closed edge"
# For the tests of `test_kill_points.py`: the steps that fail. With "data", it loads other data.
FAILURES = ("", "check use", "open", "data", f"data {_CLOSED_CHECK}")


def kill_story(monkeypatch: pytest.MonkeyPatch, failing: str) -> KillStory:
    """Return a change of version during which users write, and which loses no write."""
    world = _make_world(monkeypatch)
    has_data = failing.startswith("data")
    steps = failing.removeprefix("data").strip()
    world.failing = {steps} if has_data else set(steps.split())
    world.writes = True
    wrote: dict[Path, bool] = {}

    def act(host: Runner) -> None:
        assert isinstance(host, FakePrimary)
        wrote[host.root] = any("and a write" in each for each in host.databases.values())
        transaction.run(host, _KIND)

    def check(host: Runner) -> None:
        assert isinstance(host, FakePrimary)
        content = host.databases[MAIN]
        if host.text(_STACK) == "new stack":
            _assert_new(host)
            assert content.startswith("new" if has_data else "old")
        else:
            _assert_old_serves(host)
            # A full disk may have no place for the note.
            assert _read_failure(host)[1:] in ([], [_IMAGE])
            assert content.startswith("old")
        if wrote.get(host.root):
            assert any("and a write" in each for each in host.databases.values())
        assert host.databases.keys() <= {MAIN, _GIVEN_UP, f"{_GIVEN_UP}_2"}
        comments = host.read()["comments"]
        assert [comments[each].split()[1] for each in host.given_up()] == ["42"] * len(
            host.given_up()
        )
        assert transaction.run(host, _KIND) is None

    return KillStory(_make_with_data if has_data else _make, act, check)


def test_a_former_leader_changes_nothing_any_more(world: _World, tmp_path: Path) -> None:
    host = _make(tmp_path / "host", data=_OTHER)
    host.nodes[1] = ("ready", {"infisical.led": "4"})
    with pytest.raises(RuntimeError) as refused:
        transaction.run(host, _KIND)
    assert refused.value.args[0].code == "refused.former_leader"
    assert (host.databases, host.read()["edge"]) == ({MAIN: "old"}, "open")
    host.nodes[1] = ("ready", {"infisical.led": "2"})
    host.path("/etc/infisical/led").unlink()
    with pytest.raises(RuntimeError):
        transaction.run(host, _KIND)
    host.write("/etc/infisical/led", "3\n")
    assert _run(host).outcome == "undone"
    _assert_old(host)


@pytest.mark.parametrize(
    ("phase", "exchanged", "serves", "main"),
    [
        ("begun", False, "old", "old"),
        ("paused", False, "old", "old"),
        ("swapping", True, "old", "old"),
        ("swapped", True, "new", "new"),
        ("swapped", False, "new", "old"),
        ("backing", True, "old", "old"),
        ("backing", False, "old", "old"),
        ("back", True, "old", "old"),
        ("proven", True, "new", "new"),
    ],
)
def test_a_change_of_the_version_before_is_ended_by_its_phase(
    world: _World, tmp_path: Path, phase: str, exchanged: bool, serves: str, main: str
) -> None:
    """The state is that which the version before leaves in each phase."""
    host = _prepare(tmp_path / "host")
    host.write(_STATE, f"{_RELEASE} {phase} {_IMAGE}\n")
    host.write(f"{RELEASES}/{_RELEASE}/workspace.json", "old")
    host.write(f"{_DIRECTORY}/begun", "770\n")
    names = {MAIN: "old"}
    if exchanged and phase != "back":
        names = {MAIN: "new", _ASIDE: "old"}
        host.write(f"{_DIRECTORY}/loaded", "770\n")
        host.change(edge="closed", replicas=0, part="old part")
    if exchanged:
        host.write(f"{_DIRECTORY}/exchanged", "")
    if phase == "paused":
        names[NEW] = "new"
        host.change(edge="closed", replicas=0)
    if serves == "new":
        host.write(_STACK, "new stack")
        host.change(part="new part", replicas=3)
    host.change(databases=names)
    transaction.take_up(host, name="cluster_upgrade", plan=_plan())
    ended = _run(host)
    assert ended.named == [_RELEASE, _IMAGE]
    assert (ended.failure == transaction.INTERRUPTED) is (serves == "old")
    assert host.databases[MAIN] == main
    given_up = exchanged and phase in ("swapping", "backing")
    assert host.given_up() == ({_GIVEN_UP: "new"} if given_up else {})
    if serves == "new":
        _assert_new(host)
    else:
        _assert_old(host)


def test_the_state_of_a_cluster_is_none_of_a_single_host(world: _World, tmp_path: Path) -> None:
    host = _prepare(tmp_path / "host")
    single = transaction.find("upgrade")
    host.write(_STATE, f"{_RELEASE} swapped {_IMAGE}\n")
    assert transaction.run(host, single) is None
    host.path(_STACK).unlink()
    assert transaction.run(host, _KIND) is None
    made = _make(tmp_path / "other")
    text = made.text(_STATE) or ""
    assert transaction.describe_state("upgrade", text) == f"{_RELEASE} begun {_IMAGE}"
    assert transaction.open_transactions(made).keys() == {"cluster_upgrade"}
    assert transaction.run(made, single) is None
    with pytest.raises(RuntimeError) as refused:
        transaction.begin(made, name="upgrade", began=_BEGAN, plan={})
    assert refused.value.args[0].code == "refused.under_way"
    made.ran.clear()
    transaction.resume(made)
    started = [line for line, _ in made.ran if line.startswith("systemd-run")]
    assert not started  # its unit is at work
    assert _run(made).outcome == "done"
