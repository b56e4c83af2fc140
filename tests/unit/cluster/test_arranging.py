"""Test what the lead changes of the swarm and its nodes."""

from dataclasses import replace

from infisical_iac.cluster.swarm import differing_settings, removals, updates, with_members
from tests.unit.cluster.observed import bare, cluster_of, converged, member, three


def test_a_settled_swarm_needs_nothing() -> None:
    cluster = cluster_of(three())
    assert [*updates(cluster), *removals(cluster)] == []
    assert differing_settings(three()["one"]) == []


def test_a_swarm_that_is_not_locked_or_certifies_for_longer_is_told() -> None:
    there = replace(three()["one"], autolock=False, expiry=90 * 24 * 3600)
    assert differing_settings(there) == [
        "autolock off → on",
        "certificates end after 2160 → 720 hours",
    ]


def test_a_drained_node_gets_work_again() -> None:
    observed = converged(member(1, "one"), member(2, "two", active=False), member(3, "three"))
    [update] = updates(cluster_of(observed))
    assert update.arguments == ("update", "--availability", "active", "id2")
    assert (update.node, update.why) == ("two", "drained → active")


def test_labels_that_are_missing_or_wrong_are_set() -> None:
    observed = converged(member(1, "one"), member(2, "two", joined=""), member(3, "three"))
    observed["one"] = replace(
        observed["one"], members=(member(1, "one"), member(2, "x"), member(3, "three"))
    )
    [update] = updates(cluster_of(observed))
    assert update.arguments == ("update", "--label-add", "infisical.host=two", "id2")
    assert update.why == "infisical.host x → two"


def test_what_a_kernel_lacks_is_written_down_and_stays_while_its_host_is_away() -> None:
    observed = converged(member(1, "one"), member(2, "two"), member(3, "three", lacks="ipvs"))
    del observed["three"]
    observed["two"] = replace(observed["two"], esp=False)
    [update] = updates(cluster_of(observed))
    assert update.arguments == ("update", "--label-add", "infisical.lacks=esp", "id2")
    there = converged(member(1, "one"), member(2, "two", lacks="esp"), member(3, "three"))
    [update] = updates(cluster_of(there))
    assert update.arguments == ("update", "--label-rm", "infisical.lacks", "id2")


def test_a_node_without_data_is_no_manager_and_a_data_node_is_one() -> None:
    observed = converged(
        member(1, "one"),
        member(2, "two", manager=False),
        member(3, "three"),
        member(4, "four", manager=True),
    )
    found = [*updates(cluster_of(observed, inventory=("one", "two", "three", "four")))]
    assert [(each.node, each.arguments[1:3]) for each in found] == [
        ("two", ("--role", "manager")),
        ("four", ("--role", "worker")),
    ]


def test_a_node_that_is_gone_loses_its_vote_before_its_place() -> None:
    observed = converged(member(1, "one"), member(2, "two", down=True), member(3, "three"))
    found = removals(cluster_of({**observed, "two": bare(9)}))
    assert [each.arguments for each in found] == [("demote", "id2"), ("rm", "--force", "id2")]


def test_those_who_have_just_joined_get_their_labels() -> None:
    cluster = cluster_of({name: bare(n) for n, name in enumerate(("one", "two", "three"), 1)})
    read_stack_again = [
        member(n, "", number=0, joined="", leader=False, manager=True) for n in (1, 2, 3)
    ]
    now = with_members(cluster, read_stack_again, {"one": "id1", "two": "id2", "three": "id3"})
    assert [each.why for each in updates(now)] == [
        f"infisical.host (none) → {name}, infisical.node (none) → {number}, "
        "infisical.joined (none) → new"
        for number, name in enumerate(("one", "two", "three"), 1)
    ]
