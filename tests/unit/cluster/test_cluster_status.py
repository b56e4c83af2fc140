"""Test the rows of `status` for a cluster, and which of them are healthy."""

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from infisical_iac.agent.data import GivenUp
from infisical_iac.agent.health import DiskSpace, Running
from infisical_iac.agent.journal import TransactionJournal
from infisical_iac.agent.node_health import Copy, ManagedNode, NodeFacts
from infisical_iac.cluster.model import NodeState
from infisical_iac.cluster.stack_state import make_node_state
from infisical_iac.cluster.status import rows
from infisical_iac.core.change import Row
from infisical_iac.core.settings import Settings
from infisical_iac.monitoring.health import drift_row
from infisical_iac.stack.settings import with_digest
from tests.unit.health_rows import GIB, changed, observed
from tests.unit.settings_of import settings_of
from tests.unit.troubled_host import BROKEN_LOG, all_rows, troubled

_NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
_MEMBERS = (
    ManagedNode("one", "ready", "active", "leader", 1),
    ManagedNode("two", "ready", "active", "reachable", 2),
    ManagedNode("three", "ready", "active", "reachable", 3),
)
_INFISICAL = with_digest("infisical/infisical:v0.165.16")
_TASKS = {
    "infisical": [Running(_INFISICAL, "running", "healthy")],
    "haproxy": [Running("haproxy:3.2.25", "running", "healthy")],
    "etcd": [Running("gcr.io/etcd-development/etcd:v3.5.21", "running", "none")],
}
_COPIES = (
    Copy("postgres-2", "streaming", "sync", 0),
    Copy("postgres-3", "streaming", "async", 120),
)
_STANDBY = NodeFacts(
    members=_MEMBERS,
    tasks=_TASKS,
    etcd="healthy",
    sentinel="redis-1",
    postgres="standby",
    redis="slave",
)
_FACTS = {
    "one": replace(_STANDBY, postgres="primary", copies=_COPIES, redis="master"),
    "two": _STANDBY,
    "three": _STANDBY,
}


@pytest.fixture
def settings() -> Settings:
    return settings_of(topology="swarm", ingress="none")


@pytest.fixture
def nodes() -> dict[str, NodeState]:
    return {name: make_node_state(found, observed(containers={})) for name, found in _FACTS.items()}


def _rows(nodes: dict[str, NodeState], settings: Settings, *away: str) -> dict[str, Row]:
    found = rows(nodes, away, settings, "one", drift_row([]), _NOW)
    return {row.name: row for row in found}


def _change(nodes: dict[str, NodeState], name: str, **changes: Any) -> dict[str, NodeState]:
    return nodes | {name: replace(nodes[name], **changes)}


def test_a_healthy_cluster_has_only_healthy_rows(
    nodes: dict[str, NodeState], settings: Settings
) -> None:
    found = _rows(nodes, settings)
    assert [row for row in found.values() if not row.ok] == []
    counts, _, leader = found["Nodes"].text.partition("; ")
    assert counts.startswith("3 of 3 ")
    assert leader.endswith(" one")
    assert found["infisical"].text.endswith(":v0.165.16: 3 of 3 healthy")
    primary, synchronous, other = found["PostgreSQL"].text.split("; ")
    assert primary == "primary on one"
    assert synchronous.startswith("synchronous standby two, 0 bytes ")
    assert other.startswith("standby three, 120 bytes ")
    assert found["etcd"].text == "3 of 3 members healthy"
    assert found["Redis"].text.startswith("master on one, 2 replicas; ")
    assert found["Disk"].text == "one: 20.0 of 40.0 GB free"


@pytest.mark.parametrize(("running", "ok"), [("a", True), ("b", False)])
def test_a_service_with_another_digest_than_the_pinned_one_is_unhealthy(
    nodes: dict[str, NodeState], running: str, ok: bool
) -> None:
    pinned = f"haproxy:3.2.25@sha256:{'a' * 64}"
    settings = settings_of(topology="swarm", ingress="none", haproxy_image=pinned)
    image = f"haproxy:3.2.25@sha256:{running * 64}"
    (task,) = nodes["two"].tasks["haproxy"]
    tasks = {"haproxy": [replace(task, image=image)]}
    changed = {name: replace(node, tasks={**node.tasks, **tasks}) for name, node in nodes.items()}
    row = _rows(changed, settings)["haproxy"]
    assert row.text.startswith("haproxy:3.2.25: ")
    assert (image in row.text, row.ok) == (not ok, ok)


@pytest.mark.parametrize(
    ("overlay", "chosen", "text", "ok"),
    [
        ("encrypted", "required", "encrypted between the hosts", True),
        ("plain", "required", "not encrypted: HAProxy reaches", False),
        ("plain", "optional", "not encrypted: HAProxy reaches", True),
    ],
)
def test_an_unencrypted_overlay_is_healthy_only_if_the_settings_accept_it(
    nodes: dict[str, NodeState], overlay: str, chosen: str, text: str, ok: bool
) -> None:
    settings = settings_of(topology="swarm", ingress="none", overlay_encryption=chosen)
    row = _rows(_change(nodes, "two", overlay=overlay), settings)["Overlay"]
    assert (row.text.startswith(text), row.ok) == (True, ok)


def test_a_closed_edge_and_a_database_that_was_given_up_are_reported(
    nodes: dict[str, NodeState], settings: Settings
) -> None:
    given_up = (GivenUp("infisical_given_up_x", "2026-11-25T10:12:00Z", 3),)
    one = changed(nodes["one"].health, unfinished={"restore": "20261125T101112Z data"})
    one = replace(one, given_up=given_up)
    two = changed(nodes["two"].health, closed=0)
    found = _rows(_change(_change(nodes, "one", health=one), "two", health=two), settings)
    edge = found["Edge"].text
    assert edge.startswith("two: ")
    assert " 1970-01-01T00:00:00Z; a restore " in edge
    assert " infisical_given_up_x" in found["Given up"].text
    assert (found["Edge"].ok, found["Given up"].ok) == (False, False)


def test_a_change_that_a_node_has_not_ended_is_unhealthy(
    nodes: dict[str, NodeState], settings: Settings
) -> None:
    """An upgrade closes no edge."""
    journal = TransactionJournal("cluster_upgrade", "20261125T101112Z", named=["release", "image"])
    unfinished = {"upgrade": json.dumps(asdict(journal))}
    two = changed(nodes["two"].health, unfinished=unfinished)
    row = _rows(_change(nodes, "two", health=two), settings)["Unfinished"]
    assert row.text.startswith("two: ")
    assert not row.ok


@pytest.mark.parametrize(
    ("tls", "ends", "facts", "ok"),
    [
        (3, "2028-11-25", ("require it;", "until 2028-11-25"), True),
        (3, "2027-01-23", ("certificate", "ends 2027-01-23", "`infisical-iac apply`"), False),
        (2, "2028-11-25", ("not require it yet", "`infisical-iac apply`"), False),
        (0, None, ("not require it yet", "`infisical-iac apply`"), False),
    ],
)
def test_tls_is_healthy_once_required_and_until_60_days_before_a_certificate_ends(
    nodes: dict[str, NodeState],
    settings: Settings,
    tls: int,
    ends: str | None,
    facts: tuple[str, ...],
    ok: bool,
) -> None:
    end = int(datetime.fromisoformat(f"{ends}T00:00:00Z").timestamp()) if ends else None
    nodes = _change(nodes, "two", tls=tls)
    row = _rows(_change(nodes, "three", leaf_ends=end), settings)["TLS"]
    assert row.ok is ok
    assert all(fact in row.text for fact in facts)


def test_backups_are_reported_as_far_as_known_without_unreachable_nodes(
    nodes: dict[str, NodeState], settings: Settings
) -> None:
    del nodes["three"]
    row = _rows(nodes, settings, "three")["Last backup"]
    assert row.text.startswith("none yet")
    assert row.text.endswith(" three)")


def test_a_drained_or_unreachable_node_is_reported(
    nodes: dict[str, NodeState], settings: Settings
) -> None:
    members = (
        _MEMBERS[0],
        ManagedNode("two", "ready", "drain", "reachable", 2),
        ManagedNode("three", "down", "active", "unreachable", 3),
    )
    nodes = {name: replace(node, members=members) for name, node in nodes.items()}
    row = _rows(nodes, settings)["Nodes"]
    assert not row.ok
    counts, leader, *others = row.text.split("; ")
    assert counts.startswith("1 of 3 ")
    assert leader.endswith(" one")
    assert others == ["two drained", "three down"]


def test_an_unreachable_host_is_reported_although_the_swarm_reaches_it(
    nodes: dict[str, NodeState], settings: Settings
) -> None:
    del nodes["three"]
    found = _rows(nodes, settings, "three", "four")
    assert found["Nodes"].text.endswith("; four can't be reached")
    assert not found["Nodes"].ok
    assert found["infisical"].text.endswith("2 of 3 healthy")


def test_a_missing_majority_is_reported(nodes: dict[str, NodeState], settings: Settings) -> None:
    separated = {name: replace(node, members=()) for name, node in nodes.items()}
    row = _rows(separated, settings)["Nodes"]
    assert (row.ok, row.text.partition(":")[0]) == (False, "no manager answers")


def test_two_primaries_or_none_are_reported(
    nodes: dict[str, NodeState], settings: Settings
) -> None:
    row = _rows(_change(nodes, "two", postgres="primary"), settings)["PostgreSQL"]
    assert (row.ok, "one and two" in row.text) == (False, True)
    row = _rows(_change(nodes, "one", postgres="silent"), settings)["PostgreSQL"]
    assert (row.ok, "no primary" in row.text) == (False, True)


def test_a_missing_synchronous_standby_is_unhealthy(
    nodes: dict[str, NodeState], settings: Settings
) -> None:
    copies = tuple(replace(each, sync="async") for each in nodes["one"].copies)
    row = _rows(_change(nodes, "one", copies=copies), settings)["PostgreSQL"]
    assert not row.ok
    assert "no synchronous standby" in row.text


def test_a_standby_that_does_not_follow_is_unhealthy(
    nodes: dict[str, NodeState], settings: Settings
) -> None:
    copies = nodes["one"].copies
    far = (copies[0], replace(copies[1], behind=10**9))
    assert not _rows(_change(nodes, "one", copies=far), settings)["PostgreSQL"].ok
    assert not _rows(_change(nodes, "one", copies=copies[:1]), settings)["PostgreSQL"].ok


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"etcd": "unhealthy"}, "2 of 3 members healthy"),
        ({"etcd": ""}, "2 of 3 members healthy"),
    ],
)
def test_an_unhealthy_etcd_member_is_reported(
    nodes: dict[str, NodeState], settings: Settings, changes: dict[str, str], text: str
) -> None:
    row = _rows(_change(nodes, "two", **changes), settings)["etcd"]
    assert (row.ok, row.text) == (False, text)


@pytest.mark.parametrize("changes", [{"sentinel": "redis-2"}, {"redis": "master"}, {"redis": ""}])
def test_disagreeing_sentinels_and_a_second_master_are_reported(
    nodes: dict[str, NodeState], settings: Settings, changes: dict[str, str]
) -> None:
    assert not _rows(_change(nodes, "two", **changes), settings)["Redis"].ok


def test_a_replica_of_another_version_is_reported(
    nodes: dict[str, NodeState], settings: Settings
) -> None:
    (task,) = nodes["two"].tasks["infisical"]
    other = replace(task, image="infisical/infisical:v0.1.0")
    tasks = {**nodes["two"].tasks, "infisical": [other]}
    row = _rows(_change(nodes, "two", tasks=tasks), settings)["infisical"]
    assert not row.ok
    assert "2 of 3 healthy" in row.text
    assert "infisical/infisical:v0.1.0" in row.text


def test_the_fullest_disk_and_the_newest_backup_are_shown_with_the_node(
    nodes: dict[str, NodeState], settings: Settings
) -> None:
    def record(hour: int, failure: str = "") -> str:
        at = f"2026-11-25T{hour:02}:00:00Z"
        target = (
            f'{{"name": "local", "success": "{at}", "snapshot": "ab", "added": 1, "snapshots": 1, '
            '"error": ""}'
        )
        return (
            f'{{"began": "{at}", "ended": "{at}", "failure": "{failure}", "bytes": 1000, '
            f'"targets": [{target}]}}'
        )

    full = changed(
        nodes["two"].health, disk=DiskSpace("/var/lib", GIB, 40 * GIB), backups=record(3)
    )
    nodes = _change(nodes, "two", health=full)
    newest = changed(nodes["three"].health, backups=record(4, "no space left"))
    found = _rows(_change(nodes, "three", health=newest), settings)
    assert found["Disk"].text.startswith("two: 1.0 of 40.0 GB ")
    assert not found["Disk"].ok
    assert found["Last backup"].text.startswith("three: failed ")
    assert "2026-11-25T04:00:00Z" in found["Last backup"].text
    assert not found["Last backup"].ok


def test_a_cluster_has_each_row_of_a_single_host(
    nodes: dict[str, NodeState], settings: Settings
) -> None:
    """Docker of a node that does not answer is in the row of the nodes."""
    bad = {name: replace(node, health=troubled(), log=BROKEN_LOG) for name, node in nodes.items()}
    single = {row.name for row in all_rows(settings)} - {"Docker"}
    assert single - _rows(bad, settings).keys() == set()


def test_the_holder_of_a_lock_is_shown_with_the_node(
    nodes: dict[str, NodeState], settings: Settings
) -> None:
    busy = changed(nodes["two"].health, holder="by ada@laptop")
    row = _rows(_change(nodes, "two", health=busy), settings)["At work now"]
    assert row.text == "two: by ada@laptop"


def test_an_unloaded_firewall_is_reported_with_the_node(
    nodes: dict[str, NodeState], settings: Settings
) -> None:
    bad = changed(nodes["two"].health, firewall="ssh-only")
    row = _rows(_change(nodes, "two", health=bad), settings)["Firewall"]
    assert (row.ok, row.text.startswith("two: its rules ")) == (False, True)
