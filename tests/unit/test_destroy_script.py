"""What destroy.sh leaves of the data."""

from pathlib import Path

from tests.unit.played_host import MAIN, played


def test_everything_takes_copies_of_the_data_along(tmp_path: Path) -> None:
    host = played(tmp_path)
    names = (MAIN, f"{MAIN}_before_20261125T101112Z", "infisical_redis")
    for name in (*names, "infisical-restore_postgres", "infisical-upgrade_postgres", "other_data"):
        host.volume(name, base="data")
    host.write("/etc/infisical/keys/encryption_key", "obviously-fake")
    host.ok(("destroy", "everything"))
    assert host.volumes() == {"other_data": {"base": "data"}}
    assert host.read("/etc/infisical/keys/encryption_key") is None


def test_nothing_that_a_timer_started_is_at_work_any_more(tmp_path: Path) -> None:
    host = played(tmp_path)
    (tmp_path / "programs" / "systemctl").write_text('#!/bin/sh\necho "$*" >>"$HOST/told"\n')
    host.ok(("destroy", "stack"))
    told = (host.read("/told") or "").splitlines()
    assert "stop infisical-backup.service infisical-drill.service" in told
