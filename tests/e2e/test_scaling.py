"""Test scale-out, an upgrade of the cluster and scale-in: no secret is lost.

A client writes throughout. Each test continues where the one before ended.
"""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import clusters, dying_script, giving_up, inspection, upgrading
from tests.e2e.backing import inventory
from tests.e2e.conftest import FirstDeploy
from tests.e2e.dying_script import KILLED
from tests.e2e.running import PROGRAM, Done, infisical_iac
from tests.e2e.upgrading import BREAKS, BREAKS_CLUSTERS, LOSES, WAS
from tests.staging import stack
from tests.staging.host import StagingHost

pytestmark = pytest.mark.cluster
_NAME = "e2e-scaling"
_SECRETS = {f"KEY_{number}": f"obviously-fake-{number}" for number in range(20)}
_STATE = "cat /var/lib/infisical-scale/state"
# The command gets Ctrl-C during its checks, when the new topology serves already.
_INTERRUPTED = (
    *(sys.executable, "-m", "tests.e2e.interrupting"),
    "Proof | Prove that every secret is read as before",
)
_NAMED = re.compile(r"in the database (infisical_given_up_\w+)")
_INVENTORY = "inventory/staging_cluster.py"
_GIVE_UP = ("destroy", "--volumes", "--no-backup", "--confirm", "staging")


@pytest.fixture(scope="module")
def hosts(first: FirstDeploy) -> Iterator[list[StagingHost]]:
    """A single host with secrets, and two hosts without Infisical."""
    with clusters.fresh(first, _NAME) as staging:
        single, *others = clusters.boot(staging)
        for each in others:
            assert infisical_iac(each.name, *_GIVE_UP).returncode == 0
        inspection.write_secrets(single, "/backend", _SECRETS)
        yield [single, *others]


def test_a_failed_scale_out_keeps_the_writes_that_the_cluster_acknowledged(
    hosts: list[StagingHost],
) -> None:
    single, *_ = hosts
    with giving_up.writing(single) as acknowledged:
        failed = _scale("scale-out", program=_INTERRUPTED)
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert f"{single.name} serves" in failed.stderr
    assert "its data of 20" in failed.stderr
    served = giving_up.serving(single)
    assert acknowledged & served
    assert acknowledged - served <= _list_keys(single, "infisical")
    assert acknowledged - served
    giving_up.forget(single)


def test_a_single_host_becomes_a_cluster(hosts: list[StagingHost]) -> None:
    """Data that the cluster got when an earlier scale-out failed are kept too."""
    single, *_ = hosts
    with giving_up.writing(single) as acknowledged:
        died = _scale("scale-out", program=dying_script.program("scale-out", "enter switched"))
        assert died.returncode == KILLED, died.stderr
        assert "has not ended" in _run_on_host(single, "plan").stderr
        done = _scale("scale-out")
    assert done.returncode == 0, done.stderr
    assert "has switched already" in done.stderr
    assert "Read as before: " in done.stderr
    assert f"Kept on {single.name}: volume infisical_postgres." in done.stderr
    (named,) = set(_NAMED.findall(done.stderr))
    assert any(each.startswith("WRITTEN_") for each in _list_keys(single, named))
    assert acknowledged
    assert acknowledged <= giving_up.serving(single)
    giving_up.forget(single)
    for each in hosts:
        assert upgrading.secrets(each) == _SECRETS
    _assert_converged(_run_on_cluster("plan"))
    assert "belongs to a cluster" in _run_on_host(single, "plan").stderr
    assert "from the cluster already" in _scale("scale-out").stderr
    _assert_converged(_run_on_cluster("plan"))


@pytest.mark.parametrize(
    ("version", "reason"),
    [(LOSES, "privilege can be granted"), (BREAKS, "whether services are isolated: ")],
)
def test_a_version_that_fails_on_a_copy_of_the_data_never_serves_the_cluster(
    hosts: list[StagingHost], tmp_path: Path, version: str, reason: str
) -> None:
    newer = _make_later(hosts, tmp_path, version)
    done = _run_on_cluster("apply", "--yes", inventory=newer)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"Infisical {version} was given up and {WAS} serves again with all" in done.stderr
    assert reason in done.stderr
    left = (
        f"docker ps --all --quiet --filter ancestor={stack.INFISICAL}:{version}; "
        "docker ps --all --quiet --filter label=com.docker.compose.project=infisical-upgrade; "
        "systemctl list-units --plain --no-legend 'infisical-upgrade-port*'"
    )
    for each in hosts:
        assert each.run(left).stdout == ""
        assert upgrading.secrets(each) == _SECRETS
    _assert_converged(_run_on_cluster("plan"))


def _make_later(hosts: list[StagingHost], directory: Path, version: str) -> str:
    """Make a later version's image on all hosts, and return an inventory that asks for it."""
    for each in hosts:
        upgrading.make_later(each, version)
    return inventory(directory, _INVENTORY, infisical_version=version)


def test_a_failed_upgrade_of_the_cluster_loses_no_acknowledged_write(
    hosts: list[StagingHost], tmp_path: Path
) -> None:
    """Infisical serves throughout, and its replicas change the database beyond the old version.

    So the dump from before replaces the data.
    """
    single, *_ = hosts
    version = BREAKS_CLUSTERS
    newer = _make_later(hosts, tmp_path, version)
    with giving_up.writing(single) as acknowledged:
        done = _run_on_cluster("apply", "--yes", inventory=newer)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"Infisical {version} was given up and {WAS} serves again with " in done.stderr
    named = set(_NAMED.findall(done.stderr))
    assert len(named) == 1
    served = giving_up.serving(single)
    assert acknowledged & served
    kept = served.union(*(_list_keys(single, each) for each in named))
    assert acknowledged - kept == set()
    assert acknowledged - served
    giving_up.forget(single)
    for each in hosts:
        assert upgrading.secrets(each) == _SECRETS
    _assert_converged(_run_on_cluster("plan"))


def test_a_failed_scale_in_keeps_the_writes_that_the_host_acknowledged(
    hosts: list[StagingHost],
) -> None:
    single, *_ = hosts
    with giving_up.writing(single) as acknowledged:
        failed = _scale("scale-in", program=_INTERRUPTED)
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "cluster serves again" in failed.stderr
    assert "its data of 20" in failed.stderr
    assert giving_up.named_volumes(failed.stderr) == giving_up.volumes(single) != set()
    assert giving_up.lost_writes(single, acknowledged, failed.stderr) == set()
    served = giving_up.serving(single)
    assert acknowledged & served
    assert acknowledged - served
    giving_up.forget(single)


def test_a_cluster_becomes_a_single_host_again(hosts: list[StagingHost]) -> None:
    single, *_ = hosts
    with giving_up.writing(single) as acknowledged:
        died = _scale("scale-in", program=dying_script.program("scale-in", "enter proven"))
        assert died.returncode == KILLED, died.stderr
        done = _scale("scale-in")
    assert done.returncode == 0, done.stderr
    assert f"Kept on {single.name}: volume infisical_patroni_before_20" in done.stdout
    assert acknowledged
    assert acknowledged <= giving_up.serving(single)
    giving_up.forget(single)
    assert upgrading.secrets(single) == _SECRETS
    for each in hosts:
        swarm = each.run("docker info --format '{{.Swarm.LocalNodeState}}'").stdout
        assert "inactive" in swarm
        assert each.run(_STATE, check=False).stdout == ""
    assert _run_on_host(single, "apply", "--yes").returncode == 0
    _assert_converged(_run_on_host(single, "plan"))
    assert upgrading.secrets(single) == _SECRETS


def _list_keys(host: StagingHost, database: str) -> set[str]:
    """Return the names of the secrets in a database of the host's own PostgreSQL."""
    found = "docker ps --quiet --filter name=infisical_postgres-"
    psql = (
        f"psql -h /run/postgresql -U infisical -d {database} -XqAt -c {shlex.quote(giving_up.KEYS)}"
    )
    return set(host.run(f"docker exec $({found}) {psql}").stdout.split())


def _scale(command: str, *, program: tuple[str, ...] = PROGRAM) -> Done:
    return _run_on_cluster(command, "--yes", program=program)


def _run_on_cluster(
    *arguments: str, program: tuple[str, ...] = PROGRAM, inventory: str = _INVENTORY
) -> Done:
    given = (*arguments, "-i", inventory)
    return infisical_iac("", *given, program=program, environment={"STAGING_CLUSTER": _NAME})


def _run_on_host(host: StagingHost, *arguments: str) -> Done:
    return infisical_iac(host.name, *arguments)


def _assert_converged(done: Done) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
