"""Backups, drills, and what is done in steps: ready, ended, and for nobody else to read."""

import shlex

import pytest

from infisical_iac.backup.deploy import configuration, programs
from infisical_iac.core.settings import Settings
from tests.host.connection import Connection, Host

_IN_STEPS = ("restore", "upgrade", "rotation")


def test_restic_is_installed(host: Host) -> None:
    assert host.package("restic").is_installed


@pytest.mark.parametrize("timer", ["infisical-backup.timer", "infisical-drill.timer"])
def test_the_timer_is_enabled_and_knows_its_next_time(host: Host, timer: str) -> None:
    command = "systemctl show --property=ActiveState,UnitFileState,NextElapseUSecRealtime %s"
    shown = dict(line.split("=", 1) for line in host.check_output(command, timer).splitlines())
    assert (shown["ActiveState"], shown["UnitFileState"]) == ("active", "enabled")
    assert shown["NextElapseUSecRealtime"]


@pytest.mark.parametrize("failed", ["", "-failed"])
@pytest.mark.parametrize("what", ["backup", "drill"])
def test_systemd_knows_the_unit_as_it_is_on_disk(host: Host, what: str, failed: str) -> None:
    command = "systemctl show --property=LoadState,NeedDaemonReload --value %s"
    unit = f"infisical-{what}{failed}.service"
    assert host.check_output(command, unit).split() == ["loaded", "no"]


def test_the_files_are_what_the_settings_say(connection: Connection, settings: Settings) -> None:
    files = [*configuration(settings), *programs(settings)]
    # What a node has to know of the others is the next test's.
    without = "grep -vE '^(NODE|SHARED)='" if settings.topology == "swarm" else "cat"
    there = {each.path: connection.quietly(f"{without} {each.path}") for each in files}
    different = [each.path for each in files if there[each.path].rstrip() != each.content.rstrip()]
    assert different == []


@pytest.mark.usefixtures("keeps_data")
def test_a_node_knows_its_number_and_which_targets_it_shares(
    host: Host, connection: Connection, settings: Settings
) -> None:
    found = connection.quietly("grep -E '^(NODE|SHARED)=' /etc/infisical/backup/backup.conf")
    if settings.topology == "single":
        assert found == ""
        return
    label = '{{ index .Spec.Labels "infisical.node" }}'
    number = host.check_output("docker node inspect self --format %s", label)
    shared = " ".join(each.name for each in settings.backup_targets if not each.kind.on_host)
    assert found.split("\n")[:2] == [f"NODE={number}", f"SHARED={shlex.quote(shared)}"]


@pytest.mark.parametrize(
    "directory",
    [
        "/var/cache/infisical-backup",
        *(f"/var/lib/infisical-{what}" for what in ("backup", "drill", *_IN_STEPS)),
    ],
)
def test_what_runs_leave_is_roots_alone(host: Host, directory: str) -> None:
    # They are made by the first run.
    found = host.run("stat --format='%%a %%U:%%G' %s", directory)
    assert found.stdout.strip() in ("", "700 root:root")


@pytest.mark.parametrize("what", _IN_STEPS)
def test_none_has_begun_that_has_not_ended(host: Host, what: str) -> None:
    assert not host.file(f"/var/lib/infisical-{what}/state").exists


def test_no_file_of_a_run_is_left_between_runs(connection: Connection) -> None:
    command = (
        "systemctl is-active --quiet infisical-backup.service || "
        "find /var/lib/infisical-backup/work -type f 2>/dev/null"
    )
    assert connection.quietly(f"{{ {command}; }} || true") == ""


def test_nothing_of_a_drill_is_left_between_drills(connection: Connection) -> None:
    label = "--quiet --filter label=com.docker.compose.project=infisical-drill"
    command = (
        "systemctl is-active --quiet infisical-drill.service || "
        f"{{ docker ps --all {label}; docker volume ls {label}; "
        "find /var/lib/infisical-drill/work /var/lib/infisical-drill/fetched -type f 2>/dev/null; }"
    )
    assert connection.quietly(f"{{ {command}; }} || true") == ""
