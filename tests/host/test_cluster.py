"""What several hosts are together: a quorum, roles, copies of each write, and no way in between."""

import hashlib
from typing import Any

import pytest

from infisical_iac.cluster.settings import DATA_NODES
from infisical_iac.settings import Settings
from tests.host import cluster
from tests.host.cluster import Node
from tests.host.connection import Connection
from tests.host.secrecy import Secret, lines_holding
from tests.host.stored import confidential
from tests.host.target import Target

_SQL = "psql --username=infisical --dbname=postgres --tuples-only --no-align --command='{}'"
_DATA = ("etcd", "postgres", "redis", "sentinel")
# Of etcd, PostgreSQL, Patroni, Redis and Sentinel: for the overlay networks alone.
_INNER = (2379, 2380, 5432, 8008, 6379, 26379)
_WAL_BYTES = 16 * 1024**2


@pytest.fixture(scope="session")
def nodes(connections: dict[str, Connection]) -> list[Node]:
    """All that can be reached."""
    return cluster.nodes(connections)


@pytest.fixture(scope="session")
def data_nodes(nodes: list[Node]) -> list[Node]:
    return [node for node in nodes if node.seen.control and node.member.number]


@pytest.fixture(scope="session")
def manager(data_nodes: list[Node]) -> Node:
    assert data_nodes, "no manager can be reached that has a majority"
    return data_nodes[0]


@pytest.fixture(scope="session")
def services(manager: Node) -> dict[str, dict[str, Any]]:
    return cluster.services(manager)


@pytest.fixture(scope="session")
def tasks(manager: Node) -> dict[str, list[tuple[str, str]]]:
    return cluster.tasks(manager)


@pytest.fixture(scope="session")
def postgres(data_nodes: list[Node]) -> dict[str, str]:
    """`f` of a primary, `t` of a standby, by the node's name."""
    return {
        node.name: node.inside("postgres", _SQL.format("SELECT pg_is_in_recovery()"))
        for node in data_nodes
    }


@pytest.fixture(scope="session")
def primary(data_nodes: list[Node], postgres: dict[str, str]) -> Node:
    return next(node for node in data_nodes if postgres[node.name] == "f")


@pytest.fixture(scope="session")
def replication(primary: Node) -> list[list[str]]:
    """Of each standby: its state, whether it is synchronous, and how many bytes it is behind."""
    query = (
        "SELECT state, sync_state, pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint "
        "FROM pg_stat_replication"
    )
    return [line.split("|") for line in primary.inside("postgres", _SQL.format(query)).split()]


@pytest.fixture(scope="session")
def redis_login(secrets: dict[str, Secret]) -> str:
    """What is given on standard input to log in to Redis and to the sentinels."""
    return f"{secrets['keys: redis_password'].reveal()}\n"


def _redis(node: Node, service: str, login: str, command: str) -> list[str]:
    asked = f"sh -c 'IFS= read -r REDISCLI_AUTH; export REDISCLI_AUTH; redis-cli {command}'"
    return node.inside(service, asked, login).split()


def test_every_host_of_the_inventory_can_be_reached(
    targets: list[Target], nodes: list[Node]
) -> None:
    assert {each.name for each in targets} - {each.name for each in nodes} == set()


def test_every_node_is_ready_and_may_be_given_work(targets: list[Target], manager: Node) -> None:
    members = manager.seen.members
    assert [each.host or each.hostname for each in members if each.down] == []
    assert [each.host or each.hostname for each in members if not each.active] == []
    assert sorted(each.host for each in members) == sorted(each.name for each in targets)


def test_three_nodes_rule_the_swarm_and_one_of_them_leads(manager: Node) -> None:
    managers = [each for each in manager.seen.members if each.manager]
    assert len(managers) == DATA_NODES
    assert sum(each.leader for each in managers) == 1


def test_each_data_node_has_its_number(manager: Node) -> None:
    numbers = sorted(each.number for each in manager.seen.members if each.manager)
    assert numbers == list(range(1, DATA_NODES + 1))
    assert {each.number for each in manager.seen.members if not each.manager} <= {0}


def test_a_managers_keys_are_locked_and_the_key_on_each_opens_them(data_nodes: list[Node]) -> None:
    assert {node.name: node.seen.autolock for node in data_nodes if not node.seen.autolock} == {}
    assert {node.name: node.seen.unlocks for node in data_nodes if not node.seen.unlocks} == {}


def test_all_nodes_have_the_same_state(nodes: list[Node]) -> None:
    assert len({node.seen.digest for node in nodes}) == 1
    assert len({node.seen.serial for node in nodes}) == 1


def test_the_stack_has_these_services_and_no_other(
    settings: Settings, services: dict[str, dict[str, Any]]
) -> None:
    numbered = {f"{each}-{number}" for each in _DATA for number in range(1, DATA_NODES + 1)}
    caddy = {"caddy"} if settings.ingress == "caddy" else set()
    assert set(services) == {"infisical", "haproxy", *numbered, *caddy}


def test_each_service_runs_as_often_as_it_should(
    settings: Settings,
    targets: list[Target],
    services: dict[str, dict[str, Any]],
    tasks: dict[str, list[tuple[str, str]]],
) -> None:
    wanted = dict.fromkeys(services, 1) | {"infisical": settings.infisical_replicas}
    wanted |= {each: len(targets) for each in ("haproxy", "caddy") if each in services}
    running = {
        name: sum(state == "running" for _, state in tasks.get(name, [])) for name in services
    }
    assert running == wanted


def test_the_replicas_of_infisical_are_spread(
    settings: Settings, targets: list[Target], tasks: dict[str, list[tuple[str, str]]]
) -> None:
    where = {node for node, _ in tasks["infisical"]}
    assert len(where) == min(settings.infisical_replicas, len(targets))


@pytest.mark.parametrize("service", _DATA)
def test_what_keeps_data_is_on_a_node_of_its_own(
    tasks: dict[str, list[tuple[str, str]]], service: str
) -> None:
    where = [tasks[f"{service}-{number}"][0][0] for number in range(1, DATA_NODES + 1)]
    assert len(set(where)) == DATA_NODES


def test_a_new_version_that_is_never_well_is_taken_back(
    services: dict[str, dict[str, Any]],
) -> None:
    update = services["infisical"]["Spec"]["UpdateConfig"]
    assert (update["Parallelism"], update["FailureAction"]) == (1, "rollback")
    assert services["infisical"].get("UpdateStatus", {}).get("State") in (None, "completed")


def test_etcd_has_three_members_and_all_are_well(data_nodes: list[Node]) -> None:
    well = "etcdctl endpoint health >/dev/null 2>&1 && echo well"
    health = {node.name: node.inside("etcd", well) for node in data_nodes}
    assert set(health.values()) == {"well"}, health
    listed = data_nodes[0].inside("etcd", "etcdctl member list").splitlines()
    assert [line.split(", ")[1] for line in listed] == ["started"] * DATA_NODES


def test_one_database_is_the_primary_and_two_follow(postgres: dict[str, str]) -> None:
    assert sorted(postgres.values()) == ["f", "t", "t"], postgres


def test_each_write_is_on_two_nodes_before_it_is_acknowledged(
    primary: Node, replication: list[list[str]]
) -> None:
    assert [sync for _, sync, _ in replication if sync in ("sync", "quorum")] != []
    commit = primary.inside("postgres", _SQL.format("SHOW synchronous_commit"))
    assert commit in ("on", "remote_apply")
    assert primary.inside("postgres", _SQL.format("SHOW synchronous_standby_names")) != ""


def test_both_standbys_keep_up(replication: list[list[str]]) -> None:
    assert [state for state, _, _ in replication] == ["streaming"] * (DATA_NODES - 1)
    assert max(int(behind) for _, _, behind in replication) < _WAL_BYTES


def test_one_redis_is_the_master_and_two_copy_it(data_nodes: list[Node], redis_login: str) -> None:
    roles = {node.name: _redis(node, "redis", redis_login, "role") for node in data_nodes}
    assert sorted(role[0] for role in roles.values()) == ["master", "slave", "slave"]
    assert [role[3] for role in roles.values() if role[0] == "slave"] == ["connected"] * 2


def test_the_sentinels_agree_and_are_enough_to_decide(
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
    assert [told for told in enough.values() if not told.startswith("OK 3 usable")] == []


@pytest.mark.parametrize("network", ["consensus", "databases", "edge"])
def test_what_the_nodes_tell_each_other_is_encrypted_where_the_kernels_can(
    nodes: list[Node], manager: Node, network: str
) -> None:
    options = manager.run(
        f"docker network inspect --format '{{{{ json .Options }}}}' infisical_{network}"
    )
    assert ('"encrypted"' in options) is all(node.seen.esp for node in nodes)


def test_nothing_is_published_but_the_proxy_and_that_on_its_own_node(
    settings: Settings, services: dict[str, dict[str, Any]]
) -> None:
    published = {
        name: [
            (port["PublishedPort"], port["TargetPort"], port["PublishMode"])
            for port in each["Spec"].get("EndpointSpec", {}).get("Ports", [])
        ]
        for name, each in services.items()
    }
    assert {name: ports for name, ports in published.items() if ports} == {
        "haproxy": [(settings.http_port, 8080, "host")]
    }


def test_each_node_answers_for_infisical(settings: Settings, nodes: list[Node]) -> None:
    asked = (
        "curl --silent --max-time 10 --output /dev/null --write-out '%{http_code}' "
        f"http://127.0.0.1:{settings.http_port}/api/status"
    )
    assert {node.name: node.run(asked) for node in nodes} == {node.name: "200" for node in nodes}


def test_no_node_lets_another_one_in_for_more_than_the_swarm(
    settings: Settings, nodes: list[Node]
) -> None:
    ports = (settings.http_port, *_INNER)
    reached = [
        f"{port} of {other.name} from {node.name}"
        for node in nodes
        for other in nodes
        for port in (node.run(_open(other.seen.advertised, ports)).split() if node != other else ())
    ]
    assert reached == []


def _open(address: str, ports: tuple[int, ...]) -> str:
    """A command that prints those of the ports that can be connected to."""
    each = " ".join(map(str, ports))
    return (
        f"for port in {each}; do (timeout 2 bash -c "
        f'": </dev/tcp/{address}/$port" && echo $port) 2>/dev/null & done; wait'
    )


@pytest.mark.parametrize("kind", ["secret", "config"])
def test_the_swarm_keeps_no_other_secret_and_config_than_those_in_use(
    manager: Node, services: dict[str, dict[str, Any]], kind: str
) -> None:
    used = {
        each[f"{kind.capitalize()}Name"]
        for service in services.values()
        for each in service["Spec"]["TaskTemplate"]["ContainerSpec"].get(f"{kind.capitalize()}s")
        or ()
    }
    kept = manager.run(f"docker {kind} ls --format '{{{{ .Name }}}}'").split()
    assert sorted(kept) == sorted(used)


def test_a_config_is_named_after_what_is_in_it(manager: Node) -> None:
    names = manager.run("docker config ls --format '{{ .Name }}'").split()
    assert names
    for name in names:
        text = manager.connection.quietly(
            f"docker config inspect --format '{{{{ printf \"%s\" .Spec.Data }}}}' {name}"
        ).removesuffix("\n")
        assert name.endswith(hashlib.sha256(text.encode()).hexdigest()[:12]), name


def test_what_the_swarm_shows_of_services_and_configs_holds_no_secret(
    manager: Node, secrets: dict[str, Secret]
) -> None:
    hidden = confidential(secrets)
    assert hidden
    text = "docker config inspect --format '{{ printf \"%s\" .Spec.Data }}'"
    for command in (
        "docker service ls --quiet | xargs docker service inspect",
        f"docker config ls --quiet | xargs {text}",
    ):
        assert lines_holding(hidden, manager.connection, command) == 0, command
