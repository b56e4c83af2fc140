"""Test a drill of the agent, with a fake repository and a fake copy of the data."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import backup, drill, restic, snapshot
from infisical_iac.agent.decryption import DecryptedContents
from infisical_iac.agent.files import hold
from infisical_iac.agent.runner import Failure, Output, Runner
from infisical_iac.agent.snapshot import FetchedSnapshot, LoadedSnapshot, SnapshotPlace
from infisical_iac.backup.record import parse_drill
from tests.unit.agent.fake_runner import FakeRunner, docker_answers, docker_container

_STATE = "/var/lib/infisical-drill"
_WORK = f"{_STATE}/work"
_KEY = "0123456789abcdef"
_OWN = ("AUTH_SECRET", "POSTGRES_PASSWORD", "REDIS_PASSWORD")
_LIVE = "infisical/infisical:v0.165.16"


class _World:
    """A host whose snapshots only note what is done to them; what is in `failing` fails."""

    def __init__(self, root: Path) -> None:
        self.answers: dict[str, str | Output] = {"docker image inspect": ""}
        self.host = FakeRunner(root, answers=self.answers)
        self.did: list[str] = []
        self.failing: dict[str, str] = {}
        self.rows = {"projects": 2}
        self.variables = ""
        self.listed = [
            {"id": "aaaa1111", "short_id": "aaaa", "tags": ["infisical-iac", "bytes=10"]},
            {"id": "bbbb2222", "short_id": "bbbb", "tags": ["infisical-iac", "bytes=20"]},
        ]
        self.manifest: dict[str, Any] = {
            "format": 1,
            "at": "2026-11-25T02:30:11Z",
            "encryption_key": _KEY,
            "infisical": {"version": "v0.165.16", "image": _LIVE, "id": "sha256:aa", "digest": ""},
            "rows": {"projects": 2},
        }
        self.configure("local box")

    def configure(self, targets: str, more: str = "") -> None:
        self.host.write("/etc/infisical/backup/backup.conf", f"TARGETS='{targets}'\n{more}\n")

    def list(self, _: Runner, target: str) -> list[dict[str, Any]]:
        self._note(f"list {target}")
        return self.listed

    def fetch(
        self, runner: Runner, *, directory: str, target: str, snapshot: str
    ) -> FetchedSnapshot:
        self._note(f"fetch {snapshot} of {target}")
        text = json.dumps(self.manifest)
        self.host.write(f"{directory}/fetched/manifest.json", text)
        return FetchedSnapshot(_KEY, text)

    def load(self, runner: Runner, place: SnapshotPlace) -> LoadedSnapshot:
        self._note(f"load {place.seconds}")
        self.variables = self.host.text(place.variables) or ""
        return LoadedSnapshot(self.rows, "7")

    def serve(self, runner: Runner, place: SnapshotPlace) -> str:
        self._note("serve")
        return "172.19.0.2"

    def decrypt(self, runner: Runner, url: str) -> DecryptedContents:
        self._note(url)
        return DecryptedContents("deployer", "alive", 3, 1)

    def clean(self, runner: Runner, place: SnapshotPlace) -> None:
        self._note("clean")
        self.host.path(f"{place.directory}/fetched/manifest.json").unlink(missing_ok=True)

    def _note(self, what: str) -> None:
        self.did.append(what)
        if what in self.failing:
            raise RuntimeError(Failure("command", self.failing[what]))

    def request(self, text: str, *, age: float = 0) -> None:
        file = self.host.write(f"{_STATE}/request", text)
        os.utime(file, (time.time() - age,) * 2)

    def change(self, what: str = "restore") -> None:
        self.host.write(f"/var/lib/infisical-{what}/state", "x")

    @property
    def record(self) -> Any:
        return json.loads(self.host.text(f"{_STATE}/last.json") or "")

    def values(self) -> dict[str, str]:
        """Return the variables that the copy was started with."""
        return dict(each.split("=", 1) for each in self.variables.splitlines())


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _World:
    made = _World(tmp_path)
    for name in ("fetch", "load", "serve", "clean"):
        monkeypatch.setattr(snapshot, name, getattr(made, name))
    monkeypatch.setattr(restic, "list_snapshots", made.list)
    monkeypatch.setattr(drill, "decrypt_contents", made.decrypt)
    monkeypatch.setattr(time, "sleep", lambda seconds: made.did.append(f"sleep {seconds}"))
    return made


def _fails(world: _World) -> str:
    assert drill.run_drill(world.host, 5) == 1
    assert world.did[-1] == "clean"
    return str(world.record["failure"])


def test_a_drill_proves_the_latest_snapshot_of_the_first_target(
    world: _World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drill.run_drill(world.host, 5) == 0
    assert world.did == [
        "sleep 0",
        "clean",
        "list local",
        "fetch bbbb of local",
        "load 5",
        "serve",
        "http://172.19.0.2:8080",
        "clean",
    ]
    found = parse_drill(world.host.text(f"{_STATE}/last.json") or "")
    assert (found.failure, found.target, found.snapshot) == ("", "local", "bbbb")
    assert (found.at, found.version) == ("2026-11-25T02:30:11Z", "v0.165.16")
    assert (found.login, found.canary, found.folders, found.secrets) == ("deployer", "alive", 3, 1)
    assert found.success == found.ended
    printed = capsys.readouterr().out
    assert "snapshot bbbb of local" in printed
    assert " 1 secret in 3 folders " in printed
    metrics = (world.host.text(f"{_STATE}/metrics.prom") or "").splitlines()
    assert {"infisical_drill_run_success 1", "infisical_drill_secrets 1"} <= {*metrics}
    assert [*world.host.path(_WORK).iterdir()] == []
    assert not world.host.path(f"{_STATE}/running").exists()


def test_a_drill_has_passwords_of_its_own(world: _World) -> None:
    live = dict.fromkeys(_OWN, "obviously-fake")
    text = "".join(f"{name}={value}\n" for name, value in live.items())
    world.host.write("/etc/infisical/.env", f"# keys\nENCRYPTION_KEY=fake\n{text}")
    drill.run_drill(world.host, 5)
    lines = world.variables.splitlines()
    seen = dict(each.split("=", 1) for each in lines if "=" in each)
    assert len({seen[name] for name in _OWN}) == 3
    assert {len(seen[name]) for name in _OWN} == {64}
    assert (seen["ENCRYPTION_KEY"], seen["INFISICAL_IMAGE"]) == ("fake", "sha256:aa")
    assert "obviously-fake" not in world.variables


def test_the_variables_are_readable_only_by_root_and_no_argument(
    world: _World, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []

    def load(runner: Runner, place: SnapshotPlace) -> LoadedSnapshot:
        modes.append(runner.path(place.variables).stat().st_mode & 0o777)
        return LoadedSnapshot(world.rows, "7")

    monkeypatch.setattr(snapshot, "load", load)
    drill.run_drill(world.host, 5)
    assert modes == [0o600]


def test_the_next_target_is_used_and_the_failure_of_the_first_is_reported(world: _World) -> None:
    world.failing["list local"] = "refused"
    failure = _fails(world)
    assert failure.startswith("local: refused; ")
    assert "snapshot of box" in failure
    assert (world.record["target"], world.record["snapshot"]) == ("box", "bbbb")
    assert world.record["success"] == ""


def test_without_any_whole_snapshot_each_reason_is_reported(world: _World) -> None:
    world.failing["list local"] = "refused"
    world.failing["fetch bbbb of box"] = "altered"
    assert _fails(world) == "local: refused; box: altered"
    assert world.record["target"] == ""


@pytest.mark.parametrize(
    ("what", "reason"), [("load 5", "no space"), ("serve", "no start"), ("clean", "no removal")]
)
def test_a_step_that_fails_is_reported_with_its_target(
    world: _World, what: str, reason: str
) -> None:
    world.failing[what] = reason
    failure = _fails(world)
    assert failure.endswith(f": {reason}")
    assert failure.startswith("local: ") is (what != "clean")


def test_a_failed_drill_keeps_the_time_of_the_last_success(world: _World) -> None:
    drill.run_drill(world.host, 5)
    success = world.record["success"]
    world.failing["serve"] = "no start"
    _fails(world)
    assert world.record["success"] == success
    metrics = world.host.text(f"{_STATE}/metrics.prom") or ""
    assert "infisical_drill_run_success 0\n" in metrics
    assert "infisical_drill_success_timestamp_seconds 1" in metrics


def test_other_numbers_of_rows_fail(world: _World) -> None:
    world.rows = {"projects": 3}
    assert _fails(world).endswith(": projects 3 instead of 2")


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({"format": 2}, ["format 2", "reads 1"]),
        ({"encryption_key": "ffff"}, ["fingerprint ffff", f"encryption_key has {_KEY}"]),
        ({"format": None}, ["reads 1"]),
    ],
)
def test_a_snapshot_that_this_host_can_not_use_is_not_loaded(
    world: _World, change: dict[str, object], facts: list[str]
) -> None:
    world.manifest.update(change)
    failure = _fails(world)
    assert [each for each in facts if each not in failure] == []
    assert "load 5" not in world.did


def test_an_image_is_found_by_its_digest(world: _World) -> None:
    world.manifest["infisical"]["digest"] = "x@sha256:bb"
    del world.answers["docker image inspect"]
    world.answers["docker image inspect x@sha256:bb"] = ""
    assert drill.run_drill(world.host, 5) == 0
    assert world.values()["INFISICAL_IMAGE"] == "x@sha256:bb"


@pytest.mark.parametrize("suffix", ["", "@sha256:cc"])
def test_the_live_image_of_the_same_version_is_used(world: _World, suffix: str) -> None:
    container = docker_container("app", project="infisical", service="infisical")
    container["Config"]["Image"] = f"{_LIVE}{suffix}"
    del world.answers["docker image inspect"]
    world.answers.update(docker_answers(container))
    assert drill.run_drill(world.host, 5) == 0
    assert world.values()["INFISICAL_IMAGE"] == "sha256:app"


def test_a_snapshot_without_an_image_on_the_host_fails(world: _World) -> None:
    del world.answers["docker image inspect"]
    world.answers.update(docker_answers())
    failure = _fails(world)
    assert "v0.165.16" in failure
    assert _LIVE in failure


def test_a_request_names_a_snapshot_and_a_target(world: _World) -> None:
    world.configure("local box", "NODE=3\nSHARED=box")
    world.request("aaaa box\n")
    assert drill.run_drill(world.host, 5) == 0
    assert world.did[:3] == ["clean", "list box", "fetch aaaa of box"]
    assert not world.host.path(f"{_STATE}/request").exists()


def test_a_request_may_name_all_targets(world: _World) -> None:
    world.request("latest \n")
    assert drill.run_drill(world.host, 5) == 0
    assert "fetch bbbb of local" in world.did


def test_an_old_request_is_ignored(world: _World) -> None:
    world.request("aaaa box\n", age=301)
    assert drill.run_drill(world.host, 5) == 0
    assert "fetch bbbb of local" in world.did
    assert not world.host.path(f"{_STATE}/request").exists()


def test_an_unknown_snapshot_is_reported(world: _World) -> None:
    world.request("cccc box\n")
    failure = _fails(world)
    assert failure.startswith("box: ")
    assert failure.endswith(" snapshot cccc")


def test_a_repository_without_snapshots_is_reported(world: _World) -> None:
    world.listed = []
    failure = _fails(world)
    assert "no snapshot; box: " in failure
    assert failure.endswith("no snapshot")


def test_a_snapshot_that_may_not_fit_is_not_fetched(world: _World) -> None:
    world.listed[1]["tags"] = ["bytes=999999999999999"]
    failure = _fails(world)
    assert f"in {_STATE}, which has " in failure
    assert [each for each in world.did if each.startswith("fetch")] == []


def test_the_nodes_of_a_cluster_take_turns(world: _World) -> None:
    world.configure("local", "NODE=3\nSHARED=")
    world.answers["docker node inspect"] = "{}"
    assert drill.run_drill(world.host, 5) == 0
    assert world.did[0] == "sleep 2400"


@pytest.mark.parametrize("more", ["NODE=0\nSHARED=box", "NODE=2\nSHARED='local box'"])
def test_a_node_with_nothing_to_read_succeeds(world: _World, more: str) -> None:
    world.configure("local box", more)
    world.answers["docker node inspect"] = "{}"
    assert drill.run_drill(world.host, 5) == 0
    assert world.did == []
    assert not world.host.path(f"{_STATE}/last.json").exists()


@pytest.mark.parametrize("what", ["restore", "upgrade"])
def test_a_drill_is_put_off_for_a_change_that_does_not_end(
    world: _World, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    world.change(what)
    assert drill.run_drill(world.host, 5) == 0
    assert world.did.count("sleep 5") == 120
    assert "skipped" in capsys.readouterr().out
    assert not world.host.path(f"{_STATE}/last.json").exists()


def test_a_drill_that_a_change_disturbed_is_put_off(world: _World) -> None:
    world.host.write(f"{_STATE}/last.json", "{}")

    def serve(*_: object, **__: object) -> str:
        world.change()
        raise RuntimeError(Failure("command", "stopped"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "serve", serve)
        assert drill.run_drill(world.host, 5) == 0
    assert world.host.text(f"{_STATE}/last.json") == "{}"
    assert not world.host.path(f"{_STATE}/running").exists()
    assert world.did[-1] == "clean"


def test_a_drill_that_succeeds_despite_a_change_counts(
    world: _World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decrypt(*_: object) -> DecryptedContents:
        world.change()
        return DecryptedContents("deployer", "alive", 3, 1)

    monkeypatch.setattr(drill, "decrypt_contents", decrypt)
    assert drill.run_drill(world.host, 5) == 0
    assert world.record["failure"] == ""


def test_a_backup_that_does_not_end_fails_the_drill(
    world: _World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drill, "_PATIENCE", 0)
    with hold(world.host.path(backup.LOCK), 0, "busy"):
        assert "a backup " in _fails(world)


def test_a_killed_drill_is_cleaned_up_and_recorded(world: _World) -> None:
    world.host.write(f"{_STATE}/running", "1764000000\n")
    world.host.write(f"{_WORK}/variables", "AUTH_SECRET=obviously-fake")
    ending = {"EXIT_CODE": "killed", "EXIT_STATUS": "KILL"}
    assert drill.record_killed(world.host, ending) == 0
    found = parse_drill(world.host.text(f"{_STATE}/last.json") or "")
    assert found.failure.endswith(" (killed KILL)")
    assert (found.target, found.success) == ("", None)
    assert not world.host.path(f"{_WORK}/variables").exists()
    assert world.did == ["clean"]
    assert drill.record_killed(world.host, ending) == 0
    assert world.did == ["clean"]


def test_a_failure_is_reported_with_the_reason_of_the_record(
    world: _World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drill, "Runner", lambda: world.host)
    world.host.write(f"{_STATE}/last.json", '{"failure": "local: no route"}')
    assert drill.main(["failed"]) == 0
    assert capsys.readouterr().err.endswith(" failed: local: no route\n")


@pytest.mark.parametrize("arguments", [[], ["other"], ["run"]])
def test_unknown_arguments_fail(arguments: list[str]) -> None:
    assert drill.main(arguments) == 2
