"""Test that the services and networks of stack.yaml are hardened and fit each cluster."""

import re

import pytest
import yaml

from infisical_iac.cluster.stack import TOLERATED
from infisical_iac.host.docker import DAEMON
from infisical_iac.stack.compose import compose_file
from tests.unit.rendered_stack import BOOKWORM, START, TRIXIE, render, swarm_settings

_NUMBERED = ("etcd", "postgres", "redis", "sentinel")


def test_each_data_node_has_its_own_database_services() -> None:
    services = render()["services"]
    numbered = {f"{name}-{number}" for name in _NUMBERED for number in (1, 2, 3)}
    assert services.keys() == numbered | {"haproxy", "infisical", "caddy"}
    for name in numbered:
        number = name.rpartition("-")[2]
        placement = services[name]["deploy"]["placement"]
        assert placement == {"constraints": [f"node.labels.infisical.node == {number}"]}
        assert services[name]["deploy"]["endpoint_mode"] == "dnsrr"


def test_every_service_is_hardened_and_limited() -> None:
    for name, service in render()["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "caddy" else [])
        assert service["read_only"] is True, name
        logging = service["logging"]
        assert logging == {"driver": DAEMON["log-driver"], "options": DAEMON["log-opts"]}
        limits = service["deploy"]["resources"]["limits"]
        assert limits["pids"] > 0, name
        assert re.fullmatch(r"\d+M", limits["memory"]), name
        assert service["deploy"]["restart_policy"]["condition"] == "any"


def test_keys_that_swarm_ignores_are_not_written() -> None:
    ignored = {"security_opt", "mem_limit", "pids_limit", "shm_size", "restart", "depends_on"}
    for service in render()["services"].values():
        assert service.keys().isdisjoint(ignored)


def test_only_http_is_published_and_not_by_the_routing_mesh() -> None:
    services = render(http_port=9000)["services"]
    published = {"target": 8080, "published": 9000, "protocol": "tcp", "mode": "host"}
    assert {name: each["ports"] for name, each in services.items() if "ports" in each} == {
        "haproxy": [published]
    }


def test_the_networks_of_databases_and_consensus_are_internal_and_separate() -> None:
    rendered = render()
    networks = rendered["networks"]
    assert {name for name, each in networks.items() if each.get("internal")} == {
        "consensus",
        "databases",
    }
    inside = [
        name for name, each in rendered["services"].items() if "consensus" in each["networks"]
    ]
    assert inside == [f"{name}-{number}" for number in (1, 2, 3) for name in ("etcd", "postgres")]


@pytest.mark.parametrize("esp", [True, False])
def test_networks_between_hosts_are_encrypted_if_every_kernel_has_esp(esp: bool) -> None:
    networks = render(inputs={"esp": esp})["networks"]
    assert networks.pop("host") == {"external": True, "name": "host"}
    assert len(networks) == 3
    assert {"encrypted" in each["driver_opts"] for each in networks.values()} == {esp}


@pytest.mark.parametrize(("ipvs", "mode"), [(True, "vip"), (False, "dnsrr")])
def test_replicated_services_have_a_virtual_address_if_every_kernel_has_ipvs(
    ipvs: bool, mode: str
) -> None:
    services = render(inputs={"ipvs": ipvs})["services"]
    assert services["haproxy"]["deploy"]["endpoint_mode"] == mode
    assert services["infisical"]["deploy"]["endpoint_mode"] == mode


@pytest.mark.parametrize(
    ("replicas", "nodes", "spread", "order"),
    [(3, 3, True, "stop-first"), (3, 5, True, "start-first"), (4, 3, False, "stop-first")],
)
def test_replicas_are_spread_and_updated_according_to_the_number_of_nodes(
    replicas: int, nodes: int, spread: bool, order: str
) -> None:
    service = render(inputs={"nodes": nodes}, infisical_replicas=replicas)["services"]["infisical"]
    deploy = service["deploy"]
    assert deploy["replicas"] == replicas
    assert ("placement" in deploy) == spread
    assert deploy["update_config"]["order"] == deploy["rollback_config"]["order"] == order
    assert deploy["update_config"]["parallelism"] == 1
    assert deploy["update_config"]["failure_action"] == "rollback"


def test_a_replaced_node_joins_the_existing_etcd() -> None:
    services = render(inputs={"existing": frozenset({2})})["services"]
    for number, state in ((1, "new"), (2, "existing"), (3, "new")):
        assert f"--initial-cluster-state={state}" in services[f"etcd-{number}"]["command"]


@pytest.mark.parametrize(("generation", "token"), [(0, "infisical"), (2, "infisical-2")])
def test_a_reset_etcd_has_another_cluster_token(generation: int, token: str) -> None:
    services = render(inputs={"generation": generation})["services"]
    for number in (1, 2, 3):
        assert f"--initial-cluster-token={token}" in services[f"etcd-{number}"]["command"]


def test_infisical_is_started_by_the_command_of_its_image() -> None:
    service = render()["services"]["infisical"]
    assert service["command"] == [each.replace("$", "$$") for each in START]
    script = service["entrypoint"][2]
    assert 'exec "$$@"' in script
    assert "postgres://infisical:$$POSTGRES_PASSWORD@haproxy:5432/infisical" in script
    assert "DB_CONNECTION_URI=$$DB_CONNECTION_URI?sslmode=verify-full" in script
    assert "REDIS_URL=rediss://:$$REDIS_PASSWORD@haproxy:6379" in script


def test_every_image_keeps_its_tag_and_its_digest() -> None:
    digest = f"sha256:{'a' * 64}"
    names = {
        "postgres": "ghcr.io/zalando/spilo-17:4.0-p3",
        "etcd": "gcr.io/etcd-development/etcd:v3.5.21",
        "redis": "redis:8.2.10",
        "sentinel": "redis:8.2.10",
        "haproxy": "haproxy:3.2.25",
        "infisical": "infisical/infisical:v0.165.16",
        "caddy": "caddy:2.11.7",
    }
    services = render(
        patroni_image=f"{names['postgres']}@{digest}",
        etcd_image=f"{names['etcd']}@{digest}",
        redis_image=f"{names['redis']}@{digest}",
        haproxy_image=f"{names['haproxy']}@{digest}",
        infisical_version=f"v0.165.16@{digest}",
        caddy_image=f"{names['caddy']}@{digest}",
    )["services"]
    for name, service in services.items():
        assert service["image"] == f"{names[name.partition('-')[0]]}@{digest}", name


def test_infisical_has_the_environment_of_a_single_host() -> None:
    settings = swarm_settings()
    single = yaml.safe_load(compose_file(settings, TRIXIE))["services"]["infisical"]
    cluster = render()["services"]["infisical"]
    secret = {"ENCRYPTION_KEY", "AUTH_SECRET", "DB_CONNECTION_URI", "REDIS_URL"}
    own = {"NODE_EXTRA_CA_CERTS"}
    assert single["environment"].keys() - cluster["environment"].keys() == secret
    assert cluster["environment"].keys() - single["environment"].keys() == own
    same = single["environment"].keys() - secret - {"TRUSTED_PROXY_CIDRS", "NODE_OPTIONS"}
    assert all(single["environment"][key] == cluster["environment"][key] for key in same)
    trusted = cluster["environment"]["TRUSTED_PROXY_CIDRS"]
    edge = render()["networks"]["edge"]["ipam"]["config"][0]["subnet"]
    assert trusted == f"{single['environment']['TRUSTED_PROXY_CIDRS']},{edge}"


def test_a_dead_connection_is_closed_within_half_a_minute() -> None:
    """A dead connection may hold a lock in PostgreSQL, or one of Infisical's ten connections."""
    services = render()["services"]
    for name in ("infisical", "haproxy", *(f"{each}-1" for each in _NUMBERED)):
        sysctls = {key: int(value) for key, value in services[name]["sysctls"].items()}
        idle, interval, probes = (
            sysctls[f"net.ipv4.tcp_keepalive_{each}"] for each in ("time", "intvl", "probes")
        )
        assert idle + interval * probes == 25, name
    # Only Infisical's PostgreSQL client does not enable keep-alives by itself.
    infisical = services["infisical"]
    assert infisical["environment"]["NODE_OPTIONS"].endswith(" --require=/keepalive.cjs")
    assert infisical["configs"] == [{"source": "keepalive_cjs", "target": "/keepalive.cjs"}]


def test_a_new_replica_must_become_ready_and_then_only_answer() -> None:
    """Swarm restarts unhealthy tasks, and a restart repairs no database."""
    single = yaml.safe_load(compose_file(swarm_settings(), TRIXIE))["services"]["infisical"]
    _, ready = single["healthcheck"]["test"]
    _, cluster = render()["services"]["infisical"]["healthcheck"]["test"]
    assert cluster == (
        f"if {ready} ; then : >/dev/shm/ready; else test -e /dev/shm/ready && "
        "curl --noproxy '*' --silent --output /dev/null --max-time 4 "
        "http://127.0.0.1:8080/runtime-ui-env.js; fi"
    )


# Three times the failover-timeout of sentinel.sh.
_FAILOVER_SECONDS = 60


def test_no_service_is_restarted_before_a_failover_can_have_ended() -> None:
    for machine in (TRIXIE, BOOKWORM):
        for name, service in render(machine)["services"].items():
            if name.startswith("etcd"):
                assert "healthcheck" not in service
            else:
                check = service["healthcheck"]
                patience = {"infisical": 180, "sentinel": _FAILOVER_SECONDS}
                expected = patience.get(name.partition("-")[0], 120)
                assert int(check["interval"][:-1]) * check["retries"] == expected, name
    assert TOLERATED == 2 * 180


def test_an_older_engine_gets_no_unknown_keys() -> None:
    new, old = render(TRIXIE), render(BOOKWORM)
    assert (new["version"], old["version"]) == ("3.12", "3.9")
    assert "start_interval" in new["services"]["redis-1"]["healthcheck"]
    assert "start_interval" not in yaml.safe_dump(old)
