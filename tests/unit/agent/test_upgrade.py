"""Test that a change of version loses no data, wherever the agent is killed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from infisical_iac.agent import (
    dump,
    proof,
    releases,
    secret_export,
    snapshot,
    stack,
    transaction,
    upgrade,
)
from infisical_iac.agent.data import MAIN
from infisical_iac.agent.docker import Connection, DockerContainer
from infisical_iac.agent.journal import read_journal
from infisical_iac.agent.proof_model import Before
from infisical_iac.agent.releases import RELEASES
from infisical_iac.agent.runner import Failure, Output, Runner
from infisical_iac.agent.snapshot import LoadedSnapshot, SnapshotPlace
from tests.unit.agent.fake_engine import FakeEngine
from tests.unit.agent.kill_points import KillStory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from infisical_iac.agent.journal import TransactionJournal

_BEGAN = "20261125T101112Z"
_RELEASE, _IMAGE = f"{_BEGAN}-v0.165.16", "infisical/infisical:v0.166.0"
_EARLIER = "20261101T101112Z-v0.164.0"
_NEW, _GIVEN_UP = "infisical-upgrade_postgres", f"{MAIN}_given_up_{_BEGAN}"
_COMPOSE, _MEMORY = "/etc/infisical/compose.yaml", "/etc/infisical/workspace.json"
_STATE = "/var/lib/infisical-upgrade/state"
_EDGE = "/etc/infisical/ingress/closed"
_KIND = upgrade.TRANSACTION
_MANIFEST = {"encryption_key": "key", "rows": {"projects": 2}}


def _plan(**changes: Any) -> dict[str, Any]:
    address = {"url": "https://secrets.example.com", "is_ours": True, "closed_text": "closed"}
    return {
        "release": _RELEASE,
        "image": _IMAGE,
        "compose": "new",
        "rehearsal": "new, a copy",
        "data": "",
        "copies": True,
        "other_postgres": False,
        "timeout": 60,
        "edge": True,
        "port": 8080,
        "same_ingress": True,
        "proof": {"project": "chainalign", "isolation": "privilege", "address": address},
        **changes,
    }


class _World:
    """The parts of a host that a change of version uses.

    Attributes:
        failing: the steps that fail, such as "start new".
        writes: whether each start of the new version is followed by a write of a user.
        starts: the text of the Compose file at each start, and whether the edge was closed.
        dumps, paused: whether Infisical was stopped before each dump, and before each check.
    """

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.writes = False
        self.starts: list[tuple[str, bool]] = []
        self.dumps: list[bool] = []
        self.paused: list[tuple[str, bool]] = []
        self.rows = {"projects": 2}

    def refuse(self, step: str) -> None:
        if step in self.failing:
            raise RuntimeError(Failure("checks.data", f"{step} fails"))

    def dump(self, runner: Runner, *, folder: str) -> None:
        assert isinstance(runner, FakeEngine)
        self.dumps.append(_is_paused(runner))
        self.refuse("dump")
        place = runner.path(f"{folder}/snapshot")
        place.mkdir(parents=True)
        (place / "manifest.json").write_text(json.dumps(_MANIFEST))
        (place / "database.dump").write_text("the dump")

    def load(self, runner: Runner, place: SnapshotPlace) -> LoadedSnapshot:
        assert isinstance(runner, FakeEngine)
        self.refuse("load")
        assert (runner.path(place.directory) / "fetched/database.dump").exists()
        runner.volume(f"{place.project}_postgres", base="new")
        return LoadedSnapshot(self.rows, "770")

    def clean(self, runner: Runner, place: SnapshotPlace) -> None:
        assert isinstance(runner, FakeEngine)
        if f"{place.project}_postgres" in runner.volumes():
            runner.run(["docker", "volume", "rm", f"{place.project}_postgres"])

    def serve(self, runner: Runner, place: SnapshotPlace) -> str:
        assert isinstance(runner, FakeEngine)
        assert runner.text(f"{place.directory}/compose.yaml") == "new, a copy"
        assert f"{place.project}_postgres" in runner.volumes()
        self.refuse("serve the copy")
        return "172.18.0.4"

    def start(self, runner: Runner, *, seconds: int) -> None:
        assert isinstance(runner, FakeEngine)
        self.begin(runner, runner.text(_COMPOSE) or "")

    def create(self, runner: Runner) -> dict[str, DockerContainer]:
        assert isinstance(runner, FakeEngine)
        networks = {"databases"} if runner.path("/networks").exists() else {"databases", "edge"}
        connections = {each: Connection("", frozenset({"infisical"})) for each in networks}
        services = ("postgres", "redis", "infisical", "caddy")
        return {each: DockerContainer(each, connections=connections) for each in services}

    def find_outside(self, _: Runner, container: DockerContainer) -> dict[str, list[str]]:
        return {name: ["infisical"] for name in container.connections.keys() & {"edge"}}

    def disconnect(self, runner: Runner, container: DockerContainer, names: Sequence[str]) -> None:
        assert container.id == "infisical"
        self.refuse("disconnect")
        if names:
            runner.path("/networks").write_text(" ".join(names))

    def connect(self, runner: Runner, service: str, networks: dict[str, list[str]]) -> None:
        self.refuse("connect")
        assert (service, networks) == ("infisical", {"edge": ["infisical"]})
        runner.path("/networks").unlink(missing_ok=True)
        if self.writes:
            assert isinstance(runner, FakeEngine)
            runner.volume(MAIN, written="acknowledged")

    def start_created(self, runner: Runner, *created: DockerContainer, seconds: int) -> None:
        assert isinstance(runner, FakeEngine)
        names = " ".join(each.id for each in created)
        assert "infisical" not in names or runner.path("/networks").exists()
        self.begin(runner, f"{runner.text(_COMPOSE)}: {names}")

    def begin(self, runner: FakeEngine, what: str) -> None:
        self.starts.append((what, runner.path(_EDGE).exists()))
        self.refuse(f"start {what}")
        if what == "old" and runner.path("/networks").exists():
            assert "docker rm --force infisical" in [line for line, _ in runner.ran]
        if what == "new: infisical caddy":
            # Its migrations change the data.
            runner.volume(MAIN, base="new")

    def record(self, *_: object, **__: object) -> Before:
        return Before({}, public=True)

    def check(self, runner: Runner, *_: object, port: int, **__: object) -> list[str]:
        assert isinstance(runner, FakeEngine)
        what = "check the copy" if port == 2020 else "check"
        self.paused.append((what, _is_paused(runner)))
        self.refuse(what)
        return ["Read as before: 1 secret."]

    def check_opened(self, *_: object) -> None:
        self.refuse("open")


def _with_release(directory: Path, **changes: Any) -> FakeEngine:
    """A host that goes back to the data of a release."""
    host = _make(directory, data=_EARLIER, copies=False, **changes)
    place = f"{RELEASES}/{_EARLIER}/snapshot"
    host.write(f"{place}/manifest.json", json.dumps(_MANIFEST))
    host.write(f"{place}/database.dump", "")
    return host


@pytest.mark.parametrize("failing", ["", "check", "open"])
def test_secrets_are_exported_before_the_pause_and_brought_before_the_edge_opens(
    world: _World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    seen: list[tuple[str, bool, bool]] = []
    host = _with_release(tmp_path / "host", bring_writes=True)

    def export(place: str, file: Path) -> None:
        seen.append((place, _is_paused(host), host.path(_EDGE).exists()))
        file.write_text(_FAKE_EXPORT)

    def bring(place: str, file: Path) -> list[str]:
        assert file.read_text() == _FAKE_EXPORT
        seen.append((place, _is_paused(host), host.path(_EDGE).exists()))
        return ["Brought over: 1 secret."]

    monkeypatch.setattr(secret_export, "export", export)
    monkeypatch.setattr(secret_export, "bring", bring)
    monkeypatch.setattr(proof, "open_place", lambda *given: f"port {given[-1]}")
    world.failing = {failing} if failing else set()
    ended = _run(host)
    assert seen[0] == ("port 8080", False, True)
    if not failing:
        assert seen[1:] == [("port 2021", True, True)]
        assert "Brought over: 1 secret." in ended.told
    assert ended.outcome == ("undone" if failing else "done")
    _assert_ended(host)


_FAKE_EXPORT = "obviously-fake"


def _is_paused(host: FakeEngine) -> bool:
    return any(line.startswith("docker stop infisical") for line, _ in host.ran)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> _World:
    return _make_world(monkeypatch)


def _make_world(monkeypatch: pytest.MonkeyPatch) -> _World:
    made = _World()
    monkeypatch.setattr(dump, "make_dump", made.dump)
    monkeypatch.setattr(snapshot, "load", made.load)
    monkeypatch.setattr(snapshot, "serve", made.serve)
    monkeypatch.setattr(snapshot, "clean", made.clean)
    monkeypatch.setattr(snapshot, "refuse_altered", lambda *_: None)
    for name in ("start", "create", "find_outside", "disconnect", "connect", "start_created"):
        monkeypatch.setattr(stack, name, getattr(made, name))
    monkeypatch.setattr(stack, "forward_port", lambda _, project="": 2020 if project else 2021)
    monkeypatch.setattr(proof, "record_before", made.record)
    monkeypatch.setattr(proof, "check_before_opening", made.check)
    monkeypatch.setattr(proof, "check_opened", made.check_opened)
    monkeypatch.setattr(releases, "reset", lambda *_, **__: [])
    return made


def _make(directory: Path, **changes: Any) -> FakeEngine:
    directory.mkdir()
    host = FakeEngine(
        directory,
        {
            "docker service": Output(1),
            "docker image inspect": '"sha256:known"\n',
            "docker tag": "",
            "sync": "",
        },
    )
    host.write("/etc/infisical/keys/auth_secret", "obviously-fake")
    host.write(_COMPOSE, "old")
    host.write(_MEMORY, "old")
    host.volume(MAIN, base="old")
    host.volume("infisical_redis", queue="old")
    named = [_RELEASE, _IMAGE]
    plan = _plan(**changes)
    transaction.begin(host, name="upgrade", began=_BEGAN, plan=plan, named=named)
    return host


@pytest.fixture
def host(tmp_path: Path) -> FakeEngine:
    return _make(tmp_path / "host")


def _run(host: Runner) -> TransactionJournal:
    ended = transaction.run(host, _KIND)
    assert ended
    return ended


def _assert_new(host: FakeEngine) -> None:
    volumes = host.volumes()
    assert volumes[MAIN]["base"] == "new"
    assert volumes.keys() == {MAIN, "infisical_redis"}
    assert host.text(_COMPOSE) == "new"
    _assert_ended(host)


def _assert_old(host: FakeEngine) -> None:
    volumes = host.volumes()
    assert volumes[MAIN] == {"base": "old"}
    assert volumes.keys() - {_GIVEN_UP, f"{_GIVEN_UP}_2"} == {MAIN, "infisical_redis"}
    assert (host.text(_COMPOSE), host.text(_MEMORY)) == ("old", "old")
    assert not host.path(f"{RELEASES}/{_RELEASE}/snapshot").exists()
    _assert_ended(host)


def _assert_ended(host: FakeEngine) -> None:
    assert host.text(_STATE) is None
    assert not host.path(_EDGE).exists()
    assert {each.name for each in host.path("/var/lib/infisical-upgrade").iterdir()} <= {
        *("lock", "last", "fetched"),
    }


def test_a_new_version_pauses_infisical_only_once_it_has_passed_on_a_copy(
    world: _World, host: FakeEngine
) -> None:
    ended = _run(host)
    assert ended.failure is None
    assert (ended.outcome, ended.told) == ("done", ["Read as before: 1 secret."])
    assert world.paused == [("check the copy", False), ("check", True)]
    starts = ["new: postgres redis", "new: infisical caddy"]
    assert world.starts == [(each, True) for each in starts]
    _assert_new(host)


def test_another_minor_version_of_postgresql_starts_before_infisical(
    world: _World, tmp_path: Path
) -> None:
    host = _make(tmp_path / "host", other_postgres=True)
    assert _run(host).outcome == "done"
    ran = [text for line, text in host.ran if "psql" in line]
    assert any("REINDEX" in text for text in ran)


def test_another_major_version_of_postgresql_loads_a_dump_of_the_paused_data(
    world: _World, tmp_path: Path
) -> None:
    host = _make(tmp_path / "host", copies=False, other_postgres=True)
    assert _run(host).outcome == "done"
    assert world.dumps == [False, True]
    _assert_new(host)


def test_the_data_of_a_release_come_with_its_record_and_an_empty_redis(
    world: _World, tmp_path: Path
) -> None:
    host = _with_release(tmp_path / "host")
    host.write(f"{RELEASES}/{_EARLIER}/snapshot/workspace.json", "of the release")
    assert _run(host).outcome == "done"
    assert host.text(_MEMORY) == "of the release"
    assert host.volumes()["infisical_redis"] == {}


_BEFORE = ["dump", "load", "serve the copy", "check the copy"]
_AFTER = [
    *("start new: postgres redis", "disconnect", "start new: infisical caddy", "check"),
    *("connect", "open"),
]


@pytest.mark.parametrize("failing", _BEFORE)
def test_a_version_that_fails_on_a_copy_never_pauses_infisical(
    world: _World, host: FakeEngine, failing: str
) -> None:
    world.failing = {failing}
    ended = _run(host)
    assert ended.failure == Failure("checks.data", f"{failing} fails")
    assert world.starts == []
    assert not _is_paused(host)
    _assert_old(host)
    assert host.given_up() == {}
    log = host.text(f"{RELEASES}/{_RELEASE}/failed.log") or ""
    assert ("a logged line" in log) is (failing in ("serve the copy", "check the copy"))


@pytest.mark.parametrize("failing", _AFTER)
def test_a_change_that_fails_is_undone_and_the_edge_opens_on_the_old_version(
    world: _World, host: FakeEngine, failing: str
) -> None:
    world.failing = {failing}
    ended = _run(host)
    assert ended.outcome == "undone"
    assert ended.failure == Failure("checks.data", f"{failing} fails")
    assert world.starts[-1] == ("old", True)
    _assert_old(host)
    failed = host.text(f"{RELEASES}/{_RELEASE}/failed") or ""
    assert failed.split()[1] == _IMAGE
    assert "a logged line" in (host.text(f"{RELEASES}/{_RELEASE}/failed.log") or "")


def test_an_edge_stays_closed_while_neither_version_serves(world: _World, host: FakeEngine) -> None:
    world.failing = {"check", "start old"}
    with pytest.raises(RuntimeError):
        transaction.run(host, _KIND)
    assert host.path(_EDGE).exists()
    world.failing = set()
    assert _run(host).outcome == "undone"
    _assert_old(host)


def test_a_dump_with_other_rows_is_not_used(world: _World, host: FakeEngine) -> None:
    world.rows = {"projects": 1}
    ended = _run(host)
    assert ended.outcome == "undone"
    assert world.starts == []
    _assert_old(host)


def test_data_under_another_key_are_refused(world: _World, tmp_path: Path) -> None:
    host = _with_release(tmp_path / "host")
    other = {**_MANIFEST, "encryption_key": "another"}
    host.write(f"{RELEASES}/{_EARLIER}/snapshot/manifest.json", json.dumps(other))
    ended = _run(host)
    assert ended.failure
    assert ended.failure.code == "refused.other_key"
    _assert_old(host)


# For the tests of `test_kill_points.py`.
FAILURES = ("", "check the copy", "check", "open")


def kill_story(monkeypatch: pytest.MonkeyPatch, failing: str) -> KillStory:
    """Return a change of version during which users write, and which loses no write."""
    world = _make_world(monkeypatch)
    world.failing, world.writes = {failing} if failing else set(), True
    wrote: dict[Path, bool] = {}

    def act(host: Runner) -> None:
        assert isinstance(host, FakeEngine)
        wrote[host.root] = "written" in host.volumes().get(MAIN, {})
        ended = transaction.run(host, _KIND)
        if ended:
            told = {each["name"] for each in ended.kept.get("given_up", ())}
            assert {name for name, each in host.given_up().items() if "written" in each} <= told

    def check(host: Runner) -> None:
        assert isinstance(host, FakeEngine)
        if host.volumes()[MAIN]["base"] == "new":
            assert not failing
            _assert_new(host)
        else:
            _assert_old(host)
            assert not wrote.get(host.root) or any(
                "written" in each for each in host.given_up().values()
            )
        assert transaction.run(host, _KIND) is None

    return KillStory(_make, act, check)


def test_writes_to_data_that_were_given_up_are_counted(
    world: _World, host: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.failing, world.writes = {"open"}, True
    host.started[:] = ["2026-11-25T10:00:00Z"]
    start = world.start_created

    def start_again(runner: Runner, *created: DockerContainer, **more: Any) -> None:
        host.started[:] = ["2026-11-25T10:20:00Z"]
        start(runner, *created, **more)

    monkeypatch.setattr(stack, "start_created", start_again)
    (given_up,) = _run(host).kept["given_up"]
    assert (given_up["name"], given_up["writes"]) == (_GIVEN_UP, 42)
    assert given_up["images"] == ("infisical:1", "postgres:1")


@pytest.mark.parametrize(
    ("phase", "serves"),
    [
        ("begun", "old"),
        ("paused", "old"),
        ("swapping", "old"),
        ("swapped", "new"),
        ("backing", "old"),
        ("back", "old"),
        ("proven", "new"),
    ],
)
def test_a_change_of_the_version_before_is_ended_by_its_phase(
    world: _World, tmp_path: Path, phase: str, serves: str
) -> None:
    """The state is that which the version before leaves in each phase."""
    host = _leave_older(tmp_path, phase)
    transaction.take_up(host, name="upgrade", plan=_plan())
    ended = transaction.run(host, _KIND)
    assert ended
    assert ended.named == [_RELEASE, _IMAGE]
    assert (ended.failure == transaction.INTERRUPTED) is (serves == "old")
    if serves == "new":
        _assert_new(host)
    else:
        _assert_old(host)
        kept = {_GIVEN_UP: {"base": "new", "written": "acknowledged"}}
        assert host.given_up() == (kept if phase == "backing" else {})


@pytest.mark.parametrize("phase", ["begun", "paused", "swapping", "swapped", "backing", "back"])
def test_a_change_of_the_version_before_goes_back_without_its_compose_file(
    world: _World, tmp_path: Path, phase: str
) -> None:
    host = _leave_older(tmp_path, phase)
    host.path(_COMPOSE).unlink()
    transaction.take_up(host, name="upgrade", plan=_plan(compose="", closed=""))
    ended = transaction.run(host, _KIND)
    assert ended
    assert (ended.outcome, world.starts[-1][0]) == ("undone", "old")
    _assert_old(host)
    kept = {_GIVEN_UP: {"base": "new", "written": "acknowledged"}}
    assert host.given_up() == (kept if phase in ("swapped", "backing") else {})


def test_a_proven_change_of_the_version_before_ends_without_its_compose_file(
    world: _World, tmp_path: Path
) -> None:
    host = _leave_older(tmp_path, "proven")
    host.path(_COMPOSE).unlink()
    transaction.take_up(host, name="upgrade", plan=_plan(compose="", closed=""))
    assert _run(host).outcome == "done"
    assert host.volumes()[MAIN]["base"] == "new"
    _assert_ended(host)


def _leave_older(tmp_path: Path, phase: str) -> FakeEngine:
    host = FakeEngine(tmp_path, {"docker service": Output(1)})
    host.write(_STATE, f"{_RELEASE} {phase} {_IMAGE}\n")
    for path in (_COMPOSE, _MEMORY):
        host.write(path, "old")
        host.write(f"{RELEASES}/{_RELEASE}/{path.rpartition('/')[2]}", "old")
    if phase != "proven":
        host.write(_EDGE, "")
    host.volume("infisical_redis", queue="old")
    if phase in ("swapped", "backing", "proven"):
        host.volume(MAIN, base="new", written="acknowledged")
        host.volume(f"{MAIN}_before_{_BEGAN}", base="old")
        host.write(_COMPOSE, "new")
        host.write("/var/lib/infisical-upgrade/started", "postgres 2026-11-25T09:00:00Z\n")
        host.write("/var/lib/infisical-upgrade/loaded", "770\n")
    else:
        host.volume(MAIN, base="old")
        host.volume(_NEW, base="new")
    return host


def test_an_unknown_phase_of_the_version_before_is_refused(tmp_path: Path) -> None:
    host = FakeEngine(tmp_path)
    host.write("/var/lib/infisical-upgrade/state", "20261125T101112Z-v0.160.0 moved infisical:1\n")
    with pytest.raises(RuntimeError) as refused:
        read_journal(host, transaction.find("upgrade"))
    assert refused.value.args[0].code == "refused.newer_tool"
