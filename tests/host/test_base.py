"""Test the base system: packages, updates, clock, kernel parameters, core dumps, swap."""

import pytest

from infisical_iac.agent import system
from infisical_iac.agent.system import KernelState, UnitState
from infisical_iac.core.agent import question
from infisical_iac.core.settings import Settings
from infisical_iac.host.model import MachineState
from tests.host.connection import Connection, Host


@pytest.fixture(scope="session")
def apt_configuration(host: Host) -> str:
    return str(host.check_output("apt-config dump"))


@pytest.fixture(scope="session")
def kernel(connection: Connection) -> KernelState:
    return connection.inspect(question(system.kernel, parameters=[]))


@pytest.fixture(scope="session")
def clock(connection: Connection, machine: MachineState) -> UnitState:
    unit = machine.clock or "systemd-timesyncd.service"
    return connection.inspect(question(system.units, names=[unit]))[unit]


@pytest.mark.parametrize("name", ["ca-certificates", "curl", "unattended-upgrades"])
def test_a_base_package_is_installed(host: Host, name: str) -> None:
    assert host.package(name).is_installed


@pytest.mark.parametrize(
    "line",
    [
        'APT::Periodic::Update-Package-Lists "1";',
        'APT::Periodic::Unattended-Upgrade "1";',
        'APT::Periodic::AutocleanInterval "7";',
    ],
)
def test_apt_installs_updates_periodically(apt_configuration: str, line: str) -> None:
    assert line in apt_configuration.splitlines()


def test_the_origins_of_unattended_upgrades_include_security(apt_configuration: str) -> None:
    options = ("Unattended-Upgrade::Origins-Pattern", "Unattended-Upgrade::Allowed-Origins")
    origins = [line for line in apt_configuration.splitlines() if line.startswith(options)]
    assert any("security" in line.lower() for line in origins)


def test_unattended_upgrades_is_enabled_and_running(host: Host) -> None:
    service = host.service("unattended-upgrades")
    assert service.is_enabled
    assert service.is_running


@pytest.mark.parametrize("timer", ["apt-daily.timer", "apt-daily-upgrade.timer"])
def test_a_timer_of_apts_daily_jobs_is_active(host: Host, timer: str) -> None:
    assert host.run("systemctl is-active %s", timer).stdout.strip() == "active"


def test_clock_synchronization_starts_at_every_boot(clock: UnitState) -> None:
    assert clock.loaded
    assert clock.enabled


def test_clock_synchronization_runs_if_the_host_owns_its_clock(clock: UnitState) -> None:
    if not clock.condition:
        pytest.skip("systemd skips the clock's unit: the machine below keeps the clock")
    assert clock.active


@pytest.mark.parametrize(
    ("path", "value"),
    [("/proc/sys/fs/suid_dumpable", "0"), ("/proc/sys/vm/overcommit_memory", "1")],
)
def test_a_kernel_parameter_is_in_effect(host: Host, path: str, value: str) -> None:
    assert host.file(path).content_string.strip() == value


def test_services_of_systemd_may_not_dump_core(kernel: KernelState) -> None:
    assert kernel.core_limit == "0"


def test_a_login_may_not_dump_core(connection: Connection) -> None:
    assert connection.quietly("ulimit -H -c", as_root=False).strip() == "0"


def test_the_host_has_no_swap(settings: Settings, kernel: KernelState) -> None:
    if settings.host.swap == "keep":
        pytest.skip("setting 'swap' is \"keep\", and swap is left as it was")
    assert kernel.swap == ()
