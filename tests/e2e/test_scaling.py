"""Test scale-out, an upgrade of the cluster and scale-in: no secret is lost.

A client writes throughout. Each test continues where the one before ended. Only the first deploy is
given the value of a variable of Infisical; all later commands find it on the hosts.
"""

import re
import runpy
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
_SIZES = ("infisical_memory", "infisical_cpus", "postgres_memory", "redis_memory")
_STATE = "cat /var/lib/infisical-scale/state"
# The command gets Ctrl-C during its checks, when the new topology serves already.
_INTERRUPTED = (
    *(sys.executable, "-m", "tests.e2e.interrupting"),
    "Proof | Prove that every secret is read as before",
)
_NAMED = re.compile(r"in the database (infisical_given_up_\w+)")
_GIVE_UP = ("destroy", "--volumes", "--no-backup", "--confirm", "staging")
# A shell or Compose reads it on its way into the containers of Infisical.
_GIVEN, _TOKEN = "GITHUB_API_TOKEN", "fa$ke 'github' token"
_KEY = "/etc/infisical/keys/given_github_api_token"


@dataclass(frozen=True)
class World:
    """A single host with secrets, and two hosts without Infisical.

    Attributes:
        host_inventory: the file of the inventory with the single host.
        inventory: the file of the inventory with all hosts.
    """

    hosts: list[StagingHost]
    host_inventory: str
    inventory: str

    @property
    def single(self) -> StagingHost:
        return self.hosts[0]

    def scale(self, command: str, *, program: tuple[str, ...] = PROGRAM) -> Done:
        return self.run_on_cluster(command, "--yes", program=program)

    def run_on_cluster(
        self, *arguments: str, program: tuple[str, ...] = PROGRAM, inventory: str = ""
    ) -> Done:
        given = (*arguments, "-i", inventory or self.inventory)
        return infisical_iac("", *given, program=program, environment={"STAGING_CLUSTER": _NAME})

    def run_on_host(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Done:
        given = (*arguments, "-i", self.host_inventory)
        return infisical_iac(self.single.name, *given, environment=environment)

    def make_later(self, directory: Path, version: str) -> str:
        """Make a later version's image on all hosts, and return an inventory that asks for it."""
        for each in self.hosts:
            upgrading.make_later(each, version)
        return inventory(directory, self.inventory, infisical_version=version)

    def assert_given(self, *hosts: StagingHost) -> None:
        """Assert that the hosts and their containers have the secret of the first deploy."""
        for each in hosts:
            assert each.run(f"cat {_KEY}").stdout == f"{_TOKEN}\n"
            assert inspection.environment(each, _GIVEN) == [_TOKEN]


@pytest.fixture(scope="module")
def world(first: FirstDeploy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("scaling")
    with clusters.fresh(first, _NAME) as staging:
        single, *others = clusters.boot(staging)
        for each in others:
            assert infisical_iac(each.name, *_GIVE_UP).returncode == 0
        # The cluster's containers are small; those of the single host before and after it are too.
        cluster = runpy.run_path("group_data/staging_cluster.py")
        sizes = {name: cluster[name] for name in _SIZES}
        inventories = (
            inventory(directory, each, infisical_secrets=(_GIVEN,), **sizes)
            for each in ("inventory/staging.py", "inventory/staging_cluster.py")
        )
        made = World([single, *others], *inventories)
        done = made.run_on_host("apply", "--yes", environment={_GIVEN: _TOKEN})
        assert done.returncode == 0, done.stderr
        inspection.write_secrets(single, "/backend", _SECRETS)
        yield made


def test_a_failed_scale_out_keeps_the_writes_that_the_cluster_acknowledged(
    world: World,
) -> None:
    single = world.single
    with giving_up.writing(single) as acknowledged:
        failed = world.scale("scale-out", program=_INTERRUPTED)
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert f"{single.name} serves" in failed.stderr
    assert "its data of 20" in failed.stderr
    served = giving_up.serving(single)
    assert acknowledged & served
    assert acknowledged - served <= _list_keys(single, "infisical")
    assert acknowledged - served
    world.assert_given(single)
    giving_up.forget(single)


def test_a_single_host_becomes_a_cluster(world: World) -> None:
    """Data that the cluster got when an earlier scale-out failed are kept too."""
    single = world.single
    with giving_up.writing(single) as acknowledged:
        died = world.scale("scale-out", program=dying_script.program("scale-out", "enter switched"))
        assert died.returncode == KILLED, died.stderr
        assert "has not ended" in world.run_on_host("plan").stderr
        done = world.scale("scale-out")
    assert done.returncode == 0, done.stderr
    assert "interrupted after its switch" in done.stderr
    assert "Read as before: " in done.stderr
    assert f"Kept on {single.name}: volume infisical_postgres." in done.stderr
    (named,) = set(_NAMED.findall(done.stderr))
    assert any(each.startswith("WRITTEN_") for each in _list_keys(single, named))
    assert acknowledged
    assert acknowledged <= giving_up.serving(single)
    giving_up.forget(single)
    for each in world.hosts:
        assert upgrading.secrets(each) == _SECRETS
    world.assert_given(*world.hosts)
    _assert_converged(world.run_on_cluster("plan"))
    assert "belongs to a cluster" in world.run_on_host("plan").stderr
    assert "from the cluster already" in world.scale("scale-out").stderr
    _assert_converged(world.run_on_cluster("plan"))


@pytest.mark.parametrize(
    ("version", "reason"),
    [(LOSES, "privilege can be granted"), (BREAKS, "whether services are isolated: ")],
)
def test_a_version_that_fails_on_a_copy_of_the_data_never_serves_the_cluster(
    world: World, tmp_path: Path, version: str, reason: str
) -> None:
    newer = world.make_later(tmp_path, version)
    done = world.run_on_cluster("apply", "--yes", inventory=newer)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"Infisical {version} failed, and {WAS} serves again with all" in done.stderr
    assert reason in done.stderr
    left = (
        f"docker ps --all --quiet --filter ancestor={stack.INFISICAL}:{version}; "
        "docker ps --all --quiet --filter label=com.docker.compose.project=infisical-upgrade; "
        "systemctl list-units --plain --no-legend 'infisical-upgrade-port*'"
    )
    for each in world.hosts:
        assert each.run(left).stdout == ""
        assert upgrading.secrets(each) == _SECRETS
    _assert_converged(world.run_on_cluster("plan"))


def test_a_failed_upgrade_of_the_cluster_loses_no_acknowledged_write(
    world: World, tmp_path: Path
) -> None:
    """Infisical serves throughout, and its replicas change the database beyond the old version.

    So the dump from before replaces the data.
    """
    single = world.single
    version = BREAKS_CLUSTERS
    newer = world.make_later(tmp_path, version)
    with giving_up.writing(single) as acknowledged:
        done = world.run_on_cluster("apply", "--yes", inventory=newer)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"Infisical {version} failed, and {WAS} serves again with " in done.stderr
    named = set(_NAMED.findall(done.stderr))
    assert len(named) == 1
    served = giving_up.serving(single)
    assert acknowledged & served
    kept = served.union(*(_list_keys(single, each) for each in named))
    assert acknowledged - kept == set()
    assert acknowledged - served
    giving_up.forget(single)
    for each in world.hosts:
        assert upgrading.secrets(each) == _SECRETS
    _assert_converged(world.run_on_cluster("plan"))


def test_a_failed_scale_in_keeps_the_writes_that_the_host_acknowledged(
    world: World,
) -> None:
    single = world.single
    # A host that has never led a deploy does not have it.
    single.run("rm /etc/infisical/.env")
    with giving_up.writing(single) as acknowledged:
        failed = world.scale("scale-in", program=_INTERRUPTED)
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "cluster serves again" in failed.stderr
    assert "its data of 20" in failed.stderr
    assert giving_up.named_volumes(failed.stderr) == giving_up.volumes(single) != set()
    assert giving_up.lost_writes(single, acknowledged, failed.stderr) == set()
    served = giving_up.serving(single)
    assert acknowledged & served
    assert acknowledged - served
    giving_up.forget(single)


def test_a_cluster_becomes_a_single_host_again(world: World) -> None:
    single = world.single
    with giving_up.writing(single) as acknowledged:
        died = world.scale("scale-in", program=dying_script.program("scale-in", "enter proven"))
        assert died.returncode == KILLED, died.stderr
        done = world.scale("scale-in")
    assert done.returncode == 0, done.stderr
    assert f"Kept on {single.name}: volume infisical_patroni_before_20" in done.stdout
    assert acknowledged
    assert acknowledged <= giving_up.serving(single)
    giving_up.forget(single)
    assert upgrading.secrets(single) == _SECRETS
    for each in world.hosts:
        swarm = each.run("docker info --format '{{.Swarm.LocalNodeState}}'").stdout
        assert "inactive" in swarm
        assert each.run(_STATE, check=False).stdout == ""
    world.assert_given(single)
    for each in world.hosts[1:]:
        each.run(f"! test -e {_KEY}")
    containers = inspection.containers(single)
    again = world.run_on_host("apply", "--yes")
    assert again.returncode == 0, again.stderr
    assert inspection.containers(single) == containers, again.stdout
    _assert_converged(world.run_on_host("plan"))
    assert upgrading.secrets(single) == _SECRETS


def _list_keys(host: StagingHost, database: str) -> set[str]:
    """Return the names of the secrets in a database of the host's own PostgreSQL."""
    found = "docker ps --quiet --filter name=infisical_postgres-"
    psql = (
        f"psql -h /run/postgresql -U infisical -d {database} -XqAt -c {shlex.quote(giving_up.KEYS)}"
    )
    return set(host.run(f"docker exec $({found}) {psql}").stdout.split())


def _assert_converged(done: Done) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
