"""Test that scripts remove or create nothing after a query without an answer."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from infisical_iac.agent import ending, etcd, joining, redis_passwords
from infisical_iac.agent.runner import Runner
from infisical_iac.core.rendering import script_file
from tests.unit.agent.fake_runner import FakeRunner
from tests.unit.fake_programs import fake_docker, run_with


def _run(root: Path, name: str, *step: str) -> subprocess.CompletedProcess[str]:
    """Run a script on a host whose Docker fails, except for `node ls` and `volume inspect`."""
    fake_docker(root, '"node ls"* | "volume inspect"*) ;; *) exit 1 ;;')
    text = script_file(name)
    (root / "calls").touch()
    (root / "var/lib").mkdir(parents=True, exist_ok=True)
    for place in ("/etc/infisical", "/var/lib/infisical-"):
        text = text.replace(place, f"{root}{place}")
    return run_with(root, text, f"{name}.sh", *step)


@pytest.mark.parametrize(
    "step",
    [
        ("scale-out", "stop_ingress"),
    ],
)
def test_containers_count_as_present_while_docker_fails(
    tmp_path: Path, step: tuple[str, ...]
) -> None:
    """Otherwise the next step would remove data or passwords that the containers use."""
    done = _run(tmp_path, *step)
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (1, ["Docker does not answer"])


@pytest.mark.parametrize(
    "call",
    [
        etcd.end_postgres,
        ending.await_containers,
        lambda host: ending.remove_data(host, stamp=""),
        lambda host: redis_passwords.accept_only(host, hash="0123"),
    ],
)
def test_containers_count_as_present_for_the_agent_while_docker_fails(
    tmp_path: Path, call: Callable[[Runner], None]
) -> None:
    with pytest.raises(RuntimeError) as failed:
        call(FakeRunner(tmp_path, answers={"docker node ls": "id\n"}))
    assert "Docker does not answer" in failed.value.args[0].message


def test_a_swarm_with_an_unreadable_mark_is_not_created_again(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    host.path("/etc/infisical/swarm").mkdir(parents=True)
    with pytest.raises(OSError):  # noqa: PT011  # any reason why it can't be read
        joining.begin(host, address="192.0.2.1", pool="172.31.240.0/20", hours=720)
    assert host.ran == []
