"""Test the monitor on a host: what it reports, how often, what it costs, and its removal."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e import backing, upgrading
from tests.e2e.alert_causes import FORGET_CANARY, change_state, run_monitor
from tests.e2e.configured import ConfiguredHost
from tests.e2e.conftest import assert_converged
from tests.e2e.drift import UPDATES
from tests.e2e.prometheus import INSTANCE, Prometheus, prometheus
from tests.e2e.webhook import Receiver, receiver
from tests.staging.host import StagingHost
from tests.staging.shell import docker
from tests.unit.monitoring.test_prometheus import list_expressions, list_names, list_used

pytestmark = pytest.mark.long

_UNITS = "systemctl list-unit-files --no-legend 'infisical-monitor*'"
_LOGIN = "/etc/infisical/canary.env"
_PATHS = "/var/lib/infisical-monitor /etc/infisical/monitoring.json"
_RUN = "systemctl start infisical-monitor.service"
# Prints the seconds and kilobytes that a run and its programs use.
_MEASURING = """
import glob, resource, subprocess
agent = glob.glob("/usr/local/lib/infisical-iac/agent-*.pyz")[0]
subprocess.run(["python3", "-IS", agent, "--monitor"], check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
_CHURN_SECONDS = 60 * float(os.environ.get("STAGING_CHURN_MINUTES", "20"))
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


# Replaces the rule that blocks the way to the webhook, at once.
_BLOCK = """nft -f - <<END
table inet fake {{ chain out {{ type filter hook output priority 0; }}; }}
flush chain inet fake out
add rule inet fake out tcp dport {port} {verdict}
END
"""


def _try_delivery(host: StagingHost) -> tuple[str, list[str]]:
    """Run the monitor; return why nothing could be delivered, and the checks that still wait."""
    host.run(_RUN)
    state = json.loads(host.run("cat /var/lib/infisical-monitor/state.json").stdout)
    waiting = [each["notification"]["check"] for each in state["undelivered"]]
    return state["failing"]["team"][1], waiting


def test_alerts_are_sent_again_until_they_are_delivered(
    watched: ConfiguredHost, webhook: Receiver
) -> None:
    """The webhook answers 500, then nothing reaches it, then it refuses connections."""
    host, port = watched.host, urlsplit(webhook.url).port
    webhook.status = 500
    host.run(f"systemctl stop infisical-drill.timer; {_RUN} && sleep 32")
    assert _try_delivery(host) == ("HTTP 500", ["timers"])
    assert {each["phase"] for each in webhook.received} == {"begun"}
    host.run(_BLOCK.format(port=port, verdict="drop"))
    webhook.status = 200
    webhook.received.clear()
    assert _try_delivery(host) == ("no answer in time", ["timers"])
    host.run(_BLOCK.format(port=port, verdict="reject with tcp reset"))
    assert _try_delivery(host) == ("the connection is refused", ["timers"])
    assert webhook.received == []
    host.run(f"nft delete table inet fake; {_RUN}")
    _wait_for(webhook, 1, 10)
    assert watched.apply().returncode == 0
    _wait_for(webhook, 2, 180)
    assert [phase for phase, *_ in _phases(webhook)] == ["begun", "ended"]
    webhook.received.clear()


def test_a_host_that_is_off_is_silent_and_a_reboot_loses_no_alert(
    watched: ConfiguredHost, webhook: Receiver
) -> None:
    """The heartbeat's address is called in each run while the host is on."""
    host = watched.host
    assert watched.apply(heartbeat_url=webhook.heartbeat).returncode == 0
    _wait_for_call(webhook)
    webhook.status = 500
    # The boot starts the timer again.
    host.run(f"systemctl stop infisical-drill.timer && {_RUN} && sleep 32 && {_RUN}")
    docker("pause", host.container)
    webhook.calls.clear()
    time.sleep(_MOST_SECONDS)
    docker("unpause", host.container)
    assert webhook.calls == []
    host.reboot()
    webhook.received.clear()
    webhook.status = 200
    _wait_for(webhook, 2, 300)
    subject = ("timers", "infisical-drill.timer")
    assert _phases(webhook) == [("begun", *subject), ("ended", *subject)]
    _wait_for_call(webhook)
    assert watched.apply().returncode == 0
    webhook.received.clear()


def _wait_for_call(webhook: Receiver) -> None:
    webhook.calls.clear()
    deadline = time.monotonic() + _MOST_SECONDS
    while not webhook.calls:
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_a_healthy_host_reports_nothing_while_much_changes(
    watched: ConfiguredHost, webhook: Receiver
) -> None:
    """A container restarts, backups, drills and maintenance run, an upgrade, its rollback and a
    restore succeed.

    Another one restarts in each round, since three starts in 15 minutes are an alert.
    """
    host = watched.host
    upgrading.make_later(host, upgrading.ADDS)
    end, rounds = time.monotonic() + _CHURN_SECONDS, 0
    while time.monotonic() < end:
        name = ("infisical", "redis", "postgres")[rounds % 3]
        host.run(f"docker restart infisical-{name}-1")
        time.sleep(40)
        host.run("systemctl start infisical-backup.service infisical-drill.service")
        upgraded = watched.apply(infisical_version=upgrading.ADDS)
        assert upgraded.returncode == 0, upgraded.stdout + upgraded.stderr
        time.sleep(60)
        listed = watched.run("rollback", "--list", "--json", infisical_version=upgrading.ADDS)
        newest = json.loads(listed.stdout)[0]["release"]
        back = watched.run("rollback", "--confirm", newest)
        assert back.returncode == 0, back.stdout + back.stderr
        watched.assert_unchanged()
        restored = watched.run("restore", "--yes")
        assert restored.returncode == 0, restored.stdout + restored.stderr
        host.run("systemctl start infisical-maintenance.service")
        rounds += 1
        assert webhook.received == []
    print(f"{rounds} rounds in {_CHURN_SECONDS / 60:.0f} minutes")
    upgrading.forget_releases(host)


def _run_canary(watched: ConfiguredHost) -> None:
    """Run the monitor with the canary, although that has run less than five minutes ago."""
    change_state(watched.host, FORGET_CANARY)
    run_monitor(watched.host)


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


# The host of these tests has no Caddy.
_PORTS = {"node": 9100, "postgres": 9187, "redis": 9121, "infisical": 9464}
_LEFT = (
    "ls -d /etc/systemd/system/prometheus-* /etc/systemd/system/infisical-metrics-* "
    "/etc/infisical/keys/metrics_* 2>/dev/null; dpkg --get-selections 'prometheus-*-exporter'; "
    "ss --no-header --listening --tcp --numeric 'sport = :9100 or sport = :9187 or sport = :9464'"
)


def _scrape(address: str) -> dict[str, str]:
    """Return what each port serves, by what it tells about."""
    urls = {name: f"http://{address}:{port}/metrics" for name, port in _PORTS.items()}
    return {name: httpx.get(url, timeout=30).text for name, url in urls.items()}


def _record(scraped: dict[str, str]) -> None:
    """Write one line of each metric to RECORD_SCRAPE, from which unit tests read them."""
    if not (directory := os.environ.get("RECORD_SCRAPE")):
        return
    for name, text in scraped.items():
        kept, seen = [], set()
        for line in text.splitlines():
            metric = line.split(" ")[2] if line[:1] == "#" else line.partition("{")[0].split()[0]
            key = (line[:6], metric) if line[:1] == "#" else metric
            if key not in seen:
                seen.add(key)
                kept.append(line)
        Path(directory, f"{name}.prom").write_text("\n".join(kept) + "\n")


@pytest.mark.long
def test_metrics_are_served_to_the_networks_of_the_settings_only(watched: ConfiguredHost) -> None:
    host = watched.host
    assert host.run(_LEFT, check=False).stdout == ""
    address = host.run("ip -4 route get 192.0.2.1").stdout.partition(" src ")[2].split()[0]
    listen = {"address": address, "networks": (f"{backing.gateway(host)}/32",)}
    plan = watched.run("plan", monitoring_listen=listen)
    assert plan.returncode == 2, plan.stdout + plan.stderr
    print(plan.stdout)
    lines = [line.split(":")[0] for line in plan.stdout.splitlines()]
    changed = [line for line in lines if line.startswith("~ container")]
    assert changed == ["~ container infisical", "~ container redis"]
    with backing.collect_arguments(host) as arguments:
        done = watched.apply(monitoring_listen=listen)
    assert done.returncode == 0, done.stdout + done.stderr
    watched.assert_unchanged(monitoring_listen=listen)
    watched.settings["monitoring_listen"] = listen
    scraped = _scrape(address)
    _record(scraped)
    names = {line.split("{")[0].split(" ")[0] for line in "".join(scraped.values()).splitlines()}
    # The stand-in has none of Infisical's own metrics, and there is no alert now.
    lacking = {name for name in list_used() - names if name.startswith(("pg_", "redis_", "node_"))}
    assert lacking == set()
    assert ("pg_up 1" in scraped["postgres"], "redis_up 1" in scraped["redis"]) == (True, True)
    assert "infisical_monitor_run_timestamp_seconds" in scraped["node"]
    passwords = host.run("cat /etc/infisical/keys/*_password").stdout.split()
    everything = "".join([*scraped.values(), *arguments, done.stdout, plan.stdout])
    journal = host.run("journalctl --output=cat --boot --unit='prometheus-*'").stdout
    assert [each for each in passwords if each in everything + journal] == []
    verified = watched.run("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


# Of these, an answer may be empty.
_FILTERS = (" == 1", " > 0")


@pytest.mark.long
def test_a_prometheus_fills_the_dashboard_and_its_alertmanager_reports(
    watched: ConfiguredHost, webhook: Receiver
) -> None:
    host, address = watched.host, watched.settings["monitoring_listen"]["address"]
    with (
        receiver(backing.gateway(host)) as alerts,
        prometheus(host, address, _PORTS, alerts) as server,
    ):
        jobs = {"infisical", "infisical-node", "infisical-postgres", "infisical-redis"}
        _wait_until(lambda: server.list_targets() == dict.fromkeys(jobs, "up"))
        # A rate needs two scrapes, and each job has times of its own.
        _wait_until(lambda: not _list_empty_panels(server))
        assert server.ask("rules")["groups"][0]["name"] == "infisical"
        host.run("docker stop infisical-redis-1")
        server.wait_for("firing", "InfisicalContainer", "redis", 150)
        host.run("docker start infisical-redis-1")
        server.wait_for("resolved", "InfisicalContainer", "redis", 300)
        firing = alerts.received[0]["alerts"][0]
        assert firing["labels"]["instance"] == INSTANCE
        assert "infisical-iac" in firing["annotations"]["remedy"]
        _wait_until(lambda: not server.query("infisical_monitor_alert"))
        assert "obviously-fake" not in json.dumps(alerts.received)
    webhook.received.clear()


def _wait_until(is_true: Callable[[], bool], seconds: float = _MOST_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(1)


def _list_empty_panels(server: Prometheus) -> list[str]:
    """Return the dashboard's expressions without an answer, although the host has their metrics."""
    served = {*server.ask("label/__name__/values")}
    asked = [
        each.replace("$instance", INSTANCE).replace("$__rate_interval", "1m")
        for each in list_expressions()
        if list_names(each) <= served and not any(sign in each for sign in _FILTERS)
    ]
    print(f"{len(asked)} expressions of the dashboard are asked")
    assert len(asked) > 20
    return [each for each in asked if not server.query(each)]


@pytest.mark.long
def test_metrics_come_back_after_a_container_was_made_again(watched: ConfiguredHost) -> None:
    """The addresses of the containers are exchanged, which the monitor notices in a minute."""
    host = watched.host
    address = watched.settings["monitoring_listen"]["address"]
    host.run(
        "docker stop infisical-redis-1 infisical-postgres-1 && "
        "docker start infisical-redis-1 && docker start infisical-postgres-1"
    )
    deadline = time.monotonic() + _MOST_SECONDS
    while "pg_up 1" not in (found := _scrape(address))["postgres"] or (
        "redis_up 1" not in found["redis"]
    ):
        assert time.monotonic() < deadline
        time.sleep(1)


@pytest.mark.long
def test_an_exporter_that_was_changed_is_drift_that_apply_repairs(watched: ConfiguredHost) -> None:
    host = watched.host
    unit = "/etc/systemd/system/prometheus-redis-exporter.service"
    host.run(f"sed -i s/9121/9122/ {unit}; systemctl stop infisical-metrics-infisical.socket")
    backing.sql(host, "GRANT pg_read_all_data TO infisical_metrics")
    plan = watched.run("plan")
    assert plan.returncode == 2
    for fact in ("prometheus-redis-exporter", "infisical-metrics-infisical.socket", "role"):
        assert fact in plan.stdout
    assert watched.apply().returncode == 0
    watched.assert_unchanged()
    assert {*_scrape(watched.settings["monitoring_listen"]["address"])} == {*_PORTS}


@pytest.mark.long
def test_other_networks_get_no_metrics_and_nothing_is_left_without_the_setting(
    watched: ConfiguredHost,
) -> None:
    listen = watched.settings.pop("monitoring_listen")
    elsewhere = {**listen, "networks": ("192.0.2.0/24",)}
    assert watched.apply(monitoring_listen=elsewhere).returncode == 0
    for port in _PORTS.values():
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://{listen['address']}:{port}/metrics", timeout=2)
    done = watched.apply()
    assert done.returncode == 0, done.stdout + done.stderr
    watched.assert_unchanged()
    assert watched.host.run(_LEFT, check=False).stdout == ""
    role = "SELECT count(*) FROM pg_roles WHERE rolname = 'infisical_metrics'"
    assert backing.sql(watched.host, role) == "0"
    password = "REDISCLI_AUTH=$REDIS_PASSWORD"
    users = f"docker exec infisical-redis-1 sh -c '{password} redis-cli ACL USERS'"
    assert watched.host.run(users).stdout.split() == ["default"]
