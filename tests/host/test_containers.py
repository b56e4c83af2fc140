"""Test that each container is healthy, confined, limited, and created from the settings."""

import pytest

from infisical_iac.core.settings import Settings
from infisical_iac.stack.state import StackState, stack_question
from tests.host.connection import Connection, Host
from tests.host.containers import SERVICES, Inspected, Running, volume

PIDS = {"infisical": 512, "postgres": 256, "redis": 64}

each_service = pytest.mark.parametrize("service", SERVICES)


@pytest.fixture
def container(inspections: dict[str, Inspected], service: str) -> Inspected:
    return inspections[service]


@pytest.fixture
def kernel(running: dict[str, Running], service: str) -> Running:
    return running[service]


@pytest.fixture(scope="session")
def stack(connection: Connection, settings: Settings) -> StackState:
    compose = connection.host.check_output("cat /etc/infisical/compose.yaml")
    return connection.inspect(stack_question(compose=compose, images=settings.images))


@pytest.mark.single("tests/host/cluster checks the services")
def test_the_stack_has_exactly_the_expected_containers(
    settings: Settings, inspections: dict[str, Inspected]
) -> None:
    assert sorted(inspections) == sorted(settings.services)


@each_service
def test_container_is_healthy(container: Inspected) -> None:
    assert container["State"]["Status"] == "running"
    assert container["State"]["Health"]["Status"] == "healthy"


@pytest.mark.single("a Swarm replaces stopped containers by itself")
@each_service
def test_container_restarts_after_a_crash_and_a_reboot(container: Inspected) -> None:
    assert container["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


@pytest.mark.single("tests/host/cluster checks the services")
@each_service
def test_container_was_created_from_the_current_compose_file(
    stack: StackState, service: str
) -> None:
    [made] = stack.containers[service]
    assert made.configuration == stack.hashes[service]


@each_service
def test_container_runs_the_image_of_the_settings(
    host: Host, settings: Settings, container: Inspected, service: str
) -> None:
    reference = settings.services[service]
    assert container["Config"]["Image"] == reference
    image = host.check_output("docker image inspect --format '{{.Id}}' %s", reference)
    assert container["Image"] == image


@each_service
def test_all_capabilities_are_dropped(container: Inspected) -> None:
    assert container["HostConfig"]["CapDrop"] == ["ALL"]
    assert not container["HostConfig"]["CapAdd"]
    assert container["HostConfig"]["Privileged"] is False


@each_service
@pytest.mark.parametrize("capabilities", ["CapEff", "CapPrm", "CapBnd"])
def test_no_process_has_a_capability(kernel: Running, capabilities: str) -> None:
    masks = {number: fields[capabilities] for number, fields in kernel.processes.items()}
    assert masks
    assert all(int(mask, 16) == 0 for [mask] in masks.values()), masks


@each_service
def test_no_process_can_gain_privileges(kernel: Running) -> None:
    flags = {number: fields["NoNewPrivs"] for number, fields in kernel.processes.items()}
    assert flags
    assert all(flag == ["1"] for flag in flags.values()), flags


@each_service
def test_no_process_runs_as_root(kernel: Running) -> None:
    users = {number: fields["Uid"] for number, fields in kernel.processes.items()}
    assert users
    assert all("0" not in ids for ids in users.values()), users


@each_service
def test_no_process_may_dump_core(kernel: Running) -> None:
    # A process that has just ended has no limits.
    limits = {
        number: fields["core"][:2]
        for number, fields in kernel.processes.items()
        if "core" in fields
    }
    assert limits
    assert all(limit == ["0", "0"] for limit in limits.values()), limits


@each_service
def test_root_file_system_is_read_only(settings: Settings, kernel: Running, service: str) -> None:
    writable = service == "infisical" and not settings.stack.infisical_read_only
    assert ("rw" if writable else "ro") in kernel.root


@each_service
def test_memory_is_limited(settings: Settings, kernel: Running, service: str) -> None:
    size: str = getattr(settings.stack, f"{service}_memory")
    # The size in the settings, such as "256m" or "1g".
    unit = {"m": 1024**2, "g": 1024**3}[size[-1].lower()]
    assert kernel.limits["memory"] == str(int(size[:-1]) * unit)


@pytest.mark.single("a Swarm has no such setting; the host has no swap")
@each_service
def test_container_has_no_swap(container: Inspected) -> None:
    assert container["HostConfig"]["MemorySwap"] == container["HostConfig"]["Memory"]


@each_service
def test_number_of_processes_is_limited(kernel: Running, service: str) -> None:
    assert kernel.limits["pids"] == str(PIDS[service])


def test_the_processor_time_of_infisical_is_limited(
    settings: Settings, running: dict[str, Running]
) -> None:
    quota, period = running["infisical"].limits["cpu"].split()
    assert int(quota) / int(period) == pytest.approx(settings.stack.infisical_cpus)


@each_service
def test_log_rotates(container: Inspected) -> None:
    log = container["HostConfig"]["LogConfig"]
    assert log["Type"] == "json-file"
    assert log["Config"] == {"max-size": "10m", "max-file": "5"}


@each_service
def test_container_shares_nothing_with_the_host(
    settings: Settings, container: Inspected, service: str
) -> None:
    """Infisical reads the authorities of `extra_ca` from a file."""
    config = container["HostConfig"]
    shared = {name: config[name] for name in ("NetworkMode", "PidMode", "IpcMode", "UTSMode")}
    assert "host" not in shared.values()
    binds = [each["Source"] for each in container["Mounts"] if each["Type"] == "bind"]
    has_authorities = service == "infisical" and settings.instance.extra_ca
    assert binds == (["/etc/infisical-iac/extra-ca.crt"] if has_authorities else [])


@pytest.mark.parametrize("service", ["postgres", "redis"])
def test_data_are_in_the_volume_named_after_the_service(
    settings: Settings, container: Inspected, service: str
) -> None:
    volumes = [each["Name"] for each in container["Mounts"] if each["Type"] == "volume"]
    assert volume(settings, service) in volumes


def test_infisical_has_no_volume_for_data(
    settings: Settings, inspections: dict[str, Inspected]
) -> None:
    volumes = [
        each["Name"] for each in inspections["infisical"]["Mounts"] if each["Type"] == "volume"
    ]
    # A Swarm mounts a tmpfs with noexec, except as such a volume.
    assert volumes == (["infisical_tmp"] if settings.cluster.topology == "swarm" else [])
