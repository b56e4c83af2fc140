"""Test the maintenance window and the firewall's fallback, as units of systemd run them."""

import fcntl
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import maintenance
from infisical_iac.agent.runner import Output
from tests.unit.agent.fake_runner import FakeRunner, docker_answers, docker_container
from tests.unit.agent.fake_swarm import NODES, swarm_answers

_STATE = "/var/lib/infisical-maintenance"
_LOCK = "/run/infisical-iac.lock"
_HEALTHY = docker_container("c1", project="infisical", service="redis", health="healthy")
_LISTED = "ii  docker.io\nhi  runc\nun  docker-ce\nii  containerd\n"


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """No test waits; the list has how long it would have."""
    times: list[float] = []
    monkeypatch.setattr(time, "sleep", times.append)
    monkeypatch.setattr(maintenance, "_PATIENCE", 90)
    return times


@pytest.fixture
def host(tmp_path: Path) -> FakeRunner:
    """A host whose containers are healthy."""
    return FakeRunner(
        tmp_path,
        answers={
            "dpkg-query": _LISTED,
            "apt-get": "",
            "systemctl": "",
            "docker info": '{"LocalNodeState": "inactive"}',
            **docker_answers(_HEALTHY),
        },
    )


def _failure(host: FakeRunner) -> str:
    assert not host.path(f"{_STATE}/running").exists()
    return str(json.loads(host.text(f"{_STATE}/last.json") or "")["failure"])


def _upgrades(host: FakeRunner) -> list[str]:
    calls = (command.partition(" install ") for command, _ in host.ran)
    return [arguments for command, found, arguments in calls if found and "apt-get" in command]


def _reboots(host: FakeRunner) -> bool:
    return any(command == "systemctl reboot" for command, _ in host.ran)


def test_dockers_packages_are_upgraded_except_held_packages(host: FakeRunner) -> None:
    assert maintenance.run_window(host, reboots=True) == 0
    assert _upgrades(host) == ["docker.io containerd"]
    assert _failure(host) == ""


def test_the_host_reboots_only_if_an_update_requires_it_and_the_settings_allow_it(
    host: FakeRunner, capsys: pytest.CaptureFixture[str]
) -> None:
    maintenance.run_window(host, reboots=True)
    assert not _reboots(host)
    host.write("/run/reboot-required", "")
    host.write("/run/reboot-required.pkgs", "linux-image-amd64\n")
    maintenance.run_window(host, reboots=False)
    assert not _reboots(host)
    maintenance.run_window(host, reboots=True)
    assert _reboots(host)
    assert "linux-image-amd64" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["restore", "upgrade", "rotation", "scale"])
def test_an_unfinished_change_prevents_the_maintenance(host: FakeRunner, what: str) -> None:
    host.write(f"/var/lib/infisical-{what}/state", "")
    host.write("/run/reboot-required", "")
    assert maintenance.run_window(host, reboots=True) == 1
    assert what in _failure(host)
    assert not _upgrades(host)
    assert not _reboots(host)


def test_a_running_drill_prevents_the_maintenance(host: FakeRunner) -> None:
    drilling = {"systemctl show": "activating\n", **host.answers}
    host = replace(host, answers=drilling)
    assert maintenance.run_window(host, reboots=False) == 1
    assert _failure(host).startswith("a drill ")
    assert not _upgrades(host)


@pytest.mark.parametrize(
    ("lock", "holder"), [(_LOCK, "a run"), ("/var/lib/infisical-backup/lock", "a backup")]
)
def test_a_lock_of_a_run_or_a_backup_prevents_the_maintenance(
    host: FakeRunner, monkeypatch: pytest.MonkeyPatch, lock: str, holder: str
) -> None:
    monkeypatch.setattr(maintenance, "_PATIENCE", 0)
    with host.write(lock, "").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert maintenance.run_window(host, reboots=False) == 1
    assert _failure(host).startswith(f"{holder} ")
    assert not _upgrades(host)


def test_the_lock_names_the_maintenance_to_other_runs(host: FakeRunner) -> None:
    maintenance.run_window(host, reboots=False)
    assert (host.text(_LOCK) or "").startswith("by the host's maintenance")


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({"apt-get": Output(100, "", 'W: old\nE: no "mirror"\n')}, "E: no 'mirror'"),
        (
            docker_answers(docker_container("c1", project="infisical", health="starting")),
            "5 minutes after Docker's upgrade",
        ),
        ({"docker ps": Output(1)}, "5 minutes after Docker's upgrade"),
        ({"docker info": Output(1)}, "5 minutes after Docker's upgrade"),
    ],
)
def test_a_failed_upgrade_and_unhealthy_containers_prevent_a_reboot(
    host: FakeRunner, answers: dict[str, Any], why: str
) -> None:
    host = replace(host, answers={**answers, **host.answers, **answers})
    host.write("/run/reboot-required", "")
    assert maintenance.run_window(host, reboots=True) == 1
    assert why in _failure(host)
    assert not _reboots(host)


@pytest.mark.parametrize(("number", "seconds"), [(0, 0), (1, 1800), (4, 7200)])
def test_a_host_waits_half_an_hour_for_each_earlier_host(
    tmp_path: Path, slept: list[float], number: int, seconds: float
) -> None:
    assert maintenance.wait_for_turn(FakeRunner(tmp_path, answers=swarm_answers()), number) == 0
    assert slept == [seconds]


def test_a_host_waits_until_the_cluster_is_healthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = iter(["n1 is Down", "n1 is Down", ""])
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(maintenance, "whole", lambda *_: next(found))
    assert maintenance.wait_for_turn(FakeRunner(tmp_path), 0) == 0
    assert slept == [0, 30, 30]
    assert "n1 is Down" in capsys.readouterr().err


def test_a_host_waits_an_hour_for_the_others_and_then_skips_the_window(
    tmp_path: Path, slept: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    answers = swarm_answers(nodes=NODES.replace('"Active"', '"Drain"', 1))
    host = FakeRunner(tmp_path, answers=answers)
    assert maintenance.wait_for_turn(host, 0) == 1
    assert slept[1:] == [30] * 120
    assert "Drain" in capsys.readouterr().err
    assert "another node" in _failure(host)


def _announced(host: FakeRunner, swarm: dict[str, Any]) -> list[str]:
    """Run the window on a host in this state of a swarm; return what it tells the others."""
    answers = {**host.answers, "docker info": json.dumps({"LocalNodeState": "inactive", **swarm})}
    host = replace(host, answers=answers, ran=[])
    maintenance.run_window(host, reboots=True)
    begin = "docker node update "
    return [each.removeprefix(begin) for each, _ in host.ran if each.startswith(begin)]


def test_a_manager_announces_its_maintenance_to_the_others(host: FakeRunner) -> None:
    """Their monitors then expect it to be away, for as long as a reboot takes."""
    before = int(time.time())
    manager = {"ControlAvailable": True, "NodeID": "node-id"}
    added, removed = _announced(host, manager)
    assert removed == "--label-rm infisical.maintenance node-id"
    end = int(added.removeprefix("--label-add infisical.maintenance=").removesuffix(" node-id"))
    assert before + 1200 <= end <= int(time.time()) + 1200
    host.write("/run/reboot-required", "")
    assert _announced(host, manager)[-1].startswith("--label-add ")


@pytest.mark.parametrize("swarm", [{"NodeID": "node-id"}, {"ControlAvailable": True}, {}])
def test_a_host_that_is_no_manager_announces_nothing(
    host: FakeRunner, swarm: dict[str, Any]
) -> None:
    assert _announced(host, swarm) == []
    assert _failure(host) == ""


@pytest.mark.parametrize("is_running", [True, False])
def test_a_failure_is_posted_to_the_webhook(tmp_path: Path, is_running: bool) -> None:
    host = FakeRunner(tmp_path, answers={"curl": ""})
    host.write("/etc/infisical/backup/webhook", 'url = "https://fake.example/secret"\n')
    host.write(f"{_STATE}/last.json", '{"failure": "E: no mirror"}')
    if is_running:
        host.write(f"{_STATE}/running", "")
    assert maintenance.report_failure(host, "The host's maintenance", _STATE) == 0
    ((command, stdin),) = host.ran
    assert "secret" not in command
    assert ("interrupted" in json.loads(stdin)["error"]) is is_running
    assert ("no mirror" in json.loads(stdin)["text"]) is not is_running


def test_without_a_webhook_only_the_journal_has_the_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = FakeRunner(tmp_path)
    assert maintenance.report_failure(host, "The host's maintenance", _STATE) == 0
    assert host.ran == []
    assert capsys.readouterr().err.startswith("<3>The host's maintenance on ")


@pytest.mark.parametrize("arguments", [[], ["other"], ["turn"]])
def test_unknown_arguments_fail(arguments: list[str]) -> None:
    assert maintenance.main(arguments) == 2
    assert maintenance.main_of_firewall(arguments) == 2
