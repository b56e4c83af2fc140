"""Test the monitor on a host: what it reports, how often, what it costs, and its removal."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e import backing
from tests.e2e.configured import ConfiguredHost
from tests.e2e.conftest import assert_converged
from tests.e2e.drift import UPDATES
from tests.e2e.webhook import Receiver, receiver
from tests.staging.host import StagingHost

pytestmark = pytest.mark.long

_UNITS = "systemctl list-unit-files --no-legend 'infisical-monitor*'"
_LOGIN = "/etc/infisical/canary.env"
_PATHS = "/var/lib/infisical-monitor /etc/infisical/monitoring.json"
_RUN = "systemctl start infisical-monitor.service"
# Has the next run of the monitor run the canary.
_FORGETTING = """
import json, pathlib
file = pathlib.Path("/var/lib/infisical-monitor/state.json")
file.write_text(json.dumps(json.loads(file.read_text()) | {"canary": None}))
"""
# Prints the seconds and kilobytes that a run and its programs use.
_MEASURING = """
import glob, resource, subprocess
agent = glob.glob("/usr/local/lib/infisical-iac/agent-*.pyz")[0]
subprocess.run(["python3", "-IS", agent, "--monitor"], check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
# An evaluation comes every minute, and the bar is two of them.
_MOST_SECONDS = 120


@pytest.fixture(scope="module")
def webhook(deployed_host: StagingHost) -> Iterator[Receiver]:
    with receiver(backing.gateway(deployed_host)) as found:
        yield found


@pytest.fixture(scope="module")
def watched(
    deployed_host: StagingHost, webhook: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ConfiguredHost]:
    """The host with the monitor on, and without it again at the end."""
    _assert_absent(deployed_host)
    # Its address is in no file of the operator's.
    target = {"name": "team", "kind": "json"}
    # This host has no recovery kit, and was never rebooted.
    ignored = ("recovery_kit", "reboot", "clock", "load", "memory", "units")
    settings: dict[str, Any] = {
        "monitoring": "on",
        "alerts": (target,),
        "alerts_ignored": ignored,
    }
    found = ConfiguredHost(deployed_host, tmp_path_factory.mktemp("monitoring"), settings)
    done = found.apply({"ALERT_TEAM": webhook.url})
    assert done.returncode == 0, done.stdout + done.stderr
    assert webhook.url not in done.stdout + done.stderr
    assert found.has_secret("ALERT_TEAM")
    found.assert_unchanged()
    yield found
    off = found.apply(monitoring="off", alerts=())
    assert off.returncode == 0, off.stdout + off.stderr
    assert not found.has_secret("ALERT_TEAM")
    _assert_absent(deployed_host)
    assert_converged(deployed_host)


def _assert_absent(host: StagingHost) -> None:
    assert host.run(_UNITS, check=False).stdout == ""
    assert host.run(f"ls -d {_PATHS} {_LOGIN} 2>/dev/null", check=False).stdout == ""


def _wait_for(webhook: Receiver, number: int, seconds: float = _MOST_SECONDS) -> float:
    """Wait until the webhook has this many messages; return how long that took."""
    begin = time.monotonic()
    while len(webhook.received) < number and time.monotonic() - begin < seconds:
        time.sleep(0.5)
    assert len(webhook.received) == number, webhook.received
    return time.monotonic() - begin


def _phases(webhook: Receiver) -> list[tuple[str, str, str]]:
    return [(each["phase"], each["check"], each["subject"]) for each in webhook.received]


def test_a_stopped_container_is_reported_once_within_two_minutes_and_its_end_once(
    watched: ConfiguredHost, webhook: Receiver
) -> None:
    assert webhook.received == []
    watched.host.run("docker stop infisical-infisical-1")
    print(f"reported after {_wait_for(webhook, 1):.0f} s: {webhook.received}")
    assert _phases(webhook) == [("begun", "container", "infisical")]
    assert not watched.row("Monitoring")["ok"]
    watched.host.run("docker start infisical-infisical-1")
    print(f"ended after {_wait_for(webhook, 2, 180):.0f} s")
    for _ in range(3):
        watched.host.run(_RUN)
    assert _phases(webhook)[1:] == [("ended", "container", "infisical")]
    assert watched.row("Monitoring") == {"name": "Monitoring", "text": "no alerts", "ok": True}
    webhook.received.clear()


def test_a_full_disk_is_reported(watched: ConfiguredHost, webhook: Receiver) -> None:
    """The containers have their volumes already, so that nothing reaches the small disk."""
    volumes = "/var/lib/docker/volumes"
    watched.host.run(f"mount -t tmpfs -o size=1g tmpfs {volumes}")
    try:
        watched.host.run(_RUN)
        _wait_for(webhook, 1)
    finally:
        watched.host.run(f"umount {volumes}")
    assert _phases(webhook) == [("begun", "disk", "")]
    _wait_for(webhook, 2, 180)
    webhook.received.clear()


def test_a_silence_delays_new_alerts_until_it_ends(
    watched: ConfiguredHost, webhook: Receiver
) -> None:
    done = watched.run("silence", "1h", "--why", "moving the drill")
    assert done.returncode == 0, done.stderr
    assert "moving the drill" in watched.row("Silence")["text"]
    watched.host.run("systemctl stop infisical-drill.timer")
    watched.host.run(f"{_RUN} && sleep 32 && {_RUN}")
    assert "infisical-drill.timer" in watched.row("Monitoring")["text"]
    assert webhook.received == []
    assert watched.run("silence", "--end").returncode == 0
    watched.host.run(_RUN)
    _wait_for(webhook, 1, 10)
    assert _phases(webhook) == [("begun", "timers", "infisical-drill.timer")]
    # The apply starts the timer again.
    assert watched.apply().returncode == 0
    _wait_for(webhook, 2, 180)
    webhook.received.clear()


def test_refused_alerts_are_sent_again_in_order(watched: ConfiguredHost, webhook: Receiver) -> None:
    webhook.status = 500
    watched.host.run("systemctl stop infisical-drill.timer")
    watched.host.run(f"{_RUN} && sleep 32 && {_RUN}")
    assert {each["phase"] for each in webhook.received} == {"begun"}
    state = "/var/lib/infisical-monitor/state.json"
    (waiting,) = json.loads(watched.host.run(f"cat {state}").stdout)["undelivered"]
    assert waiting["notification"]["check"] == "timers"
    webhook.status = 200
    webhook.received.clear()
    watched.host.run(_RUN)
    _wait_for(webhook, 1, 10)
    assert watched.apply().returncode == 0
    _wait_for(webhook, 2, 180)
    assert [phase for phase, *_ in _phases(webhook)] == ["begun", "ended"]
    webhook.received.clear()


def _run_canary(watched: ConfiguredHost) -> None:
    """Run the monitor with the canary, although that has run less than five minutes ago."""
    watched.host.run(f"python3 -c '{_FORGETTING}' && {_RUN}")


def test_the_canary_is_measured_and_a_lost_login_is_reported_and_made_again(
    watched: ConfiguredHost, webhook: Receiver
) -> None:
    _run_canary(watched)
    metrics = watched.host.run("grep canary /var/lib/infisical-monitor/metrics.prom").stdout
    print(metrics)
    assert "infisical_monitor_canary_success 1\n" in metrics
    for step in ("login", "write", "read", "delete"):
        assert f'infisical_monitor_canary_seconds{{step="{step}"}} ' in metrics
    watched.host.run("sed -i s/^INFISICAL_CLIENT_SECRET=./INFISICAL_CLIENT_SECRET=_/ " + _LOGIN)
    _run_canary(watched)
    watched.host.run(f"sleep 32 && {_RUN}")
    _wait_for(webhook, 1, 10)
    assert _phases(webhook) == [("begun", "canary", "")]
    assert webhook.received[0]["error"].endswith("logging in fails: HTTP 401")
    plan = watched.run("plan")
    assert "~ identity infisical-iac-canary: can't log in → can" in plan.stdout
    assert watched.apply().returncode == 0
    watched.assert_unchanged()
    _wait_for(webhook, 2, 180)
    webhook.received.clear()


def test_what_a_drift_check_finds_is_reported_until_an_apply(
    watched: ConfiguredHost, webhook: Receiver
) -> None:
    watched.host.run(f"rm {UPDATES}")
    assert watched.run("drift").returncode == 2
    watched.host.run(_RUN)
    _wait_for(webhook, 1, 10)
    assert _phases(webhook) == [("begun", "drift", "")]
    assert UPDATES in webhook.received[0]["error"]
    assert watched.apply().returncode == 0
    _wait_for(webhook, 2, 180)
    webhook.received.clear()


def test_a_changed_configuration_or_unit_is_drift_that_apply_repairs(
    watched: ConfiguredHost,
) -> None:
    timer = "/etc/systemd/system/infisical-monitor.timer"
    watched.host.run(
        f"echo OnCalendar=yearly >> {timer}; systemctl disable --now infisical-monitor.timer; "
        "echo '{}' > /etc/infisical/monitoring.json"
    )
    plan = watched.run("plan")
    assert plan.returncode == 2
    for fact in ("monitoring.json", "infisical-monitor.timer"):
        assert fact in plan.stdout
    # A token in the file is in no diff.
    assert "hook/" not in plan.stdout
    assert watched.apply().returncode == 0
    watched.assert_unchanged()


def test_the_monitor_costs_little_and_shows_no_secret(
    watched: ConfiguredHost, webhook: Receiver
) -> None:
    # systemd forgets what a unit has used once it has ended.
    used = watched.host.run(f"python3 -c '{_MEASURING}'").stdout.split()
    seconds, kilobytes = float(used[0]), int(used[1])
    print(f"a run takes {seconds:.2f} s of a processor, and {kilobytes} kB")
    # A hundredth of a processor is 0.6 s a minute.
    assert seconds < 0.6
    assert kilobytes < 60 * 1024
    journal = watched.host.run("journalctl --output=cat --unit=infisical-monitor").stdout
    assert webhook.url not in journal
    metrics = watched.host.run("cat /var/lib/infisical-monitor/metrics.prom").stdout
    assert 'infisical_monitor_container_healthy{service="redis"} 1' in metrics
    modes = watched.host.run(f"stat --format %a {_PATHS}").stdout.split()
    assert modes == ["700", "600"]
