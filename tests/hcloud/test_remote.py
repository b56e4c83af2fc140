"""Test the steps of a replacement on servers: over SSH, and by this project's commands."""

import json
from pathlib import Path

import pytest

from infisical_iac.core.errors import CheckFailed, UserError
from infisical_iac.hetzner import remote
from infisical_iac.hetzner.remote import Login, RemoteExecutor
from tests.hcloud.booted import Booted
from tests.hcloud.world import World
from tests.unit.fake_programs import fake_program

_DEVICE = "/dev/disk/by-id/scsi-0HC_Volume_1"
_HEALTHY = ("infisical", "postgres", "redis", "caddy", "Drift")

# Records its arguments, and ends with the status in the file next to it.
_PROGRAM = """
{ echo "$*"; env | grep -E "^INFISICAL_" | sort; } >"$0.called"
cat "$0.said" 2>/dev/null
exit "$(cat "$0.status" 2>/dev/null || echo 0)"
"""


@pytest.fixture
def server(world: World) -> Booted:
    """A server that has been made."""
    world.ok("create", "--yes")
    (booted,) = world.booted.values()
    return booted


@pytest.fixture
def login(world: World, server: Booted) -> Login:
    """The login to the server."""
    return Login(server.address, server.port, str(world.directory / "operator"))


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake of the program `infisical-iac`."""
    file = fake_program(tmp_path, "infisical-iac", _PROGRAM)
    monkeypatch.setattr(remote, "_PROGRAM", file)
    return file


def _sibling(file: Path, name: str) -> Path:
    return file.with_name(f"{file.name}.{name}")


def _status(program: Path, *unhealthy: str, without: str = "") -> None:
    rows = [
        {"name": name, "text": "", "ok": name not in unhealthy}
        for name in _HEALTHY
        if name != without
    ]
    rows.append({"name": "Last backup", "text": "none yet", "ok": False})
    _sibling(program, "said").write_text(json.dumps(rows))
    _sibling(program, "status").write_text("1")


def test_the_server_unmounts_the_volume(server: Booted, login: Login) -> None:
    RemoteExecutor(_DEVICE, timeout=5).release_volume(login)
    assert server.commands[-1] == "volume.release"
    server.failing = "volume.release"
    with pytest.raises(UserError, match="stop Infisical on"):
        RemoteExecutor(_DEVICE, timeout=5).release_volume(login)


def test_data_on_the_servers_own_disk_are_detected_first(server: Booted, login: Login) -> None:
    RemoteExecutor(_DEVICE, timeout=5).check_data(login)
    server.failing = "volume.check_own"
    with pytest.raises(UserError, match="it fails"):
        RemoteExecutor(_DEVICE, timeout=5).check_data(login)


@pytest.mark.parametrize(("is_present", "word"), [(True, "blank"), (False, "absent")])
def test_a_blank_volume_is_refused_before_the_deploy(
    server: Booted, login: Login, is_present: bool, word: str
) -> None:
    server.values["volume.inspect"] = {"present": True, "holds": "ext4", "uuid": "u-1"}
    RemoteExecutor(_DEVICE, timeout=5).check_volume(login)
    server.values["volume.inspect"] = {"present": is_present}
    with pytest.raises(UserError, match=f"is {word}, .* server replace --undo") as refused:
        RemoteExecutor(_DEVICE, timeout=5).check_volume(login)
    assert refused.value.code == "refused.volume"


def test_the_deploy_gets_the_server_and_its_device(program: Path, login: Login) -> None:
    RemoteExecutor(_DEVICE, timeout=5).deploy(login)
    called = _sibling(program, "called").read_text().splitlines()
    assert called[0] == "apply --yes"
    assert {
        f"INFISICAL_DATA_VOLUME={_DEVICE}",
        f"INFISICAL_HOST={login.address}",
        f"INFISICAL_SSH_PORT={login.port}",
        "INFISICAL_IAC_INVENTORY=inventory/hetzner.py",
    } <= {*called}


def test_a_failed_or_endless_deploy_is_reported(
    program: Path, login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    _sibling(program, "status").write_text("1")
    with pytest.raises(UserError, match="--undo") as refused:
        RemoteExecutor(_DEVICE, timeout=5).deploy(login)
    assert refused.value.code == "run"
    program.write_text("#!/bin/sh\nexec sleep 30\n")
    monkeypatch.setattr(remote, "_DEPLOY_SECONDS", 0.2)
    with pytest.raises(UserError, match="`infisical-iac apply`") as refused:
        RemoteExecutor(_DEVICE, timeout=5).deploy(login)
    assert refused.value.code == "run.timeout"


def test_services_must_be_healthy_and_a_backup_may_be_missing(program: Path, login: Login) -> None:
    _status(program)
    RemoteExecutor(_DEVICE, timeout=5).check_health(login)
    assert _sibling(program, "called").read_text().startswith("status --json\n")
    _status(program, without="caddy")
    RemoteExecutor(_DEVICE, timeout=5).check_health(login)


@pytest.mark.parametrize("name", _HEALTHY)
def test_an_unhealthy_row_fails_the_health_check(program: Path, login: Login, name: str) -> None:
    _status(program, name)
    with pytest.raises(CheckFailed, match=rf"\({name}\)"):
        RemoteExecutor(_DEVICE, timeout=5).check_health(login)


def test_an_empty_status_fails_the_health_check(program: Path, login: Login) -> None:
    _sibling(program, "said").write_text("Error: the connection was lost\n")
    with pytest.raises(CheckFailed, match=r"\(infisical, postgres, redis, Drift\)"):
        RemoteExecutor(_DEVICE, timeout=5).check_health(login)
