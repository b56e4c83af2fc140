"""The etcd of a cluster: members that go, and that begin anew."""

import pytest

from tests.unit.cluster.played_lead import Lead


def test_a_replaced_node_gets_a_member_in_the_place_of_the_old_one(lead: Lead) -> None:
    lead.write(
        "members",
        "aa1, started, etcd-1, http://etcd-1:2380, http://etcd-1:2379, false\n"
        "bb2, started, etcd-2, http://etcd-2:2380, http://etcd-2:2379, false\n",
    )
    done = lead.run("member", "2", of="etcd")
    assert done.returncode == 0, done.stderr
    assert lead.changes() == [
        "remove bb2",
        "add etcd-2 --peer-urls=http://etcd-2:2380",
    ]


def test_a_replaced_node_joins_members_that_reach_each_other_by_tls(lead: Lead) -> None:
    lead.write(
        "members",
        "aa1, started, etcd-1, https://etcd-1:2382, http://etcd-1:2379, false\n"
        "bb2, started, etcd-2, http://etcd-2:2380, http://etcd-2:2379, false\n",
    )
    done = lead.run("member", "2", of="etcd")
    assert done.returncode == 0, done.stderr
    assert lead.changes() == ["remove bb2", "add etcd-2 --peer-urls=https://etcd-2:2382"]


def test_members_are_brought_to_reach_each_other_by_tls(lead: Lead) -> None:
    lead.write(
        "members",
        "aa1, started, etcd-1, https://etcd-1:2382, http://etcd-1:2379, false\n"
        "bb2, started, etcd-2, http://etcd-2:2380, http://etcd-2:2379, false\n"
        "cc3, unstarted, , http://etcd-3:2380, , false\n",
    )
    for _ in range(2):
        done = lead.run("secure", of="etcd")
        assert (done.returncode, done.stderr) == (0, "")
    assert lead.changes() == [
        "update bb2 --peer-urls=https://etcd-2:2382",
        "update cc3 --peer-urls=https://etcd-3:2382",
    ]


@pytest.mark.parametrize(
    "members", ["", "bb2, started, etcd-2, http://etcd-2:2380, http://etcd-2:2379, false\n"]
)
def test_an_etcd_that_does_not_know_all_by_tls_ends_the_run(lead: Lead, members: str) -> None:
    """The plain addresses are given up next: a member known by one would be lost."""
    lead.write("members", members)
    lead.write("no-quorum", "")
    done = lead.run("secure", of="etcd")
    assert done.returncode == 1
    assert "etcd" in done.stderr
    assert "by TLS" in done.stderr


def test_services_are_ended_that_are_there_and_no_others(lead: Lead) -> None:
    lead.write("names", "infisical_etcd-1\ninfisical_etcd-11\ninfisical_postgres-2\n")
    done = lead.run("stop", "etcd-1", "etcd-2", "postgres-2", of="etcd")
    assert done.returncode == 0, done.stderr
    assert lead.changes() == [f"service rm infisical_{name}" for name in ("etcd-1", "postgres-2")]


def test_the_rest_waits_until_etcd_has_a_primary(lead: Lead) -> None:
    lead.write("leader", "postgres-2\n")
    assert lead.run("led", "0", of="etcd").returncode == 0
    lead.write("leader", "")
    done = lead.run("led", "0", of="etcd")
    assert done.returncode == 1
    assert "within 0 s: see docs/" in done.stderr


def test_without_a_quorum_no_member_is_removed(lead: Lead) -> None:
    lead.write("no-quorum", "")
    done = lead.run("member", "2", of="etcd")
    assert done.returncode == 1
    assert "lost its quorum" in done.stderr
    assert lead.changes() == []


def test_a_node_that_comes_back_has_nothing_left_of_its_earlier_etcd(lead: Lead) -> None:
    lead.write("volumes", "infisical_etcd\ninfisical_patroni\ninfisical_etcd_copy\n")
    lead.write("holding", "aa1\nbb2\n")
    done = lead.run("forget", of="etcd")
    assert (done.returncode, done.stderr) == (0, "")
    assert lead.changes() == ["rm --force aa1 bb2", "volume rm --force infisical_etcd"]


def test_a_node_without_an_earlier_etcd_loses_nothing(lead: Lead) -> None:
    lead.write("volumes", "infisical_patroni\n")
    done = lead.run("forget", of="etcd")
    assert (done.returncode, done.stderr) == (0, "")
    assert lead.changes() == []


def test_a_postgres_whose_service_was_ended_is_ended_where_it_still_runs(lead: Lead) -> None:
    # This container is of the former single host, not the cluster's.
    lead.write("single", "")
    for _ in range(2):
        done = lead.run("ended", of="etcd")
        assert (done.returncode, done.stderr) == (0, "")
    assert lead.changes() == ["rm --force pgid"]


def test_a_postgres_that_docker_does_not_end_is_told(lead: Lead) -> None:
    lead.write("stays", "")
    done = lead.run("ended", of="etcd")
    assert done.returncode == 1
    assert "PostgreSQL of this node" in done.stderr
