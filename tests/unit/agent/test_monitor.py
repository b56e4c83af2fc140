"""Test the runs of the monitor: their state, repeated deliveries, metrics and reports."""

import json
import os
import socket
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import delivery, health, monitor
from infisical_iac.agent.canary import CanaryRun, CanaryTarget
from infisical_iac.agent.files import write
from infisical_iac.agent.health import MonitorReport, Silence, report
from infisical_iac.agent.monitor import Destination, parse_config, parse_memory
from infisical_iac.agent.observed import History
from infisical_iac.agent.upkeep import Upkeep
from infisical_iac.core.agent import question
from tests.unit.agent.fake_runner import FakeRunner, answer
from tests.unit.agent.test_delivery import serve
from tests.unit.agent.watching import NOW

_STATE = "/var/lib/infisical-monitor/state.json"
_TIMER_DOWN = "Id=a.timer\nActiveState=inactive\n"


class _Host:
    """A host whose one problem is a timer that does not run, until it is repaired."""

    def __init__(self, root: Path, *targets: dict[str, Any], **config: Any) -> None:
        self.answers = {"systemctl show": _TIMER_DOWN, "docker ps": ""}
        self.runner, self.minute = FakeRunner(root, answers=self.answers), 0
        self.runner.write("/proc/uptime", "99999.0 1.0\n")
        self.runner.write("/var/lib/docker/x", "")
        self.runner.write("/etc/infisical/recovery-kit.json", '{"files": {}}')
        expected = {"timers": ["a.timer"]}
        settings = {"of": "web-1", "expected": expected, "targets": targets}
        text = json.dumps({**settings, **config})
        self.runner.write(health.CONFIG, text)

    def run(self, times: int = 1) -> list[str]:
        """Make runs, one a minute; return the lines for the journal."""
        lines = []
        for _ in range(times):
            lines += monitor.run(self.runner, NOW + 60 * self.minute)
            self.minute += 1
        return lines

    def repair(self) -> None:
        self.answers["systemctl show"] = "Id=a.timer\nActiveState=active\n"

    @property
    def state(self) -> dict[str, Any]:
        found = json.loads(self.runner.text(_STATE) or "{}")
        assert isinstance(found, dict)
        return found


def _to(url: str, name: str = "team", **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": "json", "to": url, **more}


def _phases(got: list[Any]) -> list[tuple[str, str]]:
    bodies = [json.loads(body) for *_, body in got]
    return [(each["phase"], each["check"]) for each in bodies]


def test_a_problem_is_posted_once_and_its_end_is_too(tmp_path: Path) -> None:
    with serve() as server:
        host = _Host(tmp_path, _to(server.url))
        lines = host.run(5)
        assert _phases(server.got) == [("begun", "timers")]
        host.repair()
        lines += host.run(5)
    assert _phases(server.got) == [("begun", "timers"), ("ended", "timers")]
    begun, ended = lines
    body = json.loads(server.got[0][3])
    assert (body["subject"], body["severity"]) == ("a.timer", "warning")
    assert begun.startswith(f"<4>warning: {body['error']}. ")
    assert begun.endswith(body["remedy"])
    assert ended == f"<5>over: {body['error']}"


def test_a_new_problem_is_evaluated_again_within_the_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        now = NOW
        monotonic = staticmethod(time.monotonic)

        def time(self) -> float:
            return self.now

        def sleep(self, seconds: float) -> None:
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(monitor, "time", clock)
    with serve() as server:
        host = _Host(tmp_path, _to(server.url))
        monkeypatch.setattr(monitor, "Runner", lambda: host.runner)
        for _ in range(2):
            assert monitor.main([]) == 0
            assert _phases(server.got) == [("begun", "timers")]
    assert 30 <= clock.now - NOW < 60


def test_addresses_are_read_from_their_own_files(tmp_path: Path) -> None:
    path = "/etc/infisical/keys/given_alert_team"
    with serve() as server, serve() as heart:
        target = {"name": "team", "kind": "json", "to_file": path}
        host = _Host(tmp_path, target, heartbeat_file="/etc/infisical/keys/given_heartbeat_url")
        lines = host.run(2)
        assert any("team: " in line for line in lines)
        assert any("heartbeat " in line for line in lines)
        host.runner.write(path, f"{server.url}\n")
        host.runner.write("/etc/infisical/keys/given_heartbeat_url", f"{heart.url}\n")
        host.run(2)
    assert _phases(server.got) == [("begun", "timers")]
    assert len(heart.got) == 2


def test_the_canary_runs_every_five_minutes_and_every_minute_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[float] = []
    failures = {0: "", 5: "logging in fails: HTTP 500", 6: "logging in fails: HTTP 500"}

    def run_canary(runner: Any, target: CanaryTarget, now: float) -> CanaryRun:
        assert target.url == "https://secrets.example.com"
        ran.append((now - NOW) / 60)
        return CanaryRun(now, {"login": 0.25}, failures.get(int(ran[-1]), ""))

    monkeypatch.setattr(monitor, "run_canary", run_canary)
    with serve() as server:
        target = {"url": "https://secrets.example.com"}
        host = _Host(tmp_path, _to(server.url), canary=target)
        host.repair()
        host.run(14)
    assert ran == [0, 5, 6, 7, 12]
    assert _phases(server.got) == [("begun", "canary"), ("ended", "canary")]
    metrics = host.runner.text("/var/lib/infisical-monitor/metrics.prom") or ""
    assert "infisical_monitor_canary_success 1\n" in metrics
    assert 'infisical_monitor_canary_seconds{step="login"} 0.25' in metrics


def test_undelivered_alerts_are_sent_by_a_later_run_in_order(tmp_path: Path) -> None:
    """Each run is a separate process, so the test covers a restart of the host too."""
    with serve(500) as server:
        host = _Host(tmp_path, _to(server.url))
        host.run(3)
        host.repair()
        host.run(3)
        tried = len(server.got)
        assert {each["target"] for each in host.state["undelivered"]} == {"team"}
        server.status = 200
        server.got.clear()
        host.run(2)
    assert tried == 5
    assert _phases(server.got) == [("begun", "timers"), ("ended", "timers")]
    assert host.state["undelivered"] == []


def test_a_failed_delivery_is_an_alert_at_the_other_targets(tmp_path: Path) -> None:
    with serve() as good, serve(500) as bad:
        host = _Host(tmp_path, _to(bad.url, "broken"), _to(good.url))
        lines = host.run(12)
        expected = [("begun", "timers"), ("begun", "delivery")]
        assert _phases(good.got) == expected
        bad.status = 200
        host.run(4)
        assert _phases(good.got) == [*expected, ("ended", "delivery")]
        assert _phases(bad.got)[-1:] == [("begun", "timers")]
    assert any("broken: HTTP 500" in line for line in lines)


def test_one_target_that_hangs_does_not_keep_the_others_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets only the first of its alerts, because a run must end within a minute."""
    monkeypatch.setattr(delivery, "_SECONDS", 0.2)
    with serve() as good, socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        host = _Host(tmp_path, _to(url, "broken"), _to(good.url))
        host.answers["systemctl list-units"] = '[{"unit": "a.service"}, {"unit": "b.service"}]'
        host.run(2)
        silent.settimeout(0)
        with closing(silent.accept()[0]), pytest.raises(BlockingIOError):
            silent.accept()
    assert len(_phases(good.got)) == 3
    assert len([each for each in host.state["undelivered"] if each["target"] == "broken"]) == 3


def test_a_full_disk_does_not_repeat_an_alert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, content: bytes, *, mode: int = 0o600) -> None:
        if "/var/lib/" in str(path):
            raise OSError(28, os.strerror(28))
        write(path, content, mode=mode)

    with serve() as server:
        host = _Host(tmp_path, _to(server.url))
        monkeypatch.setattr(monitor, "write", refuse)
        host.run(5)
        assert host.state == {}
        monkeypatch.undo()
        host.run(3)
    assert _phases(server.got) == [("begun", "timers")]
    assert host.state["at"] == NOW + 7 * 60


def test_a_run_that_dies_before_it_sends_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with serve() as server:
        host = _Host(tmp_path, _to(server.url))
        host.run()
        monkeypatch.setattr(monitor, "deliver", die)
        with pytest.raises(KeyboardInterrupt):
            host.run()
        host.minute += 1
        monkeypatch.undo()
        host.run()
    assert _phases(server.got) == [("begun", "timers")]


def test_a_target_of_the_jobs_gets_only_their_failures(tmp_path: Path) -> None:
    with serve() as server:
        host = _Host(tmp_path, _to(server.url, only_jobs=True))
        host.answers["systemctl list-units"] = '[{"unit": "infisical-maintenance.service"}]'
        host.run(4)
    assert _phases(server.got) == [("begun", "units")]


def test_a_target_that_the_settings_no_longer_name_is_forgotten(tmp_path: Path) -> None:
    host = _Host(tmp_path, _to("http://127.0.0.1:1/x"))
    host.run(3)
    assert len(host.state["undelivered"]) == 1
    host.runner.write(health.CONFIG, "{}")
    host.run()
    assert (host.state["undelivered"], host.state["failing"]) == ([], {})


def test_a_silence_ends_by_itself(tmp_path: Path) -> None:
    with serve() as server:
        host = _Host(tmp_path, _to(server.url))
        silence = {"until": NOW + 300, "why": "a move", "by": "ada"}
        host.runner.write(health.SILENCE, json.dumps(silence))
        host.run(5)
        assert server.got == []
        host.run(2)
    assert _phases(server.got) == [("begun", "timers")]


def test_the_heartbeat_fails_only_during_a_critical_alert(tmp_path: Path) -> None:
    with serve() as server:
        host = _Host(tmp_path, heartbeat=server.url)
        host.run(2)
        host.runner.write("/var/lib/infisical-upgrade/state", "swapped")
        host.minute += 11
        host.run(1)
        host.minute += 11
        host.run(1)
    paths = [path.rpartition("/")[2] for _, path, *_ in server.got]
    # A warning does not make the heartbeat fail.
    assert paths == ["obviously-fake", "obviously-fake", "obviously-fake", "fail"]


def test_the_heartbeat_reports_a_failed_drill_although_it_is_a_warning(tmp_path: Path) -> None:
    with serve() as server:
        expected = {"timers": [], "backup_targets": ["local"]}
        host = _Host(tmp_path, heartbeat=server.url, expected=expected)
        failed = {"ended": "2026-11-25T11:00:00Z", "success": "", "failure": "no space"}
        host.runner.write("/var/lib/infisical-drill/last.json", json.dumps(failed))
        host.run()
    (asked,) = server.got
    assert (asked[1].rpartition("/")[2], asked[3]) == ("fail", b"the last drill failed: no space")


def test_a_test_alert_goes_to_each_target_and_the_heartbeat(tmp_path: Path) -> None:
    with serve() as good, serve(500) as bad, serve() as heart:
        targets = (_to(good.url), _to(bad.url, "broken"), _to(good.url, "jobs", only_jobs=True))
        host = _Host(tmp_path, *targets, heartbeat=heart.url)
        found = monitor.send_test(host.runner, by="ada")
    assert found == {"team": "", "broken": "HTTP 500", "jobs": "", "heartbeat": ""}
    body = json.loads(good.got[0][3])
    assert (body["check"], body["severity"]) == ("test", "warning")
    assert body["error"].startswith("ada ")
    assert len(heart.got) == 1
    # What waits for a target stays as it is.
    assert host.state == {}


def test_the_metrics_are_written_for_prometheus_too(tmp_path: Path) -> None:
    host = _Host(tmp_path)
    (tmp_path / health.COLLECTED.lstrip("/")).parent.mkdir(parents=True)
    host.run(2)
    text = host.runner.text(health.COLLECTED) or ""
    assert text == host.runner.text("/var/lib/infisical-monitor/metrics.prom")
    alert = 'infisical_monitor_alert{check="timers",subject="a.timer",severity="warning"} 1'
    assert alert in text.splitlines()
    assert f"infisical_monitor_run_timestamp_seconds {NOW + 60}" in text.splitlines()
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len({*names})


def test_status_gets_the_alerts_and_the_silence(tmp_path: Path) -> None:
    asked = question(report)
    host = _Host(tmp_path, _to("http://127.0.0.1:1/x"))
    assert answer(asked, host.runner) == MonitorReport()
    host.run(2)
    silence: dict[str, Any] = {"until": time.time() + 60, "why": "a move", "by": "ada"}
    host.runner.write(health.SILENCE, json.dumps(silence))
    found = answer(asked, host.runner)
    (alert,) = host.state["book"]["alerts"].values()
    assert (alert["check"], alert["subject"]) == ("timers", "a.timer")
    assert (found.at, found.alerts) == (NOW + 60, (alert["text"],))
    assert [*found.failing] == ["team"]
    assert found.failing["team"].split()[-1] == "refused"
    assert found.silence == Silence(silence["until"], "a move", "ada")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"at": 1}', '{"at": 1, "book": 2}'])
def test_a_state_that_cannot_be_read_is_none(text: str) -> None:
    assert parse_memory(text) == monitor.MonitorMemory()


def test_keys_of_a_newer_version_are_ignored() -> None:
    found = parse_config(
        '{"of": "a", "new": 1, "targets": [{"name": "n", "kind": "json", "to": "t", "x": 1}]}'
    )
    assert (found.of, found.targets) == ("a", [Destination("n", "json", "t")])


def test_a_state_is_read_as_it_was_saved(tmp_path: Path) -> None:
    host = _Host(tmp_path)
    upkeep = Upkeep(
        inode=7,
        offset=9,
        hours={"sshd": [(1, 2, 3)]},
        upgrades={"openssl": NOW},
        asked_at=NOW,
        repositories={"s3": (NOW, "HTTP 503")},
    )
    history = History({}, [(NOW, 5)], upkeep, NOW, NOW)
    monitor._save(host.runner, monitor.MonitorMemory(NOW, history=history))
    assert monitor.load_memory(host.runner).history == history


def test_a_state_of_an_older_version_keeps_its_alerts(tmp_path: Path) -> None:
    host = _Host(tmp_path)
    host.run(2)
    state = host.state
    for name in ("upkeep", "leads_since", "changed_at"):
        del state["history"][name]
    assert [*parse_memory(json.dumps(state)).book.alerts] == ["timers:a.timer"]


def test_a_repository_that_does_not_answer_is_reported_until_it_does(tmp_path: Path) -> None:
    repository = {"target": "nas", "kind": "directory", "place": "/mnt/nas"}
    with serve() as server:
        expected = {"repositories": [repository]}
        host = _Host(tmp_path, _to(server.url), expected=expected)
        host.runner.write("/var/lib/infisical-backup/targets/nas", "success 1795600800\n")
        host.run(3)
        assert _phases(server.got) == [("begun", "repository")]
        host.runner.write("/mnt/nas/config", "")
        host.run(3)
    assert _phases(server.got)[1:] == [("ended", "repository")]
    text = host.runner.text("/var/lib/infisical-monitor/metrics.prom") or ""
    assert 'infisical_monitor_repository_answers{target="nas"} 1' in text.splitlines()


def test_only_root_can_read_the_state_of_the_monitor(tmp_path: Path) -> None:
    host = _Host(tmp_path)
    host.run()
    for path in (_STATE, "/var/lib/infisical-monitor/metrics.prom"):
        assert host.runner.path(path).stat().st_mode & 0o777 == 0o600
