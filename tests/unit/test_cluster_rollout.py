"""How the stack on the Swarm differs from what is wanted."""

from dataclasses import replace
from typing import Any

import pytest
import yaml

from infisical_iac.cluster import rollout
from infisical_iac.cluster.rollout import Wanted
from infisical_iac.facts.cluster_stack import (
    ClusterStack,
    ClusterStackState,
    NodeState,
    Recorded,
    Service,
    hashes,
    record_text,
)
from infisical_iac.facts.swarm import SwarmState
from tests.unit.clusters import site

WANTED = Wanted(
    "services:\n  infisical: {image: infisical}\n  haproxy: {image: haproxy}\n",
    configs={"haproxy_cfg_0123456789ab": "defaults"},
    secrets=frozenset({"infisical_env_0123456789ab"}),
)
RENDERED = WANTED.rendered()
NODES = tuple(NodeState(f"node{n}", active=True) for n in (1, 2, 3))
SETTLED = ClusterStackState(
    engine=True,
    manager=True,
    nodes=NODES,
    services={
        "infisical": Service(3, 3, "completed", 0, "aa"),
        "haproxy": Service(3, 3, "none", 0, "bb"),
    },
    made={
        "secret": frozenset({"infisical_env_0123456789ab"}),
        "config": frozenset({"haproxy_cfg_0123456789ab"}),
    },
    record={
        "infisical": Recorded("aa", RENDERED["infisical"], 3),
        "haproxy": Recorded("bb", RENDERED["haproxy"], 3),
    },
)


def _with(name: str, **changes: Any) -> ClusterStackState:
    service = replace(SETTLED.services[name], **changes)
    return replace(SETTLED, services={**SETTLED.services, name: service})


def _told(found: ClusterStackState, wanted: Wanted = WANTED) -> list[str]:
    return [str(item) for item in rollout.items(found, wanted)]


def test_a_settled_stack_tells_nothing() -> None:
    assert _told(SETTLED) == []


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (_with("infisical", desired=2, running=2, hash="cc"), "2 tasks instead of 3"),
        (_with("infisical", hash="cc"), "runs with another configuration"),
        (_with("infisical", running=1), "1 of 3 tasks run and are healthy"),
        (_with("infisical", update="paused"), "its update is paused"),
        (_with("infisical", update="rollback_started"), "its update is rollback started"),
        (_with("infisical", running=2, waiting=1), "2 of 3 tasks run and are healthy"),
    ],
)
def test_a_service_tells_how_it_differs(found: ClusterStackState, line: str) -> None:
    assert _told(found) == [f"~ service infisical: {line}"]


def test_a_rollback_that_ended_where_the_record_is_tells_nothing() -> None:
    assert _told(_with("infisical", update="rollback_completed")) == []


def test_what_waits_for_a_node_that_is_away_is_no_difference() -> None:
    nodes = (*NODES[:2], replace(NODES[2], active=False))
    waits = replace(_with("infisical", running=2, waiting=1), nodes=nodes)
    assert _told(waits) == []
    fails = replace(_with("infisical", running=1, waiting=1), nodes=nodes)
    assert _told(fails) == ["~ service infisical: 1 of 3 tasks run and are healthy"]


def test_fewer_tasks_for_a_node_that_is_away_are_not_told_as_somebodys_doing() -> None:
    nodes = (*NODES[:2], replace(NODES[2], active=False))
    found = replace(_with("haproxy", running=2, desired=2, hash="cc"), nodes=nodes)
    assert _told(found) == ["~ service haproxy: runs with another configuration"]
    assert _told(replace(found, nodes=NODES)) == ["~ service haproxy: 2 tasks instead of 3"]
    scaled = replace(_with("infisical", running=1, desired=1, hash="cc"), nodes=nodes)
    assert _told(scaled) == ["~ service infisical: 1 tasks instead of 3"]


def test_an_update_of_what_has_no_other_node_waits_for_the_one_that_is_away() -> None:
    nodes = (*NODES[:2], replace(NODES[2], active=False))
    waits = _with("infisical", running=0, desired=1, waiting=1, update="updating")
    assert _told(replace(waits, nodes=nodes)) == []
    assert _told(waits) == ["~ service infisical: its update is updating"]
    # Swarm may have stopped at the task that no node takes, with the old ones still running.
    others = _with("infisical", running=2, waiting=1, update="updating")
    assert _told(replace(others, nodes=nodes)) == ["~ service infisical: its update is updating"]


def test_a_service_is_missing_or_foreign() -> None:
    services = {"infisical": SETTLED.services["infisical"], "miner": Service(1, 1)}
    assert _told(replace(SETTLED, services=services)) == [
        "+ service haproxy",
        "- service miner: is not in stack.yaml",
    ]


def test_a_service_whose_part_of_the_file_changes_is_told() -> None:
    changed = replace(WANTED, text=WANTED.text.replace("image: haproxy", "image: haproxy:3"))
    assert _told(SETTLED, changed) == ["~ service haproxy: its part of stack.yaml changes"]


def test_a_service_changes_with_the_name_of_a_config_that_it_uses() -> None:
    text = yaml.safe_dump(
        {
            "services": {"haproxy": {"configs": [{"source": "cfg"}]}, "infisical": {}},
            "configs": {"cfg": {"name": "cfg_0123456789ab"}},
        }
    )
    wanted = replace(WANTED, text=text)
    changed = replace(WANTED, text=text.replace("cfg_0123456789ab", "cfg_ffffffffffff"))
    now, then = wanted.rendered(), changed.rendered()
    assert [name for name in now if now[name] != then[name]] == ["haproxy"]


def test_without_a_record_each_service_is_rolled_out_again() -> None:
    assert _told(replace(SETTLED, record={})) == [
        "~ service haproxy: was never rolled out to its end",
        "~ service infisical: was never rolled out to its end",
    ]


def test_secrets_and_configs_are_those_that_are_wanted() -> None:
    made = {
        "secret": frozenset({"infisical_env_ffffffffffff"}),
        "config": frozenset({"haproxy_cfg_0123456789ab", "haproxy_cfg_ffffffffffff"}),
    }
    assert _told(replace(SETTLED, made=made)) == [
        "+ secret infisical_env_0123456789ab",
        "- secret infisical_env_ffffffffffff: no service needs it any more",
        "- config haproxy_cfg_ffffffffffff: no service needs it any more",
    ]


@pytest.mark.parametrize(
    ("update", "asked", "back"),
    [
        ("rollback_completed", "new", ["infisical"]),
        ("rollback_completed", "aa", []),
        ("completed", "new", []),
    ],
)
def test_a_service_was_rolled_back_if_it_is_not_what_was_asked_for(
    update: str, asked: str, back: list[str]
) -> None:
    found = _with("infisical", update=update)
    assert rollout.rolled_back(found, {"infisical": asked, "haproxy": "bb"}) == back


PINNED = [f"{what}-{number}" for number in (1, 2, 3) for what in ("etcd", "postgres")]
DATA = Wanted(
    yaml.safe_dump({"services": {name: {"image": name} for name in ["haproxy", *PINNED]}}),
    {},
    frozenset(),
)


def _running(wanted: Wanted) -> ClusterStackState:
    rendered = wanted.rendered()
    services = {name: Service(1, 1, hash=name) for name in rendered}
    record = {name: Recorded(name, each, 1) for name, each in rendered.items()}
    return ClusterStackState(True, True, services=services, record=record)


def _stages(found: ClusterStackState, wanted: Wanted) -> list[list[str]]:
    return [sorted(names) for names in rollout.stages(found, wanted)]


def test_a_first_roll_out_is_one_of_all() -> None:
    assert rollout.stages(ClusterStackState(), DATA) == []


def test_data_nodes_change_one_after_the_other() -> None:
    changed = replace(DATA, text=DATA.text.replace("image: etcd", "image: new-etcd"))
    assert _stages(_running(DATA), changed) == [
        ["etcd-1"],
        ["etcd-2"],
        ["etcd-3"],
    ]


def test_a_part_has_the_rest_of_the_file() -> None:
    text = "networks: {edge: {}}\nservices: {a: {image: a}, b: {image: b}}\n"
    assert yaml.safe_load(rollout.part(text, {"b"})) == {
        "networks": {"edge": {}},
        "services": {"b": {"image": "b"}},
    }


EACH_ITS_OWN = """
services:
  infisical:
    image: infisical
    deploy:
      replicas: 3
      placement: {max_replicas_per_node: 1}
      update_config: {order: stop-first, parallelism: 1}
  haproxy: {image: haproxy, deploy: {mode: global}}
"""
AWAY = (*NODES[:2], replace(NODES[2], active=False))


def _changed(text: str) -> tuple[ClusterStackState, Wanted]:
    """What runs, and the same of other images."""
    wanted = Wanted(text, {}, frozenset())
    return _running(wanted), replace(wanted, text=text.replace("image: ", "image: new-"))


def test_what_has_a_node_for_each_task_changes_first_on_those_that_are_there() -> None:
    found, wanted = _changed(EACH_ITS_OWN)
    assert _stages(replace(found, nodes=NODES), wanted) == []
    assert _stages(replace(found, nodes=AWAY), wanted) == [["infisical"]]
    settled = replace(wanted, text=EACH_ITS_OWN)
    assert _stages(replace(found, nodes=AWAY), settled) == []


def test_it_comes_after_the_data_nodes_that_change() -> None:
    pinned = "".join(f"  etcd-{n}: {{image: etcd}}\n" for n in (1, 2))
    found, wanted = _changed(EACH_ITS_OWN + pinned)
    stages = _stages(replace(found, nodes=AWAY), wanted)
    assert stages == [["etcd-1"], ["etcd-2"], ["infisical"]]


@pytest.mark.parametrize(
    ("nodes", "replicas", "order", "told"),
    [
        (NODES, 3, "stop-first", (3, "stop-first")),
        (AWAY, 3, "stop-first", (2, "stop-first")),
        (AWAY, 2, "stop-first", (2, "stop-first")),
        # The next task in the place of one would have nowhere to stand.
        (AWAY, 2, "start-first", (2, "stop-first")),
        ((NODES[0], *AWAY), 2, "start-first", (2, "start-first")),
        ((), 3, "stop-first", (3, "stop-first")),
    ],
)
def test_a_part_leaves_out_the_tasks_that_no_node_takes(
    nodes: tuple[NodeState, ...], replicas: int, order: str, told: tuple[int, str]
) -> None:
    text = EACH_ITS_OWN.replace("replicas: 3", f"replicas: {replicas}")
    part = rollout.part(text.replace("stop-first", order), {"infisical", "haproxy"}, nodes)
    services = yaml.safe_load(part)["services"]
    deploy = services["infisical"]["deploy"]
    assert (deploy["replicas"], deploy["update_config"]["order"]) == told
    assert services["haproxy"] == {"image": "haproxy", "deploy": {"mode": "global"}}


def test_what_needs_no_node_of_its_own_loses_no_task() -> None:
    text = EACH_ITS_OWN.replace("placement: {max_replicas_per_node: 1}", "placement: {}")
    found, wanted = _changed(text)
    assert _stages(replace(found, nodes=AWAY), wanted) == []
    part = yaml.safe_load(rollout.part(text, {"infisical"}, AWAY))
    assert part["services"]["infisical"]["deploy"]["replicas"] == 3


def test_one_data_node_changes_with_all_the_rest() -> None:
    changed = replace(DATA, text=DATA.text.replace("image: etcd-2", "image: new"))
    assert rollout.stages(_running(DATA), changed) == []


def test_what_is_missing_comes_before_another_node_changes() -> None:
    changed = replace(DATA, text=DATA.text.replace("image: etcd-2", "image: new"))
    found = _running(DATA)
    found = replace(found, services={k: v for k, v in found.services.items() if k != "etcd-1"})
    assert _stages(found, changed)[:2] == [["etcd-1"], ["etcd-2"]]


def test_what_is_recorded_is_read_again() -> None:
    record = rollout.recorded(SETTLED, WANTED, {"infisical": "aa", "haproxy": "bb"})
    text = record_text(record).replace("\n", "")
    assert ClusterStack().process(["next:", f"record {text}"]).record == SETTLED.record


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"services": {"infisical": {"hash": "a"}}}'])
def test_a_record_that_is_cut_or_edited_is_none(text: str) -> None:
    assert ClusterStack().process(["next:", f"record {text}"]).record == {}


def _leading(found: ClusterStackState, *holders: int, anew: bool = False) -> list[str]:
    known = site().cluster
    nodes = tuple(
        replace(node, seen=SwarmState(data=node.number in holders)) for node in known.nodes
    )
    return sorted(rollout.leading(found, DATA, replace(known, nodes=nodes, anew=anew)))


def test_where_one_postgres_has_data_it_starts_before_those_that_have_none() -> None:
    expected = ["etcd-1", "etcd-2", "etcd-3", "postgres-2"]
    assert _leading(ClusterStackState(), 2) == expected
    # A run that died in between has rolled these out.
    begun = {name: service for name, service in _running(DATA).services.items() if name in expected}
    assert _leading(ClusterStackState(services=begun), 2) == expected


def test_where_all_or_none_have_data_none_starts_before_another() -> None:
    assert _leading(ClusterStackState()) == []
    assert _leading(ClusterStackState(), 1, 2, 3) == []
    # One of them was replaced by a host that has nothing yet.
    assert _leading(_running(DATA), 1, 2) == []


def test_an_etcd_that_begins_anew_comes_first_and_at_once() -> None:
    assert _leading(_running(DATA), 1, 2, 3, anew=True) == ["etcd-1", "etcd-2", "etcd-3"]
    changed = replace(DATA, text=DATA.text.replace("image: etcd", "image: new-etcd"))
    etcd = frozenset({"etcd-1", "etcd-2", "etcd-3"})
    assert rollout.stages(_running(DATA), changed, etcd) == []


def test_the_look_is_read() -> None:
    found = ClusterStack().process(
        [
            "600 root:root /etc/infisical/stack.yaml|regular file",
            f"{'a' * 64}  /etc/infisical/stack.yaml",
            "next:",
            "engine",
            "wanted redis_env redis_env_0123456789ab",
            'start staging/redis:8 ["docker-entrypoint.sh"] ["redis-server","--save x"]',
            'start staging/etcd:3.5 null ["/usr/bin/etcd"]',
            "manager",
            "node n1 ready active",
            "node n2 ready drain",
            "node n4 down active",
            "service infisical_etcd-1 0 1 none 1",
            f"hash infisical_etcd-1 {'b' * 64}",
            "secret redis_env_0123456789ab",
        ]
    )
    assert found.files["/etc/infisical/stack.yaml"].sha256 == "a" * 64
    assert found.secrets == {"redis_env": "redis_env_0123456789ab"}
    assert found.start == {
        "staging/redis:8": ("docker-entrypoint.sh", "redis-server", "--save x"),
        "staging/etcd:3.5": ("/usr/bin/etcd",),
    }
    assert [(node.id, node.active) for node in found.nodes] == [
        ("n1", True),
        ("n2", False),
        ("n4", False),
    ]
    assert found.services == {"etcd-1": Service(0, 1, "none", 1, "b" * 64)}
    assert found.made == {"secret": frozenset({"redis_env_0123456789ab"}), "config": frozenset()}


def test_the_hashes_of_a_roll_out_are_read() -> None:
    assert hashes("hash infisical_redis-1 aa\nhash infisical_caddy bb\n") == {
        "redis-1": "aa",
        "caddy": "bb",
    }
