"""Test how each data node's etcd starts, by the observed state of its host."""

from dataclasses import replace
from typing import Literal

import pytest

from infisical_iac.agent.membership import SwarmState
from infisical_iac.cluster import swarm
from infisical_iac.cluster.etcd import members_to_replace
from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.validation import refuse_undecided
from infisical_iac.core.errors import Refused
from tests.unit.cluster.observed import NAMES, bare, cluster_of, converged_states, member, three

Etcd = Literal["", "healthy", "lost"]


def _with_etcd(*etcd: Etcd, primaries: tuple[str, ...] = ("two",)) -> dict[str, SwarmState]:
    return {
        name: replace(state, data=True, etcd=each, primary=each != "healthy" and name in primaries)
        for (name, state), each in zip(three().items(), etcd, strict=True)
    }


def _list_joined(cluster: Cluster) -> list[str]:
    return [node.joined for node in cluster.nodes]


def test_a_healthy_etcd_is_not_reset() -> None:
    cluster = cluster_of(_with_etcd("healthy", "healthy", "healthy"))
    assert (cluster.is_etcd_reset, members_to_replace(cluster.nodes)) == (False, {})


def test_an_etcd_without_a_quorum_is_reset_while_there_is_a_primary() -> None:
    observed = _with_etcd("", "lost", "lost")
    observed["one"] = replace(
        observed["one"],
        members=tuple(replace(each, joined="existing") for each in observed["one"].members),
    )
    cluster = cluster_of(observed)
    assert (cluster.is_etcd_reset, members_to_replace(cluster.nodes)) == (True, {})
    assert (_list_joined(cluster), cluster.existing) == (["new"] * 3, frozenset())


def test_a_reset_etcd_has_a_new_generation_on_all_nodes() -> None:
    observed = _with_etcd("", "lost", "lost")
    observed["one"] = replace(
        observed["one"],
        members=tuple(
            # A run was killed after it had set a new generation on the first host only.
            replace(each, generation=2 if each.host == "one" else 1)
            for each in observed["one"].members
        ),
    )
    cluster = cluster_of(observed)
    assert cluster.generation == 3
    assert [each.why for each in swarm.updates(cluster)] == [
        "infisical.etcd 2 → 3",
        "infisical.etcd 1 → 3",
        "infisical.etcd 1 → 3",
    ]
    assert cluster_of(three()).generation == 0
    assert cluster_of({name: bare(n) for n, name in enumerate(NAMES, 1)}).generation == 0


@pytest.mark.parametrize("etcd", [("", "", ""), ("lost", "", ""), ("lost", "lost", "healthy")])
def test_slow_or_waiting_members_do_not_reset_etcd(etcd: tuple[Etcd, ...]) -> None:
    assert not cluster_of(_with_etcd(*etcd)).is_etcd_reset


def _without_primary(*written: tuple[int, int]) -> dict[str, SwarmState]:
    """Return nodes that all restarted without an etcd, with the WAL position of each."""
    observed = _with_etcd("", "lost", "lost", primaries=())
    return {
        name: replace(state, wal=wal)
        for (name, state), wal in zip(observed.items(), written, strict=True)
    }


@pytest.mark.parametrize(
    ("written", "first"),
    [
        (((2, 100), (2, 300), (2, 200)), 2),
        (((2, 300), (2, 300), (3, 200)), 3),
        (((2, 300), (2, 300), (2, 200)), 1),
    ],
    ids=["furthest position", "newer timeline", "equal positions"],
)
def test_without_a_primary_etcd_is_reset_around_the_furthest_postgres(
    written: tuple[tuple[int, int], ...], first: int
) -> None:
    cluster = cluster_of(_without_primary(*written))
    assert (cluster.is_etcd_reset, cluster.first) == (True, first)
    assert (_list_joined(cluster), cluster.generation) == (["new"] * 3, 1)
    refuse_undecided(cluster)


def _consider_down(observed: dict[str, SwarmState], name: str) -> dict[str, SwarmState]:
    """Return the same states, but the managers consider a node with a running engine down."""
    return {
        each: replace(
            state,
            members=tuple(replace(one, down=one.host == name) for one in state.members),
        )
        for each, state in observed.items()
    }


_SAME = _without_primary((2, 1), (2, 1), (2, 1))


@pytest.mark.parametrize(
    ("observed", "why"),
    [
        ({name: state for name, state in _SAME.items() if name != "one"}, "one can't be reached"),
        (_consider_down(_SAME, "two"), "two down: `systemctl restart docker`"),
        (_SAME | {"three": replace(_SAME["three"], data=False)}, "three has no PostgreSQL"),
        (_with_etcd("", "lost", "lost", primaries=("one", "two")), r"one and two .* primaries"),
        (_without_primary((2, 100), (0, 0), (2, 200)), "PostgreSQL of two "),
    ],
    ids=["unreachable", "down", "without data", "two primaries", "unknown WAL position"],
)
def test_etcd_is_not_reset_while_it_is_unknown_which_host_has_all_writes(
    observed: dict[str, SwarmState], why: str
) -> None:
    cluster = cluster_of(observed)
    assert not cluster.is_etcd_reset
    with pytest.raises(Refused, match=why) as refused:
        refuse_undecided(cluster)
    assert refused.value.code == "refused.etcd_quorum"


def test_without_data_etcd_is_not_reset() -> None:
    observed = {name: replace(state, data=False) for name, state in _SAME.items()}
    refuse_undecided(cluster_of(observed))


def test_a_run_killed_before_the_reset_is_repeated() -> None:
    # The volumes of etcd and two PostgreSQL services are gone; WAL positions are still readable.
    observed = _without_primary((2, 100), (2, 300), (2, 200))
    gone = {name: replace(state, etcd="lost") for name, state in observed.items()}
    assert (cluster_of(gone).is_etcd_reset, cluster_of(gone).first) == (
        True,
        cluster_of(observed).first,
    )


@pytest.mark.parametrize(
    "etcd", [("healthy", "healthy", "healthy"), ("lost", "", ""), ("lost", "healthy", "")]
)
def test_an_etcd_that_kept_most_of_its_data_does_not_block_the_run(
    etcd: tuple[Etcd, ...],
) -> None:
    refuse_undecided(cluster_of(_with_etcd(*etcd, primaries=())))


def test_a_node_whose_etcd_lost_its_data_gets_a_new_member() -> None:
    cluster = cluster_of(_with_etcd("lost", "healthy", "healthy"))
    assert (cluster.is_etcd_reset, members_to_replace(cluster.nodes)) == (False, {1: "one"})
    assert _list_joined(cluster) == ["existing", "new", "new"]


def test_a_silent_member_is_not_replaced() -> None:
    cluster = cluster_of(_with_etcd("", "healthy", "healthy"))
    assert (cluster.is_etcd_reset, members_to_replace(cluster.nodes)) == (False, {})
    assert _list_joined(cluster) == ["new"] * 3


def test_a_host_without_a_number_replaces_a_lost_one() -> None:
    lost = converged_states(member(1, "one"), member(2, "two"), member(3, "three", down=True))
    observed = {"one": lost["one"], "two": lost["two"], "four": bare(4)}
    cluster = cluster_of(observed, inventory=("one", "two", "four"))
    assert members_to_replace(cluster.nodes) == {3: "four"}
    # The host has joined as a worker already, and has no number yet.
    worker = member(4, "four")
    observed |= converged_states(*(lost["one"].members), worker)
    cluster = cluster_of(
        {name: observed[name] for name in ("one", "two", "four")}, inventory=("one", "two", "four")
    )
    assert members_to_replace(cluster.nodes) == {3: "four"}
    done = replace(worker, number=3, joined="existing", manager=True)
    observed = converged_states(member(1, "one"), member(2, "two"), done)
    assert members_to_replace(cluster_of(observed, inventory=("one", "two", "four")).nodes) == {}


def _survivor() -> dict[str, SwarmState]:
    """Return the states after two hosts were lost for good and replaced by new ones."""
    survivor = bare(3, stack=True, data=True, state="active", mark="new", serial=4, key="key")
    return {"one": bare(1), "two": bare(2), "three": survivor}


def test_a_swarm_is_re_created_around_the_data_of_a_survivor() -> None:
    cluster = cluster_of(_survivor())
    assert (cluster.leader.name, cluster.leader.number) == ("three", 3)
    assert (_list_joined(cluster), cluster.is_etcd_reset) == (["new"] * 3, False)
    assert cluster.holders == {3}


def test_a_survivor_that_is_still_in_the_lost_swarm_is_refused() -> None:
    observed = _survivor()
    observed["three"] = replace(observed["three"], mark="swarm-id")
    with pytest.raises(Refused, match=r"follow `infisical-iac docs runbooks`, 'Two of three"):
        cluster_of(observed)


@pytest.mark.parametrize("other", ["one", "two"])
def test_a_new_swarm_is_refused_if_two_hosts_have_data(other: str) -> None:
    observed = _survivor()
    observed[other] = replace(observed[other], data=True)
    with pytest.raises(Refused, match=f"^{other} .* three ") as refused:
        cluster_of(observed)
    assert refused.value.code == "refused.ambiguous_data"


@pytest.mark.parametrize("other", ["one", "two"])
def test_a_new_swarm_of_a_killed_run_is_refused_if_two_hosts_have_data(other: str) -> None:
    observed = {**_survivor(), **converged_states(member(3, "three", number=0))}
    observed["three"] = replace(observed["three"], data=True, serial=4, key="key", stack=False)
    # An old stack.yaml does not count as data.
    observed[other] = replace(observed[other], stack=True)
    assert (cluster_of(observed).has_databases, _list_joined(cluster_of(observed))) == (
        False,
        ["new"] * 3,
    )
    observed[other] = replace(observed[other], data=True)
    with pytest.raises(Refused, match=f"^{other} .* three ") as refused:
        cluster_of(observed)
    assert refused.value.code == "refused.ambiguous_data"
