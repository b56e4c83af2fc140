"""Test backups to an append-only repository of restic's own server."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import bcrypt
import pytest

from infisical_iac.core.rendering import script_file
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Script = Callable[..., subprocess.CompletedProcess[str]]

_PASSWORD = "obviously-fake-login"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Return the address of an append-only rest-server, for the user `host`."""
    hashed = bcrypt.hashpw(_PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (tmp_path / "htpasswd").write_text(f"host:{hashed}\n")
    listen = f"127.0.0.1:{free_port()}"
    command = [
        *("restic-rest-server", "--append-only", "--listen", listen),
        *("--path", str(tmp_path / "served"), "--htpasswd-file", str(tmp_path / "htpasswd")),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            _wait_for(listen)
            yield listen
        finally:
            running.kill()


def _wait_for(listen: str) -> None:
    address, _, port = listen.partition(":")
    for _ in range(100):
        with socket.socket() as asked:
            if asked.connect_ex((address, int(port))) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the rest-server does not listen")


@pytest.fixture
def run(server: str, tmp_path: Path) -> Script:
    """Run backup-target.sh with a target on the server, like a host."""
    root, state = tmp_path / "etc", tmp_path / "state"
    root.mkdir()
    (root / "restic_password").write_text("obviously-fake-password\n")
    (root / "backup.conf").write_text("KEEP='--keep-daily 1 --keep-weekly 0'\n")
    (root / "vault.conf").write_text(f"REPOSITORY=rest:http://{server}/x\nAPPEND_ONLY=true\n")
    (root / "vault.env").write_text(
        f"RESTIC_REST_USERNAME=host\nRESTIC_REST_PASSWORD={_PASSWORD}\n"
    )
    work = tmp_path / "work"
    (work / "snapshot").mkdir(parents=True)
    (work / "tags").write_text("infisical-iac")
    text = script_file("backup-target")
    for was, now in (
        ("/etc/infisical/backup", str(root)),
        ("/etc/infisical/keys/restic_password", str(root / "restic_password")),
        ("/var/lib/infisical-backup", str(state)),
        ("/var/cache/infisical-backup", str(tmp_path / "cache")),
    ):
        text = text.replace(was, now)

    def run(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", text, "backup-target.sh", command, "vault", *arguments],
            capture_output=True,
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        )

    return run


def test_a_backup_to_an_append_only_target_removes_no_snapshot(run: Script, tmp_path: Path) -> None:
    """Two snapshots of one day stay, although the settings keep one."""
    for number in (1, 2):
        (tmp_path / "work/snapshot/database.dump").write_text(f"obviously fake {number}")
        saved = run("save", str(tmp_path / "work"))
        assert saved.returncode == 0, saved.stderr
        assert saved.stdout.splitlines()[-1] == f"snapshots {number}"
        assert _PASSWORD not in saved.stdout + saved.stderr
    listed = run("list")
    assert listed.stdout.count('"short_id"') == 2
    fetched = run("fetch", "latest", str(tmp_path / "fetched"))
    assert fetched.returncode == 0, fetched.stderr
    assert (tmp_path / "fetched/database.dump").read_text() == "obviously fake 2"


def test_the_credentials_of_the_host_can_not_remove_snapshots(
    run: Script, server: str, tmp_path: Path
) -> None:
    (tmp_path / "work/snapshot/database.dump").write_text("obviously fake")
    assert run("save", str(tmp_path / "work")).returncode == 0
    removed = subprocess.run(
        [
            *("restic", "--no-cache", "forget", "--keep-last", "0", "--unsafe-allow-remove-all"),
            *("--tag", "infisical-iac", "--group-by", ""),
        ],
        env={
            "PATH": os.environ["PATH"],
            "RESTIC_REPOSITORY": f"rest:http://host:{_PASSWORD}@{server}/x",
            "RESTIC_PASSWORD": "obviously-fake-password",
        },
        capture_output=True,
        text=True,
    )
    # restic reports the refusal, but ends with success.
    assert "403 Forbidden" in removed.stderr
    assert run("list").stdout.count('"short_id"') == 1


def test_a_refused_login_is_reported_without_the_password(run: Script, tmp_path: Path) -> None:
    env = tmp_path / "etc/vault.env"
    env.write_text("RESTIC_REST_USERNAME=host\nRESTIC_REST_PASSWORD=obviously-fake-other\n")
    refused = run("list")
    assert refused.returncode == 1
    assert refused.stderr.strip()
    assert "obviously-fake" not in refused.stdout + refused.stderr
