"""Test failing backups: each is reported and leaves nothing, and the next one succeeds."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import backing
from tests.e2e.backing import UNIT, WORK, inventory, last_backup, now, sql, until
from tests.e2e.conftest import assert_converged
from tests.e2e.inspection import api
from tests.e2e.running import infisical_iac
from tests.e2e.webhook import receiver
from tests.staging.host import StagingHost

pytestmark = pytest.mark.long

_PASSWORD = "RESTIC_PASSWORD_FILE=/etc/infisical/keys/restic_password"
# A text that PostgreSQL keeps compressed: its dump is far larger than the database.
_FILLER = "CREATE TABLE filler AS SELECT repeat('x', 100000000) AS text"


@pytest.fixture(scope="module", autouse=True)
def host(deployed_host: StagingHost) -> Iterator[StagingHost]:
    """The host with one good backup; all are removed after these tests."""
    backing.forget_backups(deployed_host)
    assert backing.ran(deployed_host).failure == ""
    yield deployed_host
    backing.forget_backups(deployed_host)
    assert_converged(deployed_host)


@pytest.fixture(autouse=True)
def _healthy_afterwards(host: StagingHost) -> Iterator[None]:
    """Assert after each test that Infisical answers and the next backup succeeds."""
    yield
    with api(host) as client:
        assert client.answers()
    assert backing.ran(host).failure == ""
    assert backing.assess(host)[1]
    assert backing.work_files(host) == []
    assert backing.sessions(host) == "0"


def _assert_fails(host: StagingHost, reason: str) -> None:
    """Assert that a backup fails with a reason, is reported with it, and leaves no files."""
    assert reason in backing.ran(host).failure
    _assert_reported(host, reason)


def _assert_reported(host: StagingHost, reason: str) -> None:
    text, ok = backing.assess(host)
    assert not ok
    assert reason in text
    assert "; last success 20" in text
    assert backing.work_files(host) == []


def test_a_stopped_database_is_reported_to_command_journal_and_webhook(
    host: StagingHost, tmp_path: Path
) -> None:
    with receiver(backing.gateway(host)) as webhook:
        own = inventory(tmp_path, backup_webhook=webhook.url)
        applied = infisical_iac(host.name, "apply", "--yes", "-i", own)
        assert applied.returncode == 0
        assert webhook.url not in applied.stdout + applied.stderr
        host.run("docker stop infisical-postgres-1")
        done, _ = now(host)
        assert done.returncode == 1
        assert "database does not run" in done.stderr
        assert last_backup(host)[1] is False
        _assert_reported(host, "database does not run")
        until(host, "! systemctl is-active --quiet infisical-backup-failed")
        (message,) = webhook.received
    assert "Infisical on staging-" in message["text"]
    assert message["error"] == backing.last(host).failure
    journal = host.run("journalctl --output=cat --priority=err").stdout
    assert message["text"] in journal
    assert webhook.url not in host.run("journalctl --output=cat").stdout
    assert infisical_iac(host.name, "apply", "--yes").returncode == 0


def test_a_full_disk_is_reported_before_the_dump(host: StagingHost) -> None:
    host.run(f"mount -t tmpfs -o size=1m tmpfs {WORK}")
    try:
        _assert_fails(host, "MB free: make room")
    finally:
        host.run(f"umount {WORK}")


def test_a_disk_that_fills_up_during_the_dump_is_reported(host: StagingHost) -> None:
    sql(host, _FILLER)
    host.run(f"mount -t tmpfs -o size=90m tmpfs {WORK}")
    try:
        _assert_fails(host, "could not be dumped")
    finally:
        host.run(f"umount {WORK}")
        sql(host, "DROP TABLE filler")


def test_a_locked_repository_takes_the_new_snapshot_and_keeps_the_old_ones(
    host: StagingHost,
) -> None:
    restic = f"{_PASSWORD} restic --repo {backing.LOCAL['repository']}"
    host.run(f"(sleep 300 | {restic} backup --stdin >/dev/null 2>&1 & echo $! >/root/user)")
    until(host, f"ls {backing.LOCAL['repository']}/locks | grep -q .")
    found = backing.ran(host)
    assert found.targets[0].success is not None
    assert found.targets[0].success >= found.began
    _assert_reported(host, "can't be removed: ")
    # The killed restic leaves a stale lock.
    host.run("pkill --signal KILL --exact restic; pkill --exact --full 'sleep 300'; true")


def test_a_missing_repository_is_reported_and_not_created_again(host: StagingHost) -> None:
    place = backing.LOCAL["repository"]
    host.run(f"mv {place} {place}-away")
    try:
        _assert_fails(host, f"{place}, which has backups, ")
        assert host.run(f"ls {place}", check=False).returncode != 0
    finally:
        host.run(f"rm -rf {place}; mv {place}-away {place}")


def test_another_password_than_the_repositorys_is_reported(host: StagingHost) -> None:
    key = "/etc/infisical/keys/restic_password"
    host.run(f"cp -p {key} /root/kept && echo obviously-fake-password > {key}")
    try:
        _assert_fails(host, "has another password than /etc/infisical/keys/restic_password")
    finally:
        host.run(f"mv /root/kept {key}")


def test_a_lost_password_is_refused_and_not_generated_again(host: StagingHost) -> None:
    host.run("mv /etc/infisical/keys/restic_password /root/kept")
    try:
        refused = infisical_iac(host.name, "plan")
    finally:
        host.run("mv /root/kept /etc/infisical/keys/restic_password")
    assert refused.returncode == 1
    assert "restic_password is missing" in refused.stdout


def _start(host: StagingHost) -> None:
    host.run(f"systemctl start --no-block {UNIT}")


def _kill(host: StagingHost, whom: str = "all") -> None:
    host.run(f"systemctl kill --kill-whom={whom} --signal=KILL {UNIT}")
    until(host, f"systemctl is-failed --quiet {UNIT}")


@pytest.mark.parametrize("whom", ["main", "all"])
def test_a_backup_killed_during_the_dump_is_reported(host: StagingHost, whom: str) -> None:
    # The dump waits for the lock of another session.
    lock = "BEGIN; LOCK TABLE secrets_v2; SELECT pg_sleep(60);"
    host.run(
        f"echo '{lock}' | (PGAPPNAME=locking docker exec -i -e PGAPPNAME=locking "
        "infisical-postgres-1 psql -X -U infisical >/dev/null 2>&1 &)"
    )
    _start(host)
    until(host, "docker exec infisical-postgres-1 pgrep pg_dump >/dev/null")
    _kill(host, whom)
    sql(
        host,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'locking'",
    )
    _assert_reported(host, "(killed KILL)")
    assert backing.sessions(host) == "0"


def test_a_backup_killed_while_it_sends_a_large_dump_is_reported(host: StagingHost) -> None:
    sql(host, _FILLER)
    _start(host)
    until(host, f"test -s {WORK}/database.dump")
    _kill(host)
    sql(host, "DROP TABLE filler")
    _assert_reported(host, "(killed KILL)")
    assert backing.sessions(host) == "0"


def test_a_backup_killed_while_restic_saves_is_reported(host: StagingHost) -> None:
    _start(host)
    until(host, "pgrep --full 'resti[c] .*backup' >/dev/null")
    _kill(host)
    _assert_reported(host, "(killed KILL)")


def test_a_killed_restic_is_reported_with_its_target(host: StagingHost) -> None:
    _start(host)
    until(host, "pkill --signal KILL --full 'resti[c] .*backup'")
    until(host, f"systemctl is-failed --quiet {UNIT}")
    _assert_reported(host, "local: ")


def test_a_schedule_that_systemd_rejects_is_refused(host: StagingHost, tmp_path: Path) -> None:
    own = inventory(tmp_path, backup_schedule="every now and then")
    refused = infisical_iac(host.name, "apply", "--yes", "-i", own)
    assert refused.returncode == 1
    assert "systemd" in refused.stderr
    assert "'every now and then'" in refused.stderr


def test_each_drift_of_the_backups_is_repaired(host: StagingHost, tmp_path: Path) -> None:
    host.run(
        "systemctl disable --now infisical-backup.timer; "
        "touch /usr/local/lib/infisical-iac/backup.sh; "
        "chmod 644 /etc/infisical/backup/local.conf; "
        "echo '# edited' >> /etc/systemd/system/infisical-backup.service"
    )
    planned = json.loads(infisical_iac(host.name, "plan", "--json").stdout)["changes"]
    assert [(each["kind"], each["what"]) for each in planned] == [
        ("~", "/etc/infisical/backup/local.conf"),
        ("~", "/etc/systemd/system/infisical-backup.service"),
        ("~", "infisical-backup.timer"),
        ("-", "/usr/local/lib/infisical-iac/backup.sh"),
    ]
    assert infisical_iac(host.name, "apply", "--yes").returncode == 0
    shown = host.run(f"systemctl show --property=NeedDaemonReload --value {UNIT}").stdout
    assert shown.strip() == "no"
    own = inventory(tmp_path, backup_schedule="*-*-* 04:00:00")
    assert infisical_iac(host.name, "apply", "--yes", "-i", own).returncode == 0
    timers = host.run("systemctl list-timers --no-pager infisical-backup.timer").stdout
    assert " 04:" in timers
    assert infisical_iac(host.name, "apply", "--yes").returncode == 0
