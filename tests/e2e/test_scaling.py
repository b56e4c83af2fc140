"""A single host becomes a cluster and a cluster becomes a single host, with all secrets."""

from collections.abc import Iterator

import pytest

from tests.e2e import clusters, dying_script, looking, upgrading
from tests.e2e.conftest import FirstDeploy
from tests.e2e.dying_script import KILLED
from tests.e2e.running import PROGRAM, Done, infisical_iac
from tests.staging.host import StagingHost

pytestmark = pytest.mark.cluster
_NAME = "e2e-scaling"
_SECRETS = {f"KEY_{number}": f"obviously-fake-{number}" for number in range(20)}
_STATE = "cat /var/lib/infisical-scale/state"
_GIVE_UP = ("destroy", "--volumes", "--no-backup", "--confirm", "staging")


@pytest.fixture(scope="module")
def hosts(first: FirstDeploy) -> Iterator[list[StagingHost]]:
    """A single host with secrets, and two with nothing of Infisical."""
    with clusters.fresh(first, _NAME) as staging:
        alone, *others = clusters.boot(staging)
        for each in others:
            assert infisical_iac(each.name, *_GIVE_UP).returncode == 0
        looking.write_secrets(alone, "/backend", _SECRETS)
        yield [alone, *others]


def test_a_single_host_becomes_a_cluster_and_a_single_host_again(hosts: list[StagingHost]) -> None:
    alone, *_ = hosts
    died = _moved("scale-out", program=dying_script.program("scale-out", "enter switched"))
    assert died.returncode == KILLED, died.stderr
    assert "has not ended" in _on_one(alone, "plan").stderr

    done = _moved("scale-out")
    assert done.returncode == 0, done.stderr
    assert "had taken over: it is completed now." in done.stderr
    assert "Read as before: 20 secrets and the canary." in done.stderr
    assert f"Kept on {alone.name}: volume infisical_postgres." in done.stderr
    for each in hosts:
        assert upgrading.secrets(each) == _SECRETS
    _settled(_together("plan"))
    assert "the host is one of a cluster" in _on_one(alone, "plan").stderr
    assert "serves from the cluster already" in _moved("scale-out").stderr
    _settled(_together("plan"))

    died = _moved("scale-in", program=dying_script.program("scale-in", "enter proven"))
    assert died.returncode == KILLED, died.stderr
    done = _moved("scale-in")
    assert done.returncode == 0, done.stderr
    assert f"Kept on {alone.name}: volume infisical_patroni_before_20" in done.stdout
    assert upgrading.secrets(alone) == _SECRETS
    for each in hosts:
        assert "inactive" in each.run("docker info --format '{{.Swarm.LocalNodeState}}'").stdout
        assert each.run(_STATE, check=False).stdout == ""
    assert _on_one(alone, "apply", "--yes").returncode == 0
    _settled(_on_one(alone, "plan"))
    assert upgrading.secrets(alone) == _SECRETS


def _moved(command: str, *, program: tuple[str, ...] = PROGRAM) -> Done:
    return _together(command, "--yes", program=program)


def _together(*arguments: str, program: tuple[str, ...] = PROGRAM) -> Done:
    return infisical_iac(
        "",
        *arguments,
        "-i",
        "inventory/staging_cluster.py",
        program=program,
        environment={"STAGING_CLUSTER": _NAME},
    )


def _on_one(host: StagingHost, *arguments: str) -> Done:
    return infisical_iac(host.name, *arguments)


def _settled(done: Done) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
