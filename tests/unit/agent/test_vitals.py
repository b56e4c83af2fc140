"""Test that the state of the machine is read as the kernel and systemd report it."""

import json
import os
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from infisical_iac.agent import vitals
from infisical_iac.agent.health import DRIFT, HOSTS
from infisical_iac.agent.runner import Output
from infisical_iac.agent.vitals import DriftRecord, TimerState, Vitals
from infisical_iac.monitoring.drift import Answer, message
from tests.unit.agent.fake_runner import FakeRunner
from tests.unit.agent.watching import running

_LOCK = "/run/infisical-iac.lock"


def _observe(host: FakeRunner, *timers: str) -> Vitals:
    return vitals.observe(host, timers=timers, lock=_LOCK)


def test_memory_load_and_uptime_are_read_from_the_kernel(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    host.write("/proc/uptime", "350735.47 234388.90\n")
    host.write("/proc/loadavg", "0.20 0.18 0.12 1/80 11206\n")
    host.write(
        "/proc/meminfo",
        "MemTotal:  4000 kB\nMemAvailable: 1000 kB\nSwapTotal: 500 kB\nSwapFree: 400 kB\n"
        "HugePages_Total:       0\n",
    )
    found = _observe(host)
    assert (found.uptime, found.load) == (350735.47, 0.12)
    assert (found.memory, found.available) == (4000 * 1024, 1000 * 1024)
    assert (found.swap, found.free_swap) == (500 * 1024, 400 * 1024)


def test_a_machine_without_programs_and_files_has_no_state(tmp_path: Path) -> None:
    found = _observe(FakeRunner(tmp_path), "a.timer")
    assert (found.failed_units, found.timers, found.synchronized) == ((), (), None)
    assert (found.reboot_due, found.lock_taken, found.uptime) == (None, None, 0.0)


def test_failed_units_and_stopped_timers_are_read_from_systemd(tmp_path: Path) -> None:
    failed = [{"unit": "b.service", "load": "loaded"}, {"unit": "a.service", "load": "loaded"}]
    shown = "Id=a.timer\nActiveState=active\n\nId=b.timer\nActiveState=inactive\n"
    answers = {"systemctl list-units": json.dumps(failed), "systemctl show": shown}
    found = _observe(FakeRunner(tmp_path, answers=answers), "a.timer", "b.timer")
    assert found.failed_units == ("a.service", "b.service")
    assert found.timers == (TimerState("a.timer"), TimerState("b.timer", False))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            "ActiveState=active\nSubState=waiting\nLastTriggerUSec=@1795600800\n"
            "NextElapseUSecRealtime=@1795687200",
            TimerState("a.timer", True, None, 1795687200),
        ),
        (
            "ActiveState=active\nSubState=running\nLastTriggerUSec=@1795600800\n"
            "NextElapseUSecRealtime=",
            TimerState("a.timer", True, 1795600800, None),
        ),
        ("ActiveState=active\nSubState=elapsed", TimerState("a.timer", False)),
    ],
)
def test_the_times_of_a_timer_are_read_from_systemd(
    tmp_path: Path, lines: str, expected: TimerState
) -> None:
    host = FakeRunner(tmp_path, answers={"systemctl show": f"Id=a.timer\n{lines}\n"})
    assert _observe(host, "a.timer").timers == (expected,)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"timedatectl": "yes\n"}, True),
        ({"timedatectl": "no\n"}, False),
        ({"timedatectl": "no\n", "systemd-detect-virt": Output(0)}, None),
        ({}, None),
    ],
)
def test_the_clock_of_a_container_is_that_of_its_host(
    tmp_path: Path, answers: dict[str, str | Output], expected: bool | None
) -> None:
    assert _observe(FakeRunner(tmp_path, answers=answers)).synchronized is expected


def test_a_reboot_and_the_lock_have_their_times(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    for path, at in (("/run/reboot-required", 1795600800), (_LOCK, 1795600900)):
        os.utime(host.write(path, ""), (at, at))
    found = _observe(host)
    assert (found.reboot_due, found.lock_taken) == (1795600800, 1795600900)


def test_a_recovery_kit_is_due_as_soon_as_a_file_in_it_has_changed(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    # A node without keys has none to keep.
    assert _observe(host).kit == ""
    files = {"keys/encryption_key": "fake-key\n", "credentials/a.env": "A=1\n", "deployer.env": "B"}
    for path, text in files.items():
        host.write(f"/etc/infisical/{path}", text)
    assert _observe(host).kit == "none has been made"
    record = {
        path: sha256(f"infisical-iac {path} fake-key\n{text}".encode()).hexdigest()[:16]
        for path, text in files.items()
    }
    host.write("/etc/infisical/recovery-kit.json", json.dumps({"files": record}))
    assert _observe(host).kit == ""
    # `apply` re-creates these.
    host.write("/etc/infisical/credentials/a.env", "A=2\n")
    assert _observe(host).kit == ""
    host.write("/etc/infisical/deployer.env", "C")
    assert _observe(host).kit.startswith("deployer.env ")
    # A kit lacks a file that is newer than it.
    host.write("/etc/infisical/keys/given_smtp_password", "D\n")
    assert _observe(host).kit.startswith("deployer.env, keys/given_smtp_password ")
    host.write("/etc/infisical/keys/encryption_key", "other\n")
    assert _observe(host).kit.startswith("keys/encryption_key ")


def test_the_addresses_of_containers_are_written_in_place(tmp_path: Path) -> None:
    """The exporters have the file mounted, so that another one in its place would not be seen."""
    host = FakeRunner(tmp_path)
    host.write(HOSTS, "")
    file = host.path(HOSTS)
    before = file.stat().st_ino
    vitals.write_hosts(host, {"redis": running(address="172.20.0.3"), "caddy": running()})
    lines = ["127.0.0.1 localhost", "172.20.0.3 redis.infisical.internal"]
    assert file.read_text().splitlines() == lines
    assert (file.stat().st_ino, file.stat().st_mode & 0o777) == (before, 0o644)
    vitals.write_hosts(host, {})
    assert file.read_text().splitlines() == lines


def test_the_result_of_the_drift_check_is_read(tmp_path: Path) -> None:
    """The file is written by `infisical-iac drift`, in the form that its webhook gets."""
    host = FakeRunner(tmp_path)
    assert _observe(host).drift is None
    at = datetime(2026, 11, 25, 12, tzinfo=UTC)
    answer = Answer("hetzner", at, ["~ sign-up: open → closed", "* identity ci"])
    host.write(DRIFT, json.dumps(message(answer)))
    assert _observe(host).drift == DriftRecord(at.timestamp(), tuple(answer.changes))
    host.write(DRIFT, "[]")
    assert _observe(host).drift is None
