"""Test which data destroy.sh deletes, and which it keeps."""

from pathlib import Path

import pytest

from tests.unit.fake_host import MAIN, FakeHost, make_host


def test_destroying_everything_deletes_copies_of_the_data_too(tmp_path: Path) -> None:
    host = make_host(tmp_path)
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


def test_services_that_a_timer_started_are_stopped(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    host.note("systemctl")
    host.ok(("destroy", "stack"))
    assert "systemctl stop infisical-backup.service infisical-drill.service" in host.calls()


def test_the_firewall_is_removed_last_and_other_tables_are_kept(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    host.note("nft", "systemctl")
    host.write("/etc/infisical-iac/firewall.nft", "table inet infisical {}")
    # Docker requires the firewall, and would be stopped with it.
    required = "/etc/systemd/system/docker.service.d/infisical-firewall.conf"
    host.write(required, "[Unit]")
    host.ok(("destroy", "everything"))
    assert host.calls()[-4:] == [
        "systemctl daemon-reload",
        "systemctl disable --quiet --now infisical-firewall.service",
        "nft delete table inet infisical",
        "systemctl daemon-reload",
    ]
    assert host.read("/etc/infisical-iac/firewall.nft") is None
    assert host.read(required) is None


def test_nft_is_not_called_on_a_host_without_a_firewall(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    host.note("nft")
    host.ok(("destroy", "everything"))
    assert host.calls() == []


_SAVED = "/var/backups/infisical-iac/20261125T101112Z"


def test_a_failed_backup_leaves_no_dump_and_changes_no_other_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = make_host(tmp_path)
    somebodys = tmp_path / "work" / "backup.new" / "file"
    somebodys.parent.mkdir(parents=True)
    somebodys.write_text("somebody's")
    monkeypatch.chdir(tmp_path / "work")
    # The fake database lists no table.
    done = host.run("destroy", "backup", _SAVED)
    assert done.returncode == 1
    assert "dump of the database" in done.stderr
    assert host.read(f"{_SAVED}.new/database.dump") is None
    assert somebodys.read_text() == "somebody's"


@pytest.mark.parametrize("signal", ["TERM", "HUP", "INT"])
def test_an_interrupted_backup_leaves_no_unencrypted_keys(tmp_path: Path, signal: str) -> None:
    host = _with_a_table(tmp_path)
    host.program("tar", f'echo keys >"$3"\nkill -{signal} "$PPID"')
    done = host.run("destroy", "backup", _SAVED)
    assert done.returncode != 0
    assert list((host.directory / "var/backups/infisical-iac").iterdir()) == []


def test_the_next_backup_removes_the_files_of_a_killed_one(tmp_path: Path) -> None:
    host = _with_a_table(tmp_path)
    host.program("tar", 'echo keys >"$3"')
    host.write("/var/backups/infisical-iac/20261124T000000Z.new/database.dump", "in clear")
    host.write("/var/backups/infisical-iac/20261123T000000Z/database.dump", "whole")
    host.ok(("destroy", "backup", _SAVED))
    there = sorted(each.name for each in (host.directory / "var/backups/infisical-iac").iterdir())
    assert there == ["20261123T000000Z", "20261125T101112Z"]
    assert host.read(f"{_SAVED}/etc-infisical.tar") == "keys\n"


def _with_a_table(tmp_path: Path) -> FakeHost:
    host = make_host(tmp_path)
    host.write("/docker exec --interactive", "3; TABLE DATA public secrets\n")
    return host
