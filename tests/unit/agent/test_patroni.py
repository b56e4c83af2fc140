"""Test requests to Patroni, and the count of the data services that are healthy."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import patroni
from infisical_iac.agent.maintenance import DataCounts, count_data
from infisical_iac.agent.runner import Output
from infisical_iac.core.agent import question
from tests.unit.agent.fake_runner import FakeRunner, answer, docker_answers, docker_container
from tests.unit.fake_programs import fake_program

_MEMBERS: list[dict[str, Any]] = [
    {"name": "postgres-1", "role": "leader", "state": "running", "lag": 0},
    {"name": "postgres-2", "role": "sync_standby", "state": "streaming", "lag": 0},
    {"name": "postgres-3", "role": "replica", "state": "starting"},
]
_ETCD = "http://etcd-1:2379 is healthy: took\nhttp://etcd-2:2379 is unhealthy: x\n"


def _node(tmp_path: Path, *, etcd: str, members: list[dict[str, Any]]) -> FakeRunner:
    containers = [
        docker_container("etcdid", swarm="infisical_etcd-1"),
        docker_container("pgid", swarm="infisical_postgres-1"),
    ]
    answers = {
        "docker exec etcdid": Output(1, "", etcd),
        "docker exec pgid": Output(0, json.dumps({"members": members, "scope": "x"})),
    }
    return FakeRunner(tmp_path, answers={**answers, **docker_answers(*containers)})


def test_data_services_count_as_healthy_by_their_own_report(tmp_path: Path) -> None:
    host = _node(tmp_path, etcd=_ETCD, members=_MEMBERS)
    assert answer(question(count_data), host) == DataCounts(1, 2)


def test_a_node_without_data_services_counts_none(tmp_path: Path) -> None:
    assert answer(question(count_data), FakeRunner(tmp_path)) == DataCounts(0, 0)


@pytest.mark.parametrize(
    ("send", "asked"),
    [
        (
            lambda host: patroni.configure(host, changes={"ttl": 20}),
            '--request PATCH --data {"ttl": 20} http://127.0.0.1:8008/config',
        ),
        (
            lambda host: patroni.restart(host, member="postgres-2"),
            '--request POST --data {"restart_pending": true} http://postgres-2:8008/restart',
        ),
    ],
)
def test_patroni_requests_pass_the_password_outside_arguments(
    tmp_path: Path, send: Any, asked: str
) -> None:
    """The shell is that of the container, with its secrets in another folder."""
    fake_program(tmp_path, "curl", f'echo "$*" >{tmp_path}/arguments; cat >{tmp_path}/given')
    (tmp_path / "env").write_text("PATRONI_PASSWORD=not-a-password\n")
    host = _container_runner(tmp_path)
    send(host)
    arguments = (tmp_path / "arguments").read_text().strip()
    assert arguments.endswith(asked)
    assert "not-a-password" not in arguments
    assert (tmp_path / "given").read_text() == 'user = "patroni:not-a-password"\n'


def _container_runner(tmp_path: Path) -> FakeRunner:
    """Return a host that runs the programs of its container in this machine's shell."""

    class _Running(FakeRunner):
        def run(self, words: Any, **more: Any) -> Output:
            if words[:2] != ["docker", "exec"]:
                return super().run(words, **more)
            call = [each.replace("/run/secrets", str(tmp_path)) for each in words[3:]]
            path = f"{tmp_path}:{os.environ['PATH']}"
            done = subprocess.run(
                call, capture_output=True, text=True, env={**os.environ, "PATH": path}
            )
            return Output(done.returncode, done.stdout, done.stderr)

    container = docker_container("pgid", swarm="infisical_postgres-1")
    return _Running(tmp_path, answers=docker_answers(container))
