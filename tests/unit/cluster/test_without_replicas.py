"""Test that Infisical's replicas are stopped before data change, or an error is raised."""

import subprocess
from pathlib import Path

import pytest

from infisical_iac.core.rendering import script_file
from tests.unit.fake_programs import fake_docker, fake_program, run_with

_DOCKER = """
"service ls"*) echo id ;;
"service scale"*) echo "$4" >>"$HOST/changes" ;;
"node ls"*) test ! -s "$HOST/elections" || { sed -i 1d "$HOST/elections"; exit 1; }
    printf 'Ready s1\\nDown s2\\n' ;;
"service ps"*) take_line tasks ;;
"""


def _stop(host: Path) -> subprocess.CompletedProcess[str]:
    fake_docker(host, _DOCKER)
    fake_program(host, "sleep")
    return run_with(host, f"{script_file('basics')}\n{script_file('tasks')}\nwithout_replicas")


def test_a_running_replica_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "tasks").write_text("s1 Running 2 minutes ago\ns1 Shutdown 1 second ago\n")
    done = _stop(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "changes").read_text() == "infisical_infisical=0\n"
    assert (tmp_path / "tasks").read_text() == ""


def test_a_swarm_without_a_leader_does_not_count_as_without_replicas(
    tmp_path: Path,
) -> None:
    (tmp_path / "tasks").write_text("s1 Running 2 minutes ago\ns1 Shutdown 1 second ago\n")
    (tmp_path / "elections").write_text("one\ntwo\n")
    assert _stop(tmp_path).returncode == 0
    assert (tmp_path / "elections").read_text() == (tmp_path / "tasks").read_text() == ""


def test_a_replica_on_a_lost_node_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "tasks").write_text("s2 Running 2 minutes ago\n")
    assert _stop(tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("silent", "said"), [(True, "Swarm has no majority"), (False, "not stop on s1")]
)
def test_a_replica_that_cannot_be_stopped_is_an_error(
    tmp_path: Path, silent: bool, said: str
) -> None:
    (tmp_path / "tasks").write_text("s1 Running 2 minutes ago\n" * 200)
    if silent:
        (tmp_path / "failing").write_text("service ls\n")
    done = _stop(tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
