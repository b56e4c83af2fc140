"""Test that a cluster keeps its data: a quorum, one primary, and copies of each write."""

import pytest

from tests.host.cluster.observed import Node
from tests.host.secrecy import Secret

_SQL = "psql --username=infisical --dbname=postgres --tuples-only --no-align --command='{}'"
_WAL_BYTES = 16 * 1024**2


@pytest.fixture(scope="session")
def postgres(data_nodes: list[Node]) -> dict[str, str]:
    """PostgreSQL's `pg_is_in_recovery()` by node: `f` on the primary, `t` on a standby."""
    return {
        node.name: node.inside("postgres", _SQL.format("SELECT pg_is_in_recovery()"))
        for node in data_nodes
    }


@pytest.fixture(scope="session")
def primary(data_nodes: list[Node], postgres: dict[str, str]) -> Node:
    return next(node for node in data_nodes if postgres[node.name] == "f")


@pytest.fixture(scope="session")
def replication(primary: Node) -> list[list[str]]:
    """The standbys as the primary lists them: state, sync_state, and lag in bytes."""
    query = (
        "SELECT state, sync_state, pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint "
        "FROM pg_stat_replication"
    )
    return [line.split("|") for line in primary.inside("postgres", _SQL.format(query)).split()]


@pytest.fixture(scope="session")
def redis_login(secrets: dict[str, Secret]) -> str:
    """The standard input that logs in to Redis and to the sentinels."""
    return f"{secrets['keys: redis_password'].reveal()}\n"


def _redis(node: Node, service: str, login: str, command: str) -> list[str]:
    asked = f"sh -c 'IFS= read -r REDISCLI_AUTH; export REDISCLI_AUTH; redis-cli $CLI {command}'"
    return node.inside(service, asked, login).split()


def test_etcd_has_three_healthy_members(data_nodes: list[Node]) -> None:
    command = "etcdctl endpoint health >/dev/null 2>&1 && echo healthy"
    health = {node.name: node.inside("etcd", command) for node in data_nodes}
    assert set(health.values()) == {"healthy"}, health
    listed = data_nodes[0].inside("etcd", "etcdctl member list").splitlines()
    assert [line.split(", ")[1] for line in listed] == ["started"] * 3


def test_one_postgresql_is_the_primary_and_two_are_standbys(postgres: dict[str, str]) -> None:
    assert sorted(postgres.values()) == ["f", "t", "t"], postgres


def test_each_write_is_on_two_nodes_before_it_is_acknowledged(
    primary: Node, replication: list[list[str]]
) -> None:
    assert [sync for _, sync, _ in replication if sync in ("sync", "quorum")] != []
    commit = primary.inside("postgres", _SQL.format("SHOW synchronous_commit"))
    assert commit in ("on", "remote_apply")
    assert primary.inside("postgres", _SQL.format("SHOW synchronous_standby_names")) != ""


def test_both_standbys_stream_with_a_small_lag(replication: list[list[str]]) -> None:
    assert [state for state, _, _ in replication] == ["streaming"] * 2
    assert max(int(behind) for _, _, behind in replication) < _WAL_BYTES


def test_one_redis_is_the_master_and_two_are_replicas(
    data_nodes: list[Node], redis_login: str
) -> None:
    roles = {node.name: _redis(node, "redis", redis_login, "role") for node in data_nodes}
    assert sorted(role[0] for role in roles.values()) == ["master", "slave", "slave"]
    assert [role[3] for role in roles.values() if role[0] == "slave"] == ["connected"] * 2


def test_the_sentinels_name_the_same_master_and_have_a_quorum(
    data_nodes: list[Node], redis_login: str
) -> None:
    asked = "-p 26379 sentinel {} infisical"
    names, enough = (
        {
            node.name: " ".join(_redis(node, "sentinel", redis_login, asked.format(what)))
            for node in data_nodes
        }
        for what in ("get-master-addr-by-name", "ckquorum")
    )
    assert len(set(names.values())) == 1, names
    assert [output for output in enough.values() if not output.startswith("OK 3 usable")] == []
