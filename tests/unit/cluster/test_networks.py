"""Test differences of the stack's networks, their services, and their re-creation."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from infisical_iac.cluster import site as cluster_site
from infisical_iac.cluster import stack, stack_file, stack_plan
from infisical_iac.cluster.site import desired_stack
from infisical_iac.cluster.stack_plan import DesiredStack
from infisical_iac.cluster.stack_state import (
    ClusterStack,
    ClusterStackState,
    Network,
    NodeTasks,
    Recorded,
    SwarmService,
    Task,
)
from infisical_iac.core.rendering import script
from tests.unit.clusters import site
from tests.unit.fake_programs import fake_docker, run_with

_SITE = site()
PLAIN, ENCRYPTED = (
    desired_stack(replace(_SITE, cluster=replace(_SITE.cluster, esp=esp)), ClusterStackState()).text
    for esp in (False, True)
)
_MTU = {"com.docker.network.driver.mtu": "1350"}
# Docker adds the number of the VXLAN.
_DOCKERS = {"com.docker.network.driver.overlay.vxlanid_list": "4097"}
FOUND = {
    "infisical-consensus": Network(True, {**_MTU, **_DOCKERS}, ("172.31.241.0/24",)),
    "infisical-databases": Network(True, {**_MTU, **_DOCKERS}, ("172.31.242.0/24",)),
    "infisical-edge": Network(False, {**_MTU, **_DOCKERS}, ("172.31.243.0/24",)),
}
EDGE = "infisical-edge"


def _list_changes(found: dict[str, Network], text: str) -> list[str]:
    """Return the changes, without their effect on Infisical."""
    return [str(each).partition("; ")[0] for each in stack_file.list_network_changes(found, text)]


def test_networks_that_match_the_file_are_not_a_difference() -> None:
    assert _list_changes(FOUND, PLAIN) == []
    encrypted = {
        name: replace(each, options={**each.options, "encrypted": ""})
        for name, each in FOUND.items()
    }
    assert _list_changes(encrypted, ENCRYPTED) == []
    assert _list_changes({}, PLAIN) == []


def test_an_unencrypted_network_that_could_be_encrypted_is_reported() -> None:
    assert _list_changes(FOUND, ENCRYPTED) == [
        f"~ network infisical-{name}: not encrypted → encrypted"
        for name in ("consensus", "databases", "edge")
    ]


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (replace(FOUND[EDGE], options={**_MTU, "encrypted": ""}), "encrypted → not encrypted"),
        (replace(FOUND[EDGE], internal=True), "internal → open to the outside"),
        (replace(FOUND[EDGE], options={}), "com.docker.network.driver.mtu (none) → 1350"),
        (replace(FOUND[EDGE], subnets=("10.0.1.0/24",)), "subnet 10.0.1.0/24 → 172.31.243.0/24"),
    ],
)
def test_the_differences_of_a_network_are_reported(network: Network, why: str) -> None:
    output = _list_changes({**FOUND, EDGE: network}, PLAIN)
    assert output == [f"~ network {EDGE}: {why}"]


def test_only_the_services_of_a_network_are_stopped() -> None:
    assert stack_file.network_users(PLAIN, frozenset({EDGE})) == {"haproxy", "infisical"}
    in_consensus = stack_file.network_users(PLAIN, frozenset({"infisical-consensus"}))
    assert {name.rpartition("-")[0] for name in in_consensus} == {"etcd", "postgres"}
    assert stack_file.network_users(PLAIN, frozenset()) == frozenset()


def test_running_services_are_started_unchanged_in_the_new_network() -> None:
    old = PLAIN.replace("NODE_ENV: production", "NODE_ENV: earlier")
    whole = yaml.safe_load(stack_file.with_networks(old, ENCRYPTED))
    assert whole["networks"] == yaml.safe_load(ENCRYPTED)["networks"]
    assert whole["services"] == yaml.safe_load(old)["services"]


def test_the_record_of_re_created_services_is_renewed_and_hides_no_difference() -> None:
    found = ClusterStackState(
        services={
            name: SwarmService(1, 1, hash=name) for name in ("haproxy", "infisical", "caddy")
        },
        record={
            "haproxy": Recorded("haproxy", "of haproxy", 3),
            "infisical": Recorded("another", "of infisical", 3),
            "caddy": Recorded("caddy", "of caddy", 3),
        },
    )
    asked = dict.fromkeys(("haproxy", "infisical", "caddy"), "new")
    assert stack_plan.renew_record(found, asked, {"haproxy", "infisical"}) == {
        **found.record,
        "haproxy": Recorded("new", "of haproxy", 3),
    }


def test_networks_are_parsed_with_options_and_subnets() -> None:
    output = {"internal": True, "options": _MTU, "ipam": [{"Subnet": "10.1.0.0/24"}]}
    bare = {"internal": False, "options": None, "ipam": None}
    found = ClusterStack().process(
        [f"network {EDGE} {json.dumps(output)}", f"network other {json.dumps(bare)}"]
    )
    assert found.networks == {
        EDGE: Network(True, _MTU, ("10.1.0.0/24",)),
        "other": Network(False, {}, ()),
    }


_STEPS_BY_NETWORK = {
    EDGE: ["part haproxy infisical"],
    "infisical-databases": ["part DATA", "await_master 120", "part haproxy infisical"],
    "infisical-consensus": ["part DATA", "await_master 120"],
}


@pytest.mark.parametrize("name", _STEPS_BY_NETWORK)
def test_services_are_removed_before_a_network_is_re_created_and_start_after_databases(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    steps: list[str] = []
    other = replace(FOUND[name], internal=not FOUND[name].internal)
    found = ClusterStackState(networks={**FOUND, name: other})
    users = stack_file.network_users(PLAIN, frozenset({name}))

    def run(command: str, **_: str) -> str:
        steps.append(command)
        return PLAIN if command.startswith("cat") else ""

    def part(text: str, names: frozenset[str], _: int) -> dict[str, str]:
        there = {*yaml.safe_load(text)["services"]} & names
        assert there == names
        data = stack_plan.databases(PLAIN) & users
        steps.append("part DATA" if there == data else f"part {' '.join(sorted(there))}")
        return dict.fromkeys(names, "new")

    monkeypatch.setattr(stack, "run", run)
    monkeypatch.setattr(stack, "script", lambda _, *arguments: " ".join(arguments))
    monkeypatch.setattr(stack, "write", lambda path, _: steps.append(f"write {path}"))
    monkeypatch.setattr(cluster_site, "read_stack_again", lambda _: found)
    monkeypatch.setattr(
        cluster_site, "desired_stack", lambda *_: DesiredStack(PLAIN, {}, frozenset())
    )
    monkeypatch.setattr(stack, "roll_out_part", part)
    monkeypatch.setattr(stack, "wait_for_majority", lambda: steps.append("wait for a majority"))
    stack._recreate_networks(site())
    services = " ".join(f"infisical_{each}" for each in sorted(users))
    assert steps == [
        "cat /etc/infisical/stack.yaml",
        f"remove {services} {name}",
        *_STEPS_BY_NETWORK[name],
        "wait for a majority",
        "write /etc/infisical/stack.json",
    ]


_DATABASES, _CONSENSUS = "infisical-databases", "infisical-consensus"


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (Task("redis-2", "id", "running", frozenset({_DATABASES})), ""),
        (Task("caddy", "id", "running", frozenset({"host"})), ""),
        (Task("gone", "id", "paused", frozenset()), ""),
        (Task("redis-2", "id", "paused", frozenset({_DATABASES})), "is paused"),
        (Task("redis-2", "id", "dead", frozenset({_DATABASES})), "is dead"),
        (Task("redis-2", "id", "unready", frozenset({_DATABASES})), "PostgreSQL or Redis"),
        (Task("redis-2", "id", "running", frozenset()), "network databases"),
        (Task("postgres-1", "id", "running", frozenset({_CONSENSUS})), "network databases"),
    ],
)
def test_a_stuck_task_that_swarm_considers_healthy_is_reported(task: Task, reason: str) -> None:
    stuck = stack_file.find_stuck([task], PLAIN)
    assert [*stuck] == ([task] if reason else [])
    assert reason in stuck.get(task, "")


_WITHOUT_NETWORKS = Task("redis-2", "id", "running", frozenset())


def test_a_task_whose_service_was_detached_is_left_to_the_roll_out() -> None:
    """New tasks would be in the same networks, and all of them would stop at once."""
    detached = {"redis-2": frozenset({_CONSENSUS})}
    assert stack_file.find_stuck([_WITHOUT_NETWORKS], PLAIN, detached) == {}
    paused = replace(_WITHOUT_NETWORKS, status="paused")
    assert stack_file.find_stuck([paused], PLAIN, detached) == {paused: "is paused"}
    attached = {"redis-2": frozenset({_DATABASES}), "redis-1": frozenset[str]()}
    stuck = stack_file.find_stuck([_WITHOUT_NETWORKS], PLAIN, attached)
    assert [*stuck] == [_WITHOUT_NETWORKS]
    assert stuck[_WITHOUT_NETWORKS].endswith(" databases")


def test_the_networks_of_services_are_read_from_a_manager() -> None:
    output = "service infisical_redis-2\nservice infisical_haproxy\n"
    output += f"attached infisical_haproxy {EDGE}\nattached infisical_haproxy {_DATABASES}\n"
    assert stack_file.parse_attached(output) == {
        "redis-2": frozenset(),
        "haproxy": frozenset({EDGE, _DATABASES}),
    }
    assert stack_file.parse_attached("") == {}


_SERVICES = """
"network ls"*) printf 'n1 infisical-edge\\nn2 infisical-databases\\n' ;;
"service ls"*) echo s1; echo s2 ;;
"service inspect"*)
    echo "service infisical_haproxy"
    echo "attached infisical_haproxy n1"
    echo "attached infisical_haproxy n2"
    echo "service infisical_infisical"
    echo "attached infisical_infisical gone"
    ;;
"""


@pytest.mark.parametrize("is_worker", [False, True])
def test_a_node_queries_the_networks_of_services_by_name(tmp_path: Path, is_worker: bool) -> None:
    fake_docker(tmp_path, _SERVICES)
    if is_worker:
        (tmp_path / "failing").write_text("service ls\n")
    done = run_with(tmp_path, script("node-tasks", "attached"), check=True)
    found = stack_file.parse_attached(done.stdout)
    haproxy = frozenset({EDGE, _DATABASES})
    assert found == ({} if is_worker else {"haproxy": haproxy, "infisical": frozenset({"gone"})})


def test_the_tasks_of_a_node_are_read_with_their_networks() -> None:
    output = [
        *("task infisical_redis-2 a1 running", f"in a1 {_DATABASES}"),
        *("task infisical_postgres-2 b2 paused", f"in b2 {_CONSENSUS}", f"in b2 {_DATABASES}"),
    ]
    assert NodeTasks().process(output) == (
        Task("redis-2", "a1", "running", frozenset({_DATABASES})),
        Task("postgres-2", "b2", "paused", frozenset({_CONSENSUS, _DATABASES})),
    )


def test_paused_tasks_are_resumed_and_others_re_created_by_swarm(tmp_path: Path) -> None:
    fake_docker(
        tmp_path, 'inspect*" p1") echo paused ;; inspect*) echo running ;; "stop d1") exit 1 ;;'
    )
    (tmp_path / "calls").touch()
    run_with(tmp_path, script("node-tasks", "free", "p1", "r1", "d1"), check=True)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [each for each in calls if "inspect" not in each] == [
        *("docker unpause p1", "docker stop r1", "docker stop d1", "docker rm --force d1"),
    ]


_TASKS = """
ps*status=dead*) ;;
ps*) echo i1 ;;
inspect*)
    echo "task infisical_infisical i1 running 77"
    echo "in i1 infisical-databases"
    echo "task infisical_redis-2 r1 running 78"
    echo "task infisical_redis-2 r0 exited 0"
    echo "in r0 infisical-databases"
    ;;
"""


@pytest.mark.parametrize(
    ("age", "another", "status"),
    [
        (0, True, "running"),
        (300, True, "unready"),
        (300, False, "running"),
        (None, True, "running"),
    ],
)
def test_a_replica_that_lost_its_database_is_found(
    tmp_path: Path, age: int | None, another: bool, status: str
) -> None:
    """A restart helps only if another replica has the database.

    Replicas of older versions do not record when they were ready.
    """
    fake_docker(tmp_path, _TASKS)
    if not another:
        (tmp_path / "failing").write_text("exec\n")
    if age is not None:
        _set_ready(tmp_path, age)
    command = script("node-tasks", "inspect").replace("/proc/", f"{tmp_path}/proc/")
    done = run_with(tmp_path, command, check=True)
    assert done.stdout.splitlines() == [
        f"task infisical_infisical i1 {status}",
        "in i1 infisical-databases",
        "task infisical_redis-2 r1 running",
        "in r0 infisical-databases",
    ]
    assert [each.id for each in NodeTasks().process(done.stdout.splitlines())] == ["i1", "r1"]


def _set_ready(directory: Path, age: int) -> None:
    """Set the age in seconds of the file by which process 77 was ready."""
    file = directory / "proc/77/root/dev/shm/ready"
    file.parent.mkdir(parents=True)
    file.write_text("")
    os.utime(file, (time.time() - age,) * 2)
