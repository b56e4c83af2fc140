"""Test a run of the agent's backup, with a fake dump and a fake restic."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import backup, reporting, restic
from infisical_iac.agent.files import hold
from infisical_iac.agent.runner import Failure, Output, Runner
from infisical_iac.backup.record import parse_record
from tests.unit.agent.fake_runner import FakeRunner

_STATE = "/var/lib/infisical-backup"
_WORK = f"{_STATE}/work"
# The end of Docker's error on a node of a Swarm that has lost its quorum.
_NO_LEADER = Output(1, errors="the swarm does not have a leader")
_STATUS = "docker node inspect --format {{json .ManagerStatus}} self"


class _World:
    """A host whose dump and repositories only note their calls; those in `failing` fail."""

    def __init__(self, root: Path) -> None:
        self.host = FakeRunner(root, answers={})
        self.did: list[str] = []
        self.failing: dict[str, str] = {}
        self.configure("local box")

    def configure(self, targets: str, more: str = "") -> None:
        self.host.write("/etc/infisical/backup/backup.conf", f"TARGETS='{targets}'\n{more}\n")

    def dump(self, runner: Runner, *, folder: str) -> None:
        self._note("dump")
        self.host.write(f"{folder}/snapshot/database.dump", "a dump")

    def save(self, runner: Runner, target: str, folder: str) -> Iterator[str]:
        self._note(target)
        yield "snapshot 0123abcd"
        yield "added 5"
        self._note(f"{target} forgets")
        yield "snapshots 2"

    def end_sessions(self, _: Runner) -> None:
        self._note("sessions")

    def _note(self, what: str) -> None:
        self.did.append(what)
        if what in self.failing:
            raise RuntimeError(Failure("command", self.failing[what], "mend it"))

    @property
    def record(self) -> Any:
        return json.loads(self.host.text(f"{_STATE}/last.json") or "")

    def metrics(self) -> list[str]:
        lines = (self.host.text(f"{_STATE}/metrics.prom") or "").splitlines()
        return [each for each in lines if not each.startswith("#")]

    def work(self) -> list[Path]:
        return [*self.host.path(_WORK).iterdir()]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _World:
    made = _World(tmp_path)
    monkeypatch.setattr(backup, "make_dump", made.dump)
    monkeypatch.setattr(backup, "end_sessions", made.end_sessions)
    monkeypatch.setattr(restic, "save", made.save)
    return made


def test_a_backup_is_saved_in_each_target_and_recorded(world: _World) -> None:
    assert backup.run_backup(world.host) == 0
    assert world.did == ["dump", "local", "local forgets", "box", "box forgets"]
    found = parse_record(world.host.text(f"{_STATE}/last.json") or "")
    assert (found.failure, found.bytes) == ("", 6)
    assert [(each.name, each.snapshot, each.added, each.snapshots) for each in found.targets] == [
        (name, "0123abcd", 5, 2) for name in ("local", "box")
    ]
    assert len(found.saved_targets) == 2
    assert world.work() == []
    assert not world.host.path(f"{_STATE}/running").exists()
    assert len((world.host.text(f"{_STATE}/history.jsonl") or "").splitlines()) == 1


def test_the_metrics_are_those_of_the_run_and_of_each_target(world: _World) -> None:
    collector = world.host.path("/var/lib/prometheus/node-exporter")
    collector.mkdir(parents=True)
    backup.run_backup(world.host)
    values = dict(each.rsplit(" ", 1) for each in world.metrics())
    assert values["infisical_backup_run_success"] == "1"
    assert values["infisical_backup_dump_bytes"] == "6"
    assert values['infisical_backup_added_bytes{target="box"}'] == "5"
    assert values['infisical_backup_snapshots{target="local"}'] == "2"
    assert int(values['infisical_backup_success_timestamp_seconds{target="local"}']) > 0
    (collected,) = collector.iterdir()
    assert collected.name == "infisical_backup.prom"
    assert collected.stat().st_mode & 0o777 == 0o644
    assert collected.read_text() == world.host.text(f"{_STATE}/metrics.prom")


def test_a_target_that_fails_keeps_its_last_success_and_stops_no_other(world: _World) -> None:
    backup.run_backup(world.host)
    before = world.record["targets"][0]
    world.failing["local"] = "refused"
    assert backup.run_backup(world.host) == 1
    local, box = world.record["targets"]
    assert world.record["failure"] == "local: refused: mend it"
    assert local == {**before, "error": "refused: mend it"}
    assert box["error"] == ""
    assert "infisical_backup_run_success 0" in world.metrics()


def test_a_snapshot_counts_although_old_ones_can_not_be_removed(world: _World) -> None:
    world.configure("local")
    world.failing["local forgets"] = "locked"
    assert backup.run_backup(world.host) == 1
    found = parse_record(world.host.text(f"{_STATE}/last.json") or "")
    assert [each.snapshot for each in found.saved_targets] == ["0123abcd"]
    assert found.targets[0].error == "locked: mend it"


def test_a_failed_dump_is_saved_nowhere(world: _World) -> None:
    world.failing["dump"] = '"down"\nnow'
    assert backup.run_backup(world.host) == 1
    assert world.did == ["dump"]
    assert world.record["failure"] == "'down' now: mend it"
    assert [each["error"] for each in world.record["targets"]] == ["", ""]
    assert world.record["bytes"] == 0


def test_an_unexpected_error_of_a_target_is_reported_without_its_text(
    world: _World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.configure("local")

    def fail(*_: object) -> Iterator[str]:
        raise ValueError("obviously-fake-secret")

    monkeypatch.setattr(restic, "save", fail)
    assert backup.run_backup(world.host) == 1
    assert "ValueError" in world.record["failure"]
    assert "secret" not in world.record["failure"]


@pytest.mark.parametrize("other", ["restore", "upgrade", "scale"])
def test_no_backup_is_made_during_a_change(
    world: _World, capsys: pytest.CaptureFixture[str], other: str
) -> None:
    world.host.write(f"/var/lib/infisical-{other}/state", "x")
    assert backup.run_backup(world.host) == 0
    assert world.did == []
    assert f"the {other} " in capsys.readouterr().out
    assert not world.host.path(f"{_STATE}/last.json").exists()


def test_a_drill_that_reads_a_snapshot_is_waited_for(
    world: _World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(backup, "_PATIENCE", 0)
    monkeypatch.setattr(backup, "Runner", lambda: world.host)
    with hold(world.host.path(backup.LOCK), 0, "busy"):
        assert backup.main(["run"]) == 1
    assert "a drill " in capsys.readouterr().err
    assert world.did == []


def test_a_killed_run_is_cleaned_up_and_recorded(world: _World) -> None:
    backup.run_backup(world.host)
    world.host.write(f"{_STATE}/running", "1764000000\n")
    world.host.write(f"{_WORK}/snapshot/database.dump", "half")
    ending = {"EXIT_CODE": "killed", "EXIT_STATUS": "KILL"}
    assert backup.record_killed(world.host, ending) == 0
    assert world.did[-1] == "sessions"
    assert world.record["failure"].endswith(" (killed KILL)")
    assert world.record["began"] == "2025-11-24T16:00:00Z"
    assert world.record["targets"][0]["snapshot"] == "0123abcd"
    assert world.work() == []
    count = len(world.did)
    assert backup.record_killed(world.host, ending) == 0
    assert len(world.did) == count


def test_the_sessions_of_a_run_that_a_power_cut_ended_are_ended_first(world: _World) -> None:
    world.host.write(f"{_STATE}/running", "1764000000\n")
    assert backup.run_backup(world.host) == 0
    assert world.did[0] == "sessions"


def test_a_record_of_a_former_version_is_read(world: _World) -> None:
    text = "success 1764000000\nsnapshot aaaa\nadded 9\nsnapshots 3\nerror no route\n"
    world.host.write(f"{_STATE}/targets/local", text)
    world.failing["local"] = "again"
    backup.run_backup(world.host)
    assert world.record["targets"][0] == {
        "name": "local",
        "success": "2025-11-24T16:00:00Z",
        "snapshot": "aaaa",
        "added": 9,
        "snapshots": 3,
        "error": "again: mend it",
    }


_NODE = "NODE=2\nSHARED=box"


@pytest.mark.parametrize(
    ("more", "status", "targets", "said"),
    [
        ("", Output(127), ["local", "box"], ""),
        (_NODE, Output(0, '{"Leader":true}'), ["local", "box"], ""),
        (_NODE, Output(0, '{"Reachability":"reachable"}'), ["local"], "box "),
        (_NODE, _NO_LEADER, ["local", "box"], ""),
        ("NODE=0\nSHARED=box", Output(127), [], "no data"),
    ],
    ids=["a host of its own", "leads", "follows", "no leader", "no data"],
)
def test_the_leader_writes_the_shared_targets(
    world: _World,
    capsys: pytest.CaptureFixture[str],
    more: str,
    status: Output,
    targets: list[str],
    said: str,
) -> None:
    world.configure("local box", more)
    host = FakeRunner(world.host.root, answers={_STATUS: status})
    assert backup.find_own_targets(host, backup.read_sharing(host)) == targets
    printed = capsys.readouterr().out
    assert said in printed
    assert bool(said) is bool(printed)


def test_a_node_with_nothing_to_write_succeeds_and_names_the_target(
    world: _World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.configure("box", _NODE)
    host = FakeRunner(world.host.root, answers={_STATUS: "{}"})
    assert backup.run_backup(host) == 0
    assert capsys.readouterr().out.startswith("box ")
    assert world.did == []


def test_a_request_has_a_node_write_the_shared_targets_once(world: _World) -> None:
    world.configure("box", _NODE)
    host = FakeRunner(world.host.root, answers={_STATUS: "{}"})
    host.write(f"{_STATE}/request", "now\n")
    assert backup.run_backup(host) == 0
    assert world.did[1] == "box"
    world.did.clear()
    backup.run_backup(host)
    assert world.did == []


def test_a_host_without_backups_lists_nothing(tmp_path: Path) -> None:
    assert backup.list_targets(FakeRunner(tmp_path)) == []


def test_each_target_is_listed_with_its_snapshots_or_its_error(
    world: _World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed(_: Runner, target: str) -> list[dict[str, Any]]:
        if target == "box":
            raise RuntimeError(Failure("command", "no route"))
        return [{"short_id": "aa"}]

    monkeypatch.setattr(restic, "list_snapshots", listed)
    local, box = backup.list_targets(world.host)
    assert (local.name, local.snapshots, local.error) == ("local", [{"short_id": "aa"}], "")
    assert (box.name, box.snapshots, box.error) == ("box", [], "no route")


def test_a_failure_is_reported_with_the_reason_of_the_record(
    world: _World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(backup, "Runner", lambda: world.host)
    world.host.write(f"{_STATE}/last.json", '{"failure": "local: no route"}')
    assert backup.main(["failed"]) == 0
    assert capsys.readouterr().err.endswith(" failed: local: no route\n")


def test_the_errors_of_the_webhook_are_in_the_journal_and_its_status_is_returned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = FakeRunner(tmp_path, answers={"curl": Output(22, errors="curl: (22) 404\n")})
    host.write("/etc/infisical/backup/webhook", 'url = "https://fake.example/"\n')
    assert reporting.report_failure(host, "The backup of Infisical", _STATE) == 22
    assert "curl: (22) 404" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('a "b"\tc\\d\ne  ', "a 'b' c/d e"),
        ("caf\u00e9\x1b[31m", "caf[31m"),
        ("x" * 500, "x" * 400),
    ],
)
def test_a_reason_is_one_short_line_without_escapes(text: str, line: str) -> None:
    assert reporting.plain(text) == line


@pytest.mark.parametrize("arguments", [[], ["other"], ["run", "more"]])
def test_unknown_arguments_fail(arguments: list[str]) -> None:
    assert backup.main(arguments) == 2
