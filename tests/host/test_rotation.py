"""The access log: rotated, as old as it may be, and without what a request carries."""

import json
import time

from infisical_iac.deploys.watch import CONFIGURATION, rotation
from infisical_iac.operations.watch import DIRECTORY, LOG, TIMER
from infisical_iac.settings import Settings
from tests.host.asking import ask
from tests.host.connection import Host

# More than these makes a line a copy of the request.
_OF_A_REQUEST = {"remote_ip", "client_ip", "proto", "method", "uri"}


def test_a_timer_rotates_the_log_as_the_settings_say(host: Host, settings: Settings) -> None:
    timer = host.service(TIMER)
    assert timer.is_enabled
    assert timer.is_running
    wanted = {each.path: each.content for each in rotation(settings)}
    assert host.check_output("cat %s", CONFIGURATION) == wanted[CONFIGURATION].strip()


def test_no_log_is_older_than_the_settings_say(host: Host, settings: Settings) -> None:
    found = host.check_output("find %s -name 'access.log*' -printf '%%T@\n'", DIRECTORY)
    ages = [(time.time() - float(each)) / 86400 for each in found.split()]
    assert ages
    # A day may pass until the next rotation looks.
    assert max(ages) < settings.access_log_keep_days + 2


def test_a_line_holds_no_more_of_a_request_than_who_asked_for_what(
    host: Host, settings: Settings
) -> None:
    ask(host, settings, "/api/status?token=obviously-fake")
    lines = [*map(json.loads, host.check_output("tail -n 100 %s", LOG).splitlines())]
    assert "/api/status" in {line["request"]["uri"] for line in lines}
    assert {each for line in lines for each in line["request"]} <= _OF_A_REQUEST
    assert [line for line in lines if "resp_headers" in line] == []
