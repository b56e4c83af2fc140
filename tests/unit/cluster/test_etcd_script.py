"""Test how members of etcd are replaced, and how etcd is reset."""

import pytest

from tests.unit.cluster.fake_leader import Leader

_PEER = "--peer-urls=https://etcd-2:2382"
_REMOVE_VOLUME = "volume rm --force infisical_etcd"


def test_a_replaced_node_gets_a_new_member(leader: Leader) -> None:
    leader.write(
        "members",
        "aa1, started, etcd-1, http://etcd-1:2380, http://etcd-1:2379, false\n"
        "bb2, started, etcd-2, http://etcd-2:2380, http://etcd-2:2379, false\n",
    )
    done = leader.run("member", "2", of="etcd")
    assert done.returncode == 0, done.stderr
    assert leader.changes() == [
        "remove bb2",
        "add etcd-2 --peer-urls=http://etcd-2:2380",
    ]


def test_a_replaced_node_joins_members_by_tls(leader: Leader) -> None:
    leader.write(
        "members",
        "aa1, started, etcd-1, https://etcd-1:2382, http://etcd-1:2379, false\n"
        "bb2, started, etcd-2, http://etcd-2:2380, http://etcd-2:2379, false\n",
    )
    done = leader.run("member", "2", of="etcd")
    assert done.returncode == 0, done.stderr
    assert leader.changes() == ["remove bb2", f"add etcd-2 {_PEER}"]


def test_members_switch_to_tls(leader: Leader) -> None:
    leader.write(
        "members",
        "aa1, started, etcd-1, https://etcd-1:2382, http://etcd-1:2379, false\n"
        "bb2, started, etcd-2, http://etcd-2:2380, http://etcd-2:2379, false\n"
        "cc3, unstarted, , http://etcd-3:2380, , false\n",
    )
    for _ in range(2):
        done = leader.run("secure", of="etcd")
        assert (done.returncode, done.stderr) == (0, "")
    assert leader.changes() == [
        f"update bb2 {_PEER}",
        "update cc3 --peer-urls=https://etcd-3:2382",
    ]


@pytest.mark.parametrize(
    "members", ["", "bb2, started, etcd-2, http://etcd-2:2380, http://etcd-2:2379, false\n"]
)
def test_the_run_ends_if_not_all_members_use_tls(leader: Leader, members: str) -> None:
    """The next step removes the plain addresses, so a member with a plain address would be lost."""
    leader.write("members", members)
    leader.write("no-quorum", "")
    done = leader.run("secure", of="etcd")
    assert done.returncode == 1
    assert "etcd" in done.stderr
    assert "by TLS" in done.stderr


def test_only_existing_services_are_removed(leader: Leader) -> None:
    leader.write("names", "infisical_etcd-1\ninfisical_etcd-11\ninfisical_postgres-2\n")
    done = leader.run("stop", "etcd-1", "etcd-2", "postgres-2", of="etcd")
    assert done.returncode == 0, done.stderr
    assert leader.changes() == [f"service rm infisical_{name}" for name in ("etcd-1", "postgres-2")]


def test_the_roll_out_waits_for_a_primary_in_etcd(leader: Leader) -> None:
    leader.write("leader", "postgres-2\n")
    assert leader.run("led", "0", of="etcd").returncode == 0
    leader.write("leader", "")
    done = leader.run("led", "0", of="etcd")
    assert done.returncode == 1
    assert "within 0 s: see `infisical-iac docs runbooks`" in done.stderr


def test_without_a_quorum_no_member_is_removed(leader: Leader) -> None:
    leader.write("no-quorum", "")
    done = leader.run("member", "2", of="etcd")
    assert done.returncode == 1
    assert "lost its quorum" in done.stderr
    assert leader.changes() == []


def test_a_returning_node_loses_its_earlier_etcd(leader: Leader) -> None:
    leader.write("volumes", "infisical_etcd\ninfisical_patroni\ninfisical_etcd_copy\n")
    leader.write("holding", "aa1\nbb2\n")
    done = leader.run("forget", of="etcd")
    assert (done.returncode, done.stderr) == (0, "")
    assert leader.changes() == ["rm --force aa1 bb2", _REMOVE_VOLUME]


def test_a_node_without_an_earlier_etcd_loses_nothing(leader: Leader) -> None:
    leader.write("volumes", "infisical_patroni\n")
    done = leader.run("forget", of="etcd")
    assert (done.returncode, done.stderr) == (0, "")
    assert leader.changes() == []


def test_a_postgres_without_a_service_is_stopped(leader: Leader) -> None:
    # This container is of the former single host, not the cluster's.
    leader.write("single", "")
    for _ in range(2):
        done = leader.run("ended", of="etcd")
        assert (done.returncode, done.stderr) == (0, "")
    assert leader.changes() == ["rm --force pgid"]


def test_a_postgres_that_docker_does_not_stop_is_reported(leader: Leader) -> None:
    leader.write("stays", "")
    done = leader.run("ended", of="etcd")
    assert done.returncode == 1
    assert "PostgreSQL of this node" in done.stderr
