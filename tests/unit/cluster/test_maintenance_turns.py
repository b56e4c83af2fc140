"""Test that hosts of a cluster take turns in the maintenance window, if none is unreachable."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from infisical_iac.core.rendering import script_file
from infisical_iac.host.hardening import programs
from tests.unit.cluster.swarm_host import MANAGER
from tests.unit.fake_programs import fake_docker, fake_program, run_with
from tests.unit.settings_of import settings_of

_NODES = "Ready Active Leader\nReady Active Reachable\nReady Active Reachable\nReady Active \n"
_SERVICES = (
    "infisical_etcd-1 1/1\ninfisical_etcd-2 1/1\ninfisical_infisical 3/3 (max 1 per node)\n"
    "infisical_postgres-1 1/1\ninfisical_postgres-2 1/1\n"
)
_ETCD = "http://etcd-1:2379 is healthy: took\nhttp://etcd-2:2379 is healthy: took\n"
_PATRONI = (
    '{"members": [{"name": "postgres-1", "role": "leader", "state": "running"}, '
    '{"name": "postgres-2", "role": "sync_standby", "state": "streaming"}]}'
)

Turn = Callable[[int], subprocess.CompletedProcess[str]]


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A manager of a healthy cluster."""
    for part in ("maintenance", "reporting", "together"):
        text = script_file(part).replace("/var/lib/", f"{tmp_path}/")
        (tmp_path / f"{part}.sh").write_text(text)
    fake_docker(tmp_path / "programs", MANAGER)
    fake_program(tmp_path / "programs", "sleep", 'echo "$1" >>"$HOST/slept"')
    (tmp_path / "info").write_text("active true\n")
    (tmp_path / "nodes").write_text(_NODES)
    (tmp_path / "services").write_text(_SERVICES)
    (tmp_path / "etcd").write_text(_ETCD)
    (tmp_path / "patroni").write_text(_PATRONI)
    return tmp_path


@pytest.fixture
def turn(host: Path) -> Turn:
    """Return a function that waits for the host's turn."""

    def run(number: int) -> subprocess.CompletedProcess[str]:
        command = f"sh {host}/maintenance.sh turn {number}"
        return run_with(host / "programs", command, HOST=str(host))

    return run


@pytest.mark.parametrize(("number", "seconds"), [(0, "0"), (1, "1800"), (4, "7200")])
def test_a_host_waits_half_an_hour_for_each_earlier_host(
    host: Path, turn: Turn, number: int, seconds: str
) -> None:
    assert turn(number).returncode == 0
    assert (host / "slept").read_text() == f"{seconds}\n"


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("nodes", _NODES.replace("Ready Active Reachable", "Down Active Unreachable", 1), "Down"),
        ("nodes", _NODES.replace("Active Leader", "Drain Leader"), "Drain"),
        ("nodes", _NODES.replace("Active \n", "Active Unreachable\n"), "Unreachable"),
        ("services", _SERVICES.replace("3/3", "2/3"), "infisical_infisical 2/3"),
        ("info", "locked false\n", ""),
        (
            "etcd",
            _ETCD.replace("etcd-2:2379 is healthy", "etcd-2:2379 is unhealthy"),
            "etcd 1,",
        ),
        ("patroni", _PATRONI.replace("streaming", "running"), "PostgreSQL 1,"),
    ],
)
def test_a_host_waits_until_the_cluster_is_healthy(
    host: Path, turn: Turn, file: str, text: str, reason: str
) -> None:
    _end_wait_at_third_sleep(host, f"mv $HOST/complete $HOST/{file}")
    (host / file).rename(host / "complete")
    (host / file).write_text(text)
    done = turn(0)
    assert done.returncode == 0
    assert reason in done.stderr
    assert (host / "slept").read_text().split() == ["0", "30", "30"]


@pytest.mark.parametrize("failing", ["node ls", "service ls", "info"])
def test_a_silent_docker_counts_as_unavailable(host: Path, turn: Turn, failing: str) -> None:
    error = "Error response from daemon: The swarm does not have a leader."
    _end_wait_at_third_sleep(host, "rm -f $HOST/failing")
    (host / "failing").write_text(f"{failing}\n{error}\n")
    done = turn(0)
    assert done.returncode == 0
    assert "a leader" in done.stderr
    assert (host / "slept").read_text().split() == ["0", "30", "30"]


def test_a_host_waits_an_hour_for_the_others_and_then_skips_the_window(
    host: Path, turn: Turn
) -> None:
    (host / "nodes").write_text(_NODES.replace("Active Leader", "Drain Leader"))
    done = turn(0)
    assert done.returncode == 1
    assert "Drain" in done.stderr
    assert (host / "slept").read_text().splitlines()[1:] == ["30"] * 120
    last = json.loads((host / "infisical-maintenance/last.json").read_text())
    assert "another node" in last["failure"]
    assert not (host / "infisical-maintenance/running").exists()


def _end_wait_at_third_sleep(host: Path, command: str) -> None:
    """Run a command that ends the wait, in the third call of sleep."""
    body = 'echo "$1" >>"$HOST/slept"\ntest "$(wc -l <"$HOST/slept")" -lt 3 || '
    fake_program(host / "programs", "sleep", body + command)


def test_a_worker_only_checks_its_own_membership(host: Path, turn: Turn) -> None:
    (host / "info").write_text("active false\n")
    (host / "nodes").unlink()
    assert turn(3).returncode == 0


def test_the_maintenance_unit_of_a_node_waits_for_its_turn() -> None:
    def unit(turn: int | None) -> str:
        files = {file.path.rpartition("/")[2]: file for file in programs(settings_of(), turn)}
        return files["infisical-maintenance.service"].content

    assert "ExecStartPre" not in unit(None)
    assert "TimeoutStartSec=4h" in unit(None)
    assert "maintenance.sh turn 2\n" in unit(2)
    assert "TimeoutStartSec=6h" in unit(2)
