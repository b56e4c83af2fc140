"""Test the maintenance window on a fake host: its conditions, upgrades and reboots."""

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infisical_iac.core.rendering import script_file
from tests.unit.fake_programs import fake_docker, fake_program, run_with

_PROGRAMS = {
    "dpkg-query": "printf 'ii  docker.io\\nhi  runc\\nun  docker-ce\\nii  containerd\\n'",
    "systemctl": 'echo "$@" >>"$HOST/systemctl"; cat "$HOST/drill" 2>/dev/null || true',
    "sleep": ":",
    "flock": 'test "$3" != "$(cat "$HOST/locked" 2>/dev/null)"',
    "hostname": "echo fake",
}
_APT = 'echo "$@" >>"$HOST/apt"; test ! -e "$HOST/broken" || { echo "E: no mirror" >&2; exit 1; }'

Window = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host whose containers are healthy."""
    for directory in ("run", "var/lib/infisical-backup"):
        (tmp_path / directory).mkdir(parents=True)
    for part in ("maintenance", "reporting", "together"):
        text = script_file(part).replace("/var/lib/", f"{tmp_path}/var/lib/")
        (tmp_path / f"{part}.sh").write_text(text.replace("/run/", f"{tmp_path}/run/"))
    (tmp_path / "apt.sh").write_text(_APT)
    fake_docker(tmp_path / "programs")
    for call, answer in {"info": "inactive false", "ps": "c1", "inspect": "healthy"}.items():
        (tmp_path / f"docker {call}").write_text(f"{answer}\n")
    for name, text in _PROGRAMS.items():
        fake_program(tmp_path / "programs", name, text)
    return tmp_path


@pytest.fixture
def window(host: Path) -> Window:
    """Return a function that opens the maintenance window on the host."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = f"sh {host}/maintenance.sh run {' '.join(arguments)}"
        return run_with(host / "programs", command, HOST=str(host))

    return run


def _failure(host: Path) -> str:
    last = json.loads((host / "var/lib/infisical-maintenance/last.json").read_text())
    return str(last["failure"])


def test_dockers_packages_are_upgraded_except_held_packages(host: Path, window: Window) -> None:
    assert window("reboot").returncode == 0
    assert (host / "apt").read_text() == "600 docker.io containerd\n"
    assert _failure(host) == ""


def _has_rebooted(host: Path) -> bool:
    log = host / "systemctl"
    return log.exists() and "reboot" in log.read_text().splitlines()


def test_the_host_reboots_only_if_an_update_requires_it_and_the_settings_allow_it(
    host: Path, window: Window
) -> None:
    window("reboot")
    assert not _has_rebooted(host)
    (host / "run/reboot-required").touch()
    (host / "run/reboot-required.pkgs").write_text("linux-image-amd64\n")
    window()
    assert not _has_rebooted(host)
    done = window("reboot")
    assert _has_rebooted(host)
    assert "linux-image-amd64" in done.stdout


@pytest.mark.parametrize("what", ["restore", "upgrade", "rotation"])
def test_an_unfinished_change_prevents_the_maintenance(
    host: Path, window: Window, what: str
) -> None:
    (host / f"var/lib/infisical-{what}").mkdir()
    (host / f"var/lib/infisical-{what}/state").touch()
    (host / "run/reboot-required").touch()
    assert window("reboot").returncode == 1
    assert what in _failure(host)
    assert not (host / "apt").exists()
    assert not _has_rebooted(host)


def test_a_running_drill_prevents_the_maintenance(host: Path, window: Window) -> None:
    (host / "drill").write_text("activating\n")
    assert window().returncode == 1
    assert _failure(host).startswith("a drill ")
    assert not (host / "apt").exists()


@pytest.mark.parametrize(("lock", "holder"), [("8", "a run"), ("9", "a backup")])
def test_a_lock_of_a_run_or_a_backup_prevents_the_maintenance(
    host: Path, window: Window, lock: str, holder: str
) -> None:
    (host / "locked").write_text(f"{lock}\n")
    assert window().returncode == 1
    assert _failure(host).startswith(f"{holder} ")
    assert not (host / "apt").exists()


def test_the_lock_names_the_maintenance_to_other_runs(host: Path, window: Window) -> None:
    window()
    assert (host / "run/infisical-iac.lock").read_text().startswith("by the host's maintenance")


def test_a_failed_upgrade_and_unhealthy_containers_prevent_a_reboot(
    host: Path, window: Window
) -> None:
    (host / "run/reboot-required").touch()
    (host / "broken").touch()
    assert window("reboot").returncode == 1
    assert _failure(host) == "E: no mirror"
    (host / "broken").unlink()
    (host / "docker inspect").write_text("starting\n")
    assert window("reboot").returncode == 1
    assert "5 minutes after Docker's upgrade" in _failure(host)
    assert not _has_rebooted(host)


_MANAGER = """
*NodeID*) echo "$(cat "$HOST/node")" ;;
info*) echo inactive false ;;
"""


def _announce(host: Path, window: Window, node: str) -> list[str]:
    """Open the window on a host that is this node of a swarm; return what it tells the others."""
    (host / "docker info").unlink(missing_ok=True)
    fake_docker(host / "programs", _MANAGER)
    (host / "node").write_text(f"{node}\n")
    (host / "calls").write_text("")
    window("reboot")
    calls = (host / "calls").read_text().splitlines()
    return [each.removeprefix("docker ") for each in calls if "node update" in each]


def test_a_manager_announces_its_maintenance_to_the_others(host: Path, window: Window) -> None:
    """Their monitors then expect it to be away, for as long as a reboot takes."""
    before = int(time.time())
    added, removed = _announce(host, window, "true node-id")
    assert removed == "node update --label-rm infisical.maintenance node-id"
    (end,) = re.findall(r"--label-add infisical.maintenance=(\d+) node-id$", added)
    assert before + 1200 <= int(end) <= int(time.time()) + 1200
    (host / "run/reboot-required").touch()
    assert "--label-add" in _announce(host, window, "true node-id")[-1]
    assert _has_rebooted(host)


@pytest.mark.parametrize("node", ["false node-id", "false", "true"])
def test_a_host_that_is_no_manager_announces_nothing(host: Path, window: Window, node: str) -> None:
    assert _announce(host, window, node) == []
    assert _failure(host) == ""
