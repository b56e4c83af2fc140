"""Test the output of the script for a node's health, with a fake Docker."""

import os
from pathlib import Path

import pytest

from infisical_iac.agent.health import Running
from infisical_iac.cluster.stack_state import NodeHealth
from infisical_iac.core.rendering import script
from tests.unit.fake_programs import fake_docker, run_with

# The Docker of a manager's node. With a word in $BROKEN, the program of that name fails in its
# container.
_DOCKER = """
*"${BROKEN:-none is broken}"*) exit 1 ;;
"node ls"*) echo id ;;
"node inspect"*)
    echo "member one ready active leader 1"
    echo "member four down drain - 0"
    ;;
"ps --all --no-trunc"*)
    for service in etcd-1 postgres-1 redis-1 sentinel-1 infisical; do
        echo "id-$service / infisical_$service/ Up 2 minutes"
    done
    ;;
"ps --quiet"*"com.docker.stack.namespace=infisical") echo id ;;
inspect*)
    echo "task infisical_postgres-1 staging/patroni:17 running healthy 76"
    echo "task infisical_infisical infisical:1 running healthy 77"
    echo "task infisical_postgres-1 staging/patroni:17 exited starting 0"
    ;;
"service ls"*) echo id ;;
"service inspect"*)
    echo "infisical_etcd-1 tls 2"
    echo "infisical_infisical tls 3"
    echo "infisical_caddy tls 0"
    ;;
exec*psql*)
    echo "postgres primary"
    echo "replica postgres-2 streaming sync 0"
    echo "given-up infisical_given_up_x 2026-11-25T10:12:00Z 3 image"
    ;;
exec*etcdctl*) ;;
exec*sentinel*) echo redis-1; echo 6379 ;;
exec*redis-cli*) echo master; echo 0 ;;
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    fake_docker(tmp_path, _DOCKER)
    return tmp_path


def _run(programs: Path, broken: str = "") -> list[str]:
    command = script("status-cluster")
    done = run_with(programs, command.replace("/proc/", f"{programs}/proc/"), BROKEN=broken)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_a_node_reports_its_whole_health(programs: Path) -> None:
    found = NodeHealth().process(_run(programs))
    assert [(each.name, each.trouble) for each in found.members] == [("one", ""), ("four", "down")]
    assert [(each.manager, each.number) for each in found.members] == [("leader", 1), ("-", 0)]
    assert [task.health for task in found.tasks["postgres"]] == ["healthy"]
    assert [(copy.name, copy.sync) for copy in found.copies] == [("postgres-2", "sync")]
    said = (found.postgres, found.etcd, found.redis, found.sentinel)
    assert said == ("primary", "healthy", "master", "redis-1")
    assert (found.tls, found.leaf_ends) == (2, None)
    assert [each.name for each in found.health.given_up] == ["infisical_given_up_x"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ('{"com.docker.network.driver.mtu":"1350","encrypted":""}', "encrypted"),
        ('{"com.docker.network.driver.mtu":"1350"}', "plain"),
        ("", ""),
    ],
)
def test_a_node_reports_whether_the_overlay_is_encrypted(
    programs: Path, options: str, expected: str
) -> None:
    (programs / "docker network inspect").write_text(f"{options}\n")
    assert NodeHealth().process(_run(programs)).overlay == expected


@pytest.mark.parametrize(
    ("broken", "what", "expected"),
    [("psql", "postgres", "silent"), ("etcdctl", "etcd", "unhealthy"), ("redis-cli", "redis", "")],
)
def test_a_silent_service_is_reported(
    programs: Path, broken: str, what: str, expected: str
) -> None:
    assert getattr(NodeHealth().process(_run(programs, broken)), what) == expected


def test_a_node_without_docker_reports_the_rest(programs: Path) -> None:
    (programs / "failing").touch()
    found = NodeHealth().process(_run(programs))
    assert (found.postgres, found.etcd, found.tasks) == ("", "", {})


def test_a_replica_that_has_lost_its_database_is_not_healthy(programs: Path) -> None:
    """Swarm considers a replica healthy while it answers."""
    ready = programs / "proc/77/root/dev/shm/ready"
    ready.parent.mkdir(parents=True)
    ready.write_text("")
    assert [task.health for task in _tasks(programs)] == ["healthy"]
    os.utime(ready, (0, 0))
    assert [task.health for task in _tasks(programs)] == ["unready"]


def _tasks(programs: Path) -> list[Running]:
    return NodeHealth().process(_run(programs)).tasks["infisical"]
