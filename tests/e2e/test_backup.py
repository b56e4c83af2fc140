"""Test `infisical-iac backup` and its timer: the snapshots, their targets, and their secrecy."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e import backing
from tests.e2e.backing import LOCAL, STATE, count, inventory, last_backup, now, restic, sql
from tests.e2e.conftest import assert_converged
from tests.e2e.inspection import secrets
from tests.e2e.running import deploy, infisical_iac, metrics
from tests.staging.host import StagingHost

pytestmark = pytest.mark.real

_ACCESS = {
    "INFISICAL_BACKUP_BUCKET_ACCESS_KEY_ID": "obviously-fake-id",
    "INFISICAL_BACKUP_BUCKET_SECRET_ACCESS_KEY": "obviously/fake+secret",
}


@pytest.fixture(scope="module", autouse=True)
def host(deployed_host: StagingHost) -> Iterator[StagingHost]:
    """The host without any backup, before and after these tests."""
    yield from backing.without_backups(deployed_host)


def _snapshots(host: StagingHost) -> dict[str, int]:
    listed = json.loads(infisical_iac(host.name, "backup", "list", "--json").stdout)
    return {each["name"]: len(each["snapshots"]) for each in listed}


def test_a_backup_is_made_listed_and_shown_by_the_status(host: StagingHost) -> None:
    text, is_healthy = last_backup(host)
    assert ("`infisical-iac backup now`" in text, is_healthy) == (True, True)
    done, made = now(host)
    assert done.returncode == 0, done.stderr
    (saved,) = made["saved"]
    assert (saved["name"], saved["snapshots"], made["failure"]) == ("local", 1, "")
    (target,) = json.loads(infisical_iac(host.name, "backup", "list", "--json").stdout)
    (snapshot,) = target["snapshots"]
    assert snapshot["id"] == saved["snapshot"]
    assert snapshot["bytes"] == made["bytes"]
    assert str(snapshot["secrets"]) == count(host, "secrets_v2")
    text, ok = last_backup(host)
    assert ok
    assert re.search(r"\d [kM]B to ", text), text
    assert "local" in text
    assert text.endswith("(on this host only)")
    entry = json.loads(infisical_iac(host.name, "audit", "--last", "1", "--json").stdout)[0]
    assert (entry["event"], entry["outcome"]) == ("backup", "done")
    assert entry["changes"] == [f"+ snapshot {saved['snapshot']} in local"]
    assert_converged(host)


def test_no_backup_is_made_during_a_restore(host: StagingHost) -> None:
    """Test with the state that a restore has at its beginning.

    The unit tests of transactions cover that a restore waits for a backup.
    """
    state = "/var/lib/infisical-restore/state"
    host.run(f"mkdir -p -m 700 $(dirname {state}); echo 20261125T180000Z begun >{state}")
    before = host.run(f"cat {STATE}/last.json").stdout
    try:
        host.run("systemctl start infisical-backup.service")
        refused, _ = now(host)
    finally:
        host.run(f"rm {state}")
    assert host.run(f"cat {STATE}/last.json").stdout == before
    assert "no backup is made" in host.run("journalctl --unit infisical-backup").stdout
    assert refused.returncode == 1
    assert "infisical-iac restore --undo" in refused.stderr
    assert last_backup(host)[1]


def test_the_metrics_have_prometheus_text_format(host: StagingHost) -> None:
    values = metrics(host.run(f"cat {STATE}/metrics.prom").stdout)
    assert values["infisical_backup_run_success"] == "1"
    assert values['infisical_backup_snapshots{target="local"}'] == "1"
    assert int(values['infisical_backup_success_timestamp_seconds{target="local"}']) > 1.7e9


def test_the_manifest_describes_the_snapshot(host: StagingHost) -> None:
    manifest = json.loads(restic(host, "dump latest manifest.json"))
    dumped = restic(host, "dump latest database.dump | sha256sum").split()[0]
    key = host.run("cat /etc/infisical/keys/encryption_key").stdout.strip()
    fingerprint = hashlib.sha256(f"infisical-iac encryption key {key}".encode()).hexdigest()[:16]
    assert manifest["dump"]["sha256"] == dumped
    assert manifest["encryption_key"] == fingerprint
    assert manifest["infisical"]["version"].startswith("v")
    assert manifest["infisical"]["id"].startswith("sha256:")
    assert str(manifest["migrations"]) == count(host, "infisical_migrations")


def test_dump_and_row_counts_agree_during_writes(host: StagingHost) -> None:
    sql(host, "CREATE TABLE moving (id int); INSERT INTO moving VALUES (0)")
    write = "INSERT INTO moving VALUES (1); SELECT pg_sleep(0.01);\n"
    host.run(
        f"for n in $(seq 1500); do echo '{write}'; done | (docker exec -i infisical-postgres-1 "
        "psql -X -U infisical -q -o /dev/null >/dev/null 2>&1 &)"
    )
    assert now(host)[0].returncode == 0
    counted = json.loads(restic(host, "dump latest manifest.json"))["rows"]["moving"]
    sql(host, "CREATE DATABASE restored")
    restic(
        host,
        "dump latest database.dump | docker exec -i infisical-postgres-1 "
        "pg_restore --username infisical --no-owner --dbname restored",
    )
    restored = sql(host, "\\c restored\nSELECT count(*) FROM moving")
    backed_up = int(count(host, "moving"))
    sql(host, "DROP DATABASE restored")
    sql(host, "DROP TABLE moving")
    assert int(restored) == counted
    assert 1 < counted < backed_up


def test_a_snapshot_holds_the_encryption_key_only_if_the_setting_says_so(
    host: StagingHost, tmp_path: Path
) -> None:
    assert _list_held(host) == []
    own = inventory(tmp_path, backup_with_encryption_key=True)
    assert infisical_iac(host.name, "apply", "--yes", "-i", own).returncode == 0
    assert now(host)[0].returncode == 0
    assert _list_held(host) == ["encryption_key"]


def _list_held(host: StagingHost) -> list[str]:
    """Return the names of the host's secrets that the last snapshot holds."""
    restic(host, "restore latest --target /root/restored")
    files = host.run("find /root/restored -type f -exec cat {} + | base64; rm -r /root/restored")
    held = base64.b64decode(files.stdout)
    return [name for name, value in secrets(host).items() if value.encode() in held]


@pytest.mark.long
def test_one_run_saves_to_a_directory_sftp_and_s3(host: StagingHost, tmp_path: Path) -> None:
    host_key = " ".join(host.run("cat /etc/ssh/ssh_host_ed25519_key.pub").stdout.split()[:2])
    box = {"name": "box", "repository": "sftp:root@127.0.0.1:/var/backups/infisical-box"}
    address = backing.gateway(host)
    with backing.s3_server(address) as url:
        bucket = {"name": "bucket", "repository": f"s3:{url}/backups/infisical"}
        # restic retries for a minute before it makes a missing bucket.
        assert httpx.put(f"{url}/backups").status_code == 200
        targets = (LOCAL, {**box, "host_key": host_key}, bucket)
        own = inventory(tmp_path, backup_targets=targets)
        refused = infisical_iac(host.name, "plan", "-i", own)
        assert refused.returncode == 1
        assert [name for name in _ACCESS if name not in refused.stdout] == []

        run = deploy(host.name, "-vvv", "--debug", inventory=own, environment=_ACCESS).ok()
        public = host.run("cat /etc/infisical/backup/ssh_key.pub").stdout.strip()
        assert public in run.stdout + run.stderr
        host.run("cat >> /root/.ssh/authorized_keys", input=f"{public}\n")
        assert deploy(host.name, inventory=own).ok().changed == []

        with backing.collect_arguments(host) as arguments:
            done, made = now(host)
        assert done.returncode == 0, done.stderr
        assert [each["name"] for each in made["saved"]] == ["local", "box", "bucket"]
        assert _snapshots(host)["box"] == _snapshots(host)["bucket"] == 1
        assert last_backup(host, "-i", own)[0].endswith("to local, box, bucket")
        seen = run.stdout + run.stderr + host.run("journalctl --no-pager --output=cat").stdout
        assert "--option sftp.command=ssh" in arguments[0]
        seen += arguments[0]
        hidden = {**secrets(host), **_ACCESS}
        assert [name for name, value in hidden.items() if value in seen] == []

        _assert_another_host_key_is_refused(host, tmp_path, box)
    _assert_an_unreachable_target_stops_no_other(host, tmp_path, bucket)
    assert infisical_iac(host.name, "apply", "--yes").returncode == 0
    logins = host.run("ls /etc/infisical/backup/*.env", check=False).stdout
    assert logins == ""
    assert_converged(host)


def _assert_another_host_key_is_refused(
    host: StagingHost, tmp_path: Path, box: dict[str, str]
) -> None:
    other = {**box, "host_key": f"ssh-ed25519 {'A' * 68}"}
    own = inventory(tmp_path, backup_targets=(LOCAL, other))
    assert infisical_iac(host.name, "apply", "--yes", "-i", own).returncode == 0
    done, made = now(host)
    assert done.returncode == 1
    assert [each["name"] for each in made["saved"]] == ["local"]
    assert "box: " in done.stderr


def _assert_an_unreachable_target_stops_no_other(
    host: StagingHost, tmp_path: Path, bucket: dict[str, str]
) -> None:
    own = inventory(tmp_path, backup_targets=(bucket, LOCAL))
    applied = infisical_iac(host.name, "apply", "--yes", "-i", own, environment=_ACCESS)
    assert applied.returncode == 0, applied.stderr
    host.run("echo ANSWER_SECONDS=15 >> /etc/infisical/backup/backup.conf")
    done, made = now(host)
    assert done.returncode == 1
    assert [each["name"] for each in made["saved"]] == ["local"]
    assert "bucket: the repository s3:" in done.stderr
    assert "can't be reached: no answer within 15 s" in done.stderr
    text, ok = last_backup(host, "-i", own)
    assert not ok
    assert "bucket: the repository s3:" in text
    listed = infisical_iac(host.name, "backup", "list")
    assert listed.returncode == 1
    assert "not every target could be read: bucket: " in listed.stderr
    assert "local" in listed.stdout
