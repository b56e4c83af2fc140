"""Test backups to an append-only repository of restic's own server."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import bcrypt
import pytest

from infisical_iac.agent import restic
from infisical_iac.agent.runner import Runner, explain
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
def host(server: str, tmp_path: Path) -> Runner:
    """Return a host with a target on the server."""
    made = Runner(tmp_path)
    texts = {
        "backup/backup.conf": "KEEP='--keep-daily 1 --keep-weekly 0'\n",
        "backup/vault.conf": f"REPOSITORY=rest:http://{server}/x\nAPPEND_ONLY=true\n",
        "backup/vault.env": f"RESTIC_REST_USERNAME=host\nRESTIC_REST_PASSWORD={_PASSWORD}\n",
        "keys/restic_password": "obviously-fake-password\n",
    }
    for name, text in texts.items():
        path = made.path(f"/etc/infisical/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "work/snapshot").mkdir(parents=True)
    (tmp_path / "work/tags").write_text("infisical-iac")
    return made


def _save(host: Runner) -> list[str]:
    return [*restic.save(host, "vault", "/work")]


def _count(host: Runner) -> int:
    return len(restic.list_snapshots(host, "vault"))


def test_a_backup_to_an_append_only_target_removes_no_snapshot(
    host: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two snapshots of one day stay, although the settings keep one."""
    for number in (1, 2):
        (tmp_path / "work/snapshot/database.dump").write_text(f"obviously fake {number}")
        saved = _save(host)
        assert saved[-1] == f"snapshots {number}"
        assert _PASSWORD not in "".join([*saved, *capsys.readouterr()])
    assert _count(host) == 2
    restic.fetch(host, "vault", "latest", str(tmp_path / "fetched"))
    assert (tmp_path / "fetched/database.dump").read_text() == "obviously fake 2"


def test_the_credentials_of_the_host_can_not_remove_snapshots(
    host: Runner, server: str, tmp_path: Path
) -> None:
    (tmp_path / "work/snapshot/database.dump").write_text("obviously fake")
    _save(host)
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
    assert _count(host) == 1


def test_a_refused_login_is_reported_without_the_password(
    host: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    env = host.path("/etc/infisical/backup/vault.env")
    env.write_text("RESTIC_REST_USERNAME=host\nRESTIC_REST_PASSWORD=obviously-fake-other\n")
    with pytest.raises(RuntimeError) as refused:
        _count(host)
    reason = explain(refused.value)
    assert reason
    assert "obviously-fake" not in "".join([reason, *capsys.readouterr()])
