"""Test that Caddy is healthy, confined, and running with the Caddyfile of the settings."""

import pytest

from infisical_iac.core.settings import Settings
from infisical_iac.stack import ingress
from infisical_iac.stack.ingress import caddyfile
from infisical_iac.stack.state import stack_question
from tests.host.connection import Connection, Host
from tests.host.containers import Inspected, Running

_NET_BIND_SERVICE = 1 << 10
_DIRECTORY = "/etc/infisical/ingress"
_LOGS = "/var/log/infisical-access/live"


@pytest.fixture
def caddy(inspections: dict[str, Inspected]) -> Inspected:
    return inspections["caddy"]


@pytest.fixture
def kernel(running: dict[str, Running]) -> Running:
    return running["caddy"]


def _answer(host: Host, caddy: Inspected, path: str = "") -> str:
    """Return the answer at Caddy's default admin address, asked from inside its container."""
    asked = "docker exec %s wget -q -T 5 -O - http://127.0.0.1:2019/%s"
    return str(host.check_output(asked, caddy["Id"], path))


def test_caddy_is_healthy(caddy: Inspected) -> None:
    assert (caddy["State"]["Status"], caddy["State"]["Health"]["Status"]) == ("running", "healthy")


@pytest.mark.single("a Swarm replaces stopped containers by itself")
def test_caddy_restarts_after_a_crash_and_a_reboot(caddy: Inspected) -> None:
    assert caddy["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def test_caddy_runs_the_image_of_the_settings(settings: Settings, caddy: Inspected) -> None:
    assert caddy["Config"]["Image"] == settings.stack.caddy_image


@pytest.mark.single("tests/host/cluster checks the services")
def test_caddy_was_created_from_the_current_compose_file(
    connection: Connection, settings: Settings
) -> None:
    compose = connection.host.check_output("cat /etc/infisical/compose.yaml")
    found = connection.inspect(stack_question(compose=compose, images=settings.images))
    assert [each.configuration for each in found.containers["caddy"]] == [found.hashes["caddy"]]


def test_caddyfile_is_the_one_of_the_settings(
    host: Host, settings: Settings, caddy: Inspected
) -> None:
    own = ingress.read_own_pair(settings)
    desired = caddyfile(settings, own.certificate if own else "")
    assert host.check_output("cat %s/Caddyfile", _DIRECTORY) == desired.text.strip()
    assert _answer(host, caddy) == desired.revision


def test_nobody_can_change_caddys_configuration_through_the_network(
    host: Host, caddy: Inspected
) -> None:
    # Caddy's default admin address returns only the revision, for any path.
    assert _answer(host, caddy, "config/") == _answer(host, caddy)
    assert host.check_output("docker exec %s ls /run/caddy", caddy["Id"]) == "admin.sock"


def test_caddys_only_capability_is_to_bind_low_ports(kernel: Running) -> None:
    for fields in kernel.processes.values():
        masks = {int(fields[each][0], 16) for each in ("CapEff", "CapPrm", "CapBnd")}
        assert masks == {_NET_BIND_SERVICE}
        assert fields["NoNewPrivs"] == ["1"]
        assert fields["core"][:2] == ["0", "0"]
    assert kernel.processes


def test_caddys_root_file_system_is_read_only(kernel: Running) -> None:
    assert "ro" in kernel.root


def test_caddys_memory_and_processes_are_limited(kernel: Running) -> None:
    assert kernel.limits["memory"] == str(256 * 1024**2)
    assert kernel.limits["pids"] == "128"


def test_caddys_log_rotates(caddy: Inspected) -> None:
    assert caddy["HostConfig"]["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "5"}


def test_caddy_shares_only_its_files_and_access_log_with_the_host(caddy: Inspected) -> None:
    config = caddy["HostConfig"]
    assert "host" not in (config["PidMode"], config["IpcMode"], config["UTSMode"])
    bound = {each["Source"]: each["RW"] for each in caddy["Mounts"] if each["Type"] == "bind"}
    assert bound == {_DIRECTORY: False, _LOGS: True}
    volumes = {each.get("Name") for each in caddy["Mounts"] if each["Type"] == "volume"}
    assert "infisical_caddy" in volumes


def test_only_root_reads_the_key_and_the_access_log(host: Host, settings: Settings) -> None:
    files = host.check_output("find %s %s -printf '%%m %%u %%p\n'", _DIRECTORY, _LOGS).splitlines()
    assert files
    assert {line.split()[1] for line in files} == {"root"}
    modes = {line.split()[2]: line.split()[0] for line in files}
    assert modes[_LOGS] == "750"
    own = {f"{_DIRECTORY}/tls.key": "600"} if settings.stack.tls_key else {}
    assert {path: mode for path, mode in modes.items() if path.endswith(".key")} == own
