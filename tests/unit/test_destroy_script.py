"""What destroy.sh leaves of the data."""

from pathlib import Path

from tests.unit.played_host import MAIN, played


def test_everything_takes_copies_of_the_data_along(tmp_path: Path) -> None:
    host = played(tmp_path)
    names = (MAIN, f"{MAIN}_before_20261125T101112Z", "infisical_redis")
    copies = (f"infisical-{what}_postgres" for what in ("restore", "upgrade", "scale"))
    for name in (*names, *copies, "other_data"):
        host.volume(name, base="data")
    files = (
        "/etc/infisical/keys/encryption_key",
        "/var/lib/infisical-share/before/3/keys/encryption_key",
        "/var/lib/infisical-scale/state",
    )
    for file in files:
        host.write(file, "obviously-fake")
    host.ok(("destroy", "everything"))
    assert host.volumes() == {"other_data": {"base": "data"}}
    assert [file for file in files if host.read(file) is not None] == []


def test_nothing_that_a_timer_started_is_at_work_any_more(tmp_path: Path) -> None:
    host = played(tmp_path)
    (tmp_path / "programs" / "systemctl").write_text('#!/bin/sh\necho "$*" >>"$HOST/told"\n')
    host.ok(("destroy", "stack"))
    told = (host.read("/told") or "").splitlines()
    assert "stop infisical-backup.service infisical-drill.service" in told


def test_the_firewall_goes_last_and_takes_no_other_table_along(tmp_path: Path) -> None:
    host = played(tmp_path)
    told = '#!/bin/sh\necho "$(basename "$0") $*" >>"$HOST/told"\n'
    for program in ("nft", "systemctl"):
        file = tmp_path / "programs" / program
        file.write_text(told)
        file.chmod(0o755)
    host.write("/etc/infisical-iac/firewall.nft", "table inet infisical {}")
    host.ok(("destroy", "everything"))
    last = (host.read("/told") or "").splitlines()[-3:]
    assert last == [
        "systemctl disable --quiet --now infisical-firewall.service",
        "nft delete table inet infisical",
        "systemctl daemon-reload",
    ]
    assert host.read("/etc/infisical-iac/firewall.nft") is None


def test_a_host_without_a_firewall_is_not_asked_for_one(tmp_path: Path) -> None:
    host = played(tmp_path)
    nft = tmp_path / "programs" / "nft"
    nft.write_text('#!/bin/sh\ntouch "$HOST/told"\n')
    nft.chmod(0o755)
    host.ok(("destroy", "everything"))
    assert host.read("/told") is None
