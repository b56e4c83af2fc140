"""Test that scripts remove or create nothing after a query without an answer."""

import subprocess
from pathlib import Path

import pytest

from infisical_iac.core.rendering import script_file
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
        ("remove-cluster", "containers"),
        ("etcd", "ended"),
        ("redis-passwords", "only", "0123"),
        ("scale-out", "stop_ingress"),
    ],
)
def test_containers_count_as_present_while_docker_fails(
    tmp_path: Path, step: tuple[str, ...]
) -> None:
    """Otherwise the next step would remove data or passwords that the containers use."""
    done = _run(tmp_path, *step)
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (1, ["Docker does not answer"])


def test_a_swarm_with_an_unreadable_mark_is_not_created_again(tmp_path: Path) -> None:
    (tmp_path / "etc/infisical/swarm").mkdir(parents=True)
    done = _run(tmp_path, "swarm", "begin", "192.0.2.1", "172.31.240.0/20", "720")
    assert done.returncode == 1
    assert (tmp_path / "calls").read_text() == ""
