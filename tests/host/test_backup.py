"""Test that backups and drills are scheduled, and that no procedure is unfinished or readable."""

import shlex

import pytest

from infisical_iac.backup.deploy import configuration, programs
from infisical_iac.core.settings import Settings
from tests.host.connection import Connection, Host

_IN_STEPS = ("restore", "upgrade", "rotation")


def test_restic_is_installed(host: Host) -> None:
    assert host.package("restic").is_installed


@pytest.mark.parametrize("timer", ["infisical-backup.timer", "infisical-drill.timer"])
def test_the_timer_is_enabled_and_has_a_next_run(host: Host, timer: str) -> None:
    command = "systemctl show --property=ActiveState,UnitFileState,NextElapseUSecRealtime %s"
    shown = dict(line.split("=", 1) for line in host.check_output(command, timer).splitlines())
    assert (shown["ActiveState"], shown["UnitFileState"]) == ("active", "enabled")
    assert shown["NextElapseUSecRealtime"]


@pytest.mark.parametrize("failed", ["", "-failed"])
@pytest.mark.parametrize("what", ["backup", "drill"])
def test_systemd_has_loaded_the_unit_on_disk(host: Host, what: str, failed: str) -> None:
    command = "systemctl show --property=LoadState,NeedDaemonReload --value %s"
    unit = f"infisical-{what}{failed}.service"
    assert host.check_output(command, unit).split() == ["loaded", "no"]


def test_the_files_have_the_content_of_the_settings(
    connection: Connection, settings: Settings
) -> None:
    files = [*configuration(settings), *programs(settings)]
    # test_a_node_knows_its_number_and_which_targets_it_shares checks the lines left out.
    without = "grep -vE '^(NODE|SHARED)='" if settings.cluster.topology == "swarm" else "cat"
    there = {each.path: connection.quietly(f"{without} {each.path}") for each in files}
    different = [each.path for each in files if there[each.path].rstrip() != each.content.rstrip()]
    assert different == []


@pytest.mark.single("a node of a cluster knows its number")
def test_a_single_host_has_no_number(connection: Connection) -> None:
    found = connection.quietly("cat /etc/infisical/backup/backup.conf").splitlines()
    assert found
    assert [line for line in found if line.startswith(("NODE=", "SHARED="))] == []


@pytest.mark.usefixtures("keeps_data")
def test_a_node_knows_its_number_and_which_targets_it_shares(
    host: Host, connection: Connection, settings: Settings
) -> None:
    if settings.cluster.topology == "single":
        pytest.skip("a single host has no number, and shares no target")
    found = connection.quietly("grep -E '^(NODE|SHARED)=' /etc/infisical/backup/backup.conf")
    label = '{{ index .Spec.Labels "infisical.node" }}'
    number = host.check_output("docker node inspect self --format %s", label)
    shared = " ".join(each.name for each in settings.backup.backup_targets if not each.kind.on_host)
    assert found.split("\n")[:2] == [f"NODE={number}", f"SHARED={shlex.quote(shared)}"]


@pytest.mark.parametrize(
    "directory",
    [
        "/var/cache/infisical-backup",
        *(f"/var/lib/infisical-{what}" for what in ("backup", "drill", *_IN_STEPS)),
    ],
)
def test_files_of_runs_are_accessible_only_to_root(host: Host, directory: str) -> None:
    found = host.file(directory)
    if not found.exists:
        pytest.skip("the first run makes it, and none has run yet")
    assert (found.mode, found.user, found.group) == (0o700, "root", "root")


@pytest.mark.parametrize("what", _IN_STEPS)
def test_no_procedure_is_unfinished(host: Host, what: str) -> None:
    assert not host.file(f"/var/lib/infisical-{what}/state").exists


def test_no_file_of_a_run_is_left_between_runs(host: Host) -> None:
    _skip_while_it_runs(host, "infisical-backup.service")
    assert _files(host, "/var/lib/infisical-backup/work") == []


def test_drills_leave_no_container_volume_or_file(host: Host) -> None:
    _skip_while_it_runs(host, "infisical-drill.service")
    label = "--quiet --filter label=com.docker.compose.project=infisical-drill"
    for command in (f"docker ps --all {label}", f"docker volume ls {label}"):
        assert host.check_output(command) == ""
    assert _files(host, "/var/lib/infisical-drill/work", "/var/lib/infisical-drill/fetched") == []


def _skip_while_it_runs(host: Host, unit: str) -> None:
    # A running unit of the type `oneshot` is `activating`.
    state = host.check_output("systemctl show --property=ActiveState --value %s", unit)
    if state in ("active", "activating"):
        pytest.skip(f"{unit} runs at this moment")


def _files(host: Host, *directories: str) -> list[str]:
    there = [each for each in directories if host.file(each).exists]
    return [
        line for each in there for line in host.check_output("find %s -type f", each).splitlines()
    ]
