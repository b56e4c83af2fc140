"""Test what ships logs to `log_target`: its rights, and that it is absent without the setting."""

import pytest

from infisical_iac.core.settings import Settings
from infisical_iac.monitoring.settings import LogTarget
from tests.host.connection import Host
from tests.host.sockets import Socket

_SERVICE, _STATE = "infisical-logs.service", "/var/lib/infisical-logs"


@pytest.fixture(scope="session")
def log_target(settings: Settings) -> LogTarget:
    if settings.monitoring.shipping is None:
        pytest.skip("setting 'log_target' is empty")
    return settings.monitoring.shipping


@pytest.fixture(scope="session")
def status(host: Host, log_target: LogTarget) -> dict[str, str]:
    """The status of the process, as the kernel shows it."""
    pid = host.check_output("systemctl show --property=MainPID --value %s", _SERVICE)
    lines = host.file(f"/proc/{pid}/status").content_string.splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_logs_are_shipped_only_with_the_setting(host: Host, settings: Settings) -> None:
    is_active = host.run("systemctl --quiet is-active %s", _SERVICE).rc == 0
    assert is_active is (settings.monitoring.shipping is not None)


def test_what_ships_logs_can_read_every_file_and_hardly_more(
    status: dict[str, str], log_target: LogTarget
) -> None:
    """CAP_DAC_READ_SEARCH is bit 2; for a file, CAP_CHOWN and CAP_DAC_OVERRIDE are bits 0 and 1."""
    assert int(status["CapEff"], 16) == (7 if log_target.path else 4)
    assert status["NoNewPrivs"] == "1"


@pytest.mark.usefixtures("log_target")
def test_lines_that_wait_are_readable_by_root_only(host: Host) -> None:
    assert (host.file(_STATE).mode, host.file(_STATE).user) == (0o700, "root")


@pytest.mark.usefixtures("log_target")
def test_what_ships_logs_does_not_listen(listening: list[Socket]) -> None:
    assert [each for each in listening if "rsyslogd" in each.owners] == []
