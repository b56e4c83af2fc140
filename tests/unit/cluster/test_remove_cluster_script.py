"""Test what remove-cluster.sh keeps and removes on a host that has left the swarm."""

from pathlib import Path

import pytest

from tests.unit.fake_host import MAIN, FakeHost, make_host

_STAMP = "20261126T101112Z"
_PATRONI = "infisical_patroni"
_KEPT = f"{_PATRONI}_before_{_STAMP}"
_DATA = ("remove-cluster", "data", _STAMP)


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    """A host with the leftovers of a cluster, and with its own data."""
    made = make_host(tmp_path)
    for name in ("etcd", "redis-replica", "sentinel", "tmp"):
        made.volume(f"infisical_{name}", state="of the cluster")
    made.volume(_PATRONI, base="of the cluster")
    made.volume(MAIN, base="single")
    for path in ("stack.yaml", "stack.json", "stack/patroni_yml_0123456789ab", "keys/auth_secret"):
        made.write(f"/etc/infisical/{path}", "obviously-fake")
    return made


def test_the_clusters_database_is_kept_by_name_and_the_rest_is_removed(host: FakeHost) -> None:
    done = host.run(*_DATA)
    assert done.stdout.splitlines() == [f"volume {_KEPT}"]
    assert host.volumes() == {_KEPT: {"base": "of the cluster"}, MAIN: {"base": "single"}}
    assert host.read("/etc/infisical/stack.yaml") is None
    assert host.read("/etc/infisical/stack.json") is None
    assert host.read("/etc/infisical/stack/patroni_yml_0123456789ab") is None
    assert host.read("/etc/infisical/keys/auth_secret") == "obviously-fake"


def test_no_data_are_kept_of_a_cluster_that_never_served(host: FakeHost) -> None:
    assert host.run("remove-cluster", "data", "").stdout == ""
    assert host.volumes() == {MAIN: {"base": "single"}}


def test_a_killed_removal_is_completed(host: FakeHost) -> None:
    for each in host.deaths(_DATA):
        assert each.run(*_DATA).stdout.splitlines() == [f"volume {_KEPT}"]
        assert each.volumes() == {_KEPT: {"base": "of the cluster"}, MAIN: {"base": "single"}}


def test_containers_that_the_swarm_is_removing_are_waited_for(host: FakeHost) -> None:
    host.docker("""
"ps --all --quiet"*) cat "$HOST/left" ;;
"rm --force"*)
    : >"$HOST/left"
    echo "removal of container 92f36e559ecd is already in progress" >&2
    exit 1 ;;
""")
    host.program("sleep")
    host.write("/left", "92f36e559ecd\n")
    assert host.run(*_DATA).returncode == 0
    assert host.read("/etc/infisical/stack.yaml") is None


def test_volumes_are_kept_while_docker_does_not_answer(host: FakeHost) -> None:
    host.write("/failing", "volume\n")
    done = host.run(*_DATA)
    assert (done.returncode, done.stderr.strip()) == (1, "Docker does not answer")
    assert host.volumes()[_PATRONI] == {"base": "of the cluster"}


def test_forget_removes_the_keys_and_keeps_the_backup_configuration(host: FakeHost) -> None:
    host.write("/etc/infisical/backup/backup.conf", "of the host")
    host.write("/etc/infisical/keys/given_smtp_password", "obviously-fake")
    host.write("/etc/infisical/.env", "SMTP_PASSWORD='obviously-fake'")
    host.ok(("remove-cluster", "forget"))
    for path in ("keys/auth_secret", "keys/given_smtp_password", ".env"):
        assert host.read(f"/etc/infisical/{path}") is None
    assert host.read("/etc/infisical/backup/backup.conf") == "of the host"
