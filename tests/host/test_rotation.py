"""Test that access logs are rotated, not too old, and without headers and bodies."""

import json
import time

from infisical_iac.core.settings import Settings
from infisical_iac.host.watch import rotation
from tests.host.asking import ask
from tests.host.connection import Host
from tests.host.containers import Inspected

_DIRECTORY = "/var/log/infisical-access"
_LIVE = f"{_DIRECTORY}/live"
# The only fields of a request that a line may have.
_OF_A_REQUEST = {"remote_ip", "client_ip", "proto", "method", "uri"}


def test_a_timer_rotates_the_log_by_the_settings(host: Host, settings: Settings) -> None:
    timer = host.service("infisical-access-log.timer")
    assert timer.is_enabled
    assert timer.is_running
    differing = [
        each.path
        for each in rotation(settings)
        if host.check_output("cat %s", each.path) != each.content.strip()
    ]
    assert differing == []


def test_the_access_log_has_its_own_file_system(
    host: Host, settings: Settings, inspections: dict[str, Inspected]
) -> None:
    # The size of the file system is allocated on the disk, so that no flood of requests can fill
    # the disk of the database.
    assert host.service("infisical-access-disk.service").is_enabled
    mounted = "findmnt --noheadings --output FSTYPE --mountpoint %s"
    assert host.check_output(mounted, _LIVE) == "ext4"
    size, taken = host.check_output("stat --format='%%s %%b' %s/live.img", _DIRECTORY).split()
    assert int(size) <= int(taken) * 512
    assert int(size) == min(256, settings.stack.access_log_max_mb // 4) * 1024**2
    df = "docker exec %s df -P /var/log/infisical-access"
    in_caddy = host.check_output(df, inspections["caddy"]["Id"])
    assert in_caddy.splitlines()[1].split()[0].startswith("/dev/loop")


def test_access_logs_stay_below_access_log_max_mb(host: Host, settings: Settings) -> None:
    found = host.check_output("find %s -maxdepth 1 -type f -printf '%%s\n'", _DIRECTORY)
    assert found
    assert sum(map(int, found.split())) <= settings.stack.access_log_max_mb * 1024**2


def test_no_log_is_older_than_access_log_keep_days(host: Host, settings: Settings) -> None:
    found = host.check_output("find %s -name 'access.log*' -type f -printf '%%T@\n'", _DIRECTORY)
    ages = [(time.time() - float(each)) / 86400 for each in found.split()]
    assert ages
    # A day may pass until the next rotation.
    assert max(ages) < settings.stack.access_log_keep_days + 2


def test_a_line_has_only_caller_protocol_method_and_uri_of_a_request(
    host: Host, settings: Settings
) -> None:
    ask(host, settings, "/api/status?token=obviously-fake")
    lines = [*map(json.loads, host.check_output("tail -n 100 %s/access.log", _LIVE).splitlines())]
    assert "/api/status" in {line["request"]["uri"] for line in lines}
    assert {each for line in lines for each in line["request"]} <= _OF_A_REQUEST
    assert [line for line in lines if "resp_headers" in line] == []
