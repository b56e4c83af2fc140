"""stack.yaml as it is rendered: hardened, pinned, without any secret, and fit for each cluster."""

import re
from typing import Any

import pytest
import yaml

from infisical_iac.cluster.stack_file import SECRETS, StackInputs, configs, digest, stack_file
from infisical_iac.deploys.stack import compose_file
from infisical_iac.facts.machine import MachineState
from infisical_iac.ingress.paths import FORGEABLE
from infisical_iac.settings import Settings
from tests.unit.settings_of import settings_of

_TRIXIE = MachineState(os="debian", release="13")
_BOOKWORM = MachineState(os="debian", release="12")
_START = ("/docker-entrypoint.sh", "./standalone-entrypoint.sh", "costs $5")
_NUMBERED = ("etcd", "postgres", "redis", "sentinel")


def _settings(**changes: Any) -> Settings:
    return settings_of(**{"topology": "swarm"} | changes)


def _inputs(settings: Settings, **changes: Any) -> StackInputs:
    values: dict[str, Any] = {
        "numbers": (1, 2, 3),
        "existing": frozenset(),
        "generation": 0,
        "nodes": 3,
        "ipvs": True,
        "esp": True,
        "secrets": {purpose: f"{purpose}_{'0' * 12}" for purpose in SECRETS},
        "start": {settings.infisical_reference: _START},
    }
    return StackInputs(**values | changes)


def _render(
    machine: MachineState = _TRIXIE, inputs: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    settings = _settings(**changes)
    text = stack_file(settings, machine, _inputs(settings, **inputs or {}))
    rendered: dict[str, Any] = yaml.safe_load(text)
    return rendered


def test_each_data_node_has_its_own_of_each_database() -> None:
    services = _render()["services"]
    numbered = {f"{name}-{number}" for name in _NUMBERED for number in (1, 2, 3)}
    assert services.keys() == numbered | {"haproxy", "infisical", "caddy"}
    for name in numbered:
        number = name.rpartition("-")[2]
        placement = services[name]["deploy"]["placement"]
        assert placement == {"constraints": [f"node.labels.infisical.node == {number}"]}
        assert services[name]["deploy"]["endpoint_mode"] == "dnsrr"


def test_every_service_is_hardened_and_limited() -> None:
    for name, service in _render()["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "caddy" else [])
        assert service["read_only"] is True, name
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
        limits = service["deploy"]["resources"]["limits"]
        assert limits["pids"] > 0, name
        assert re.fullmatch(r"\d+M", limits["memory"]), name
        assert service["deploy"]["restart_policy"]["condition"] == "any"


def test_what_swarm_passes_over_is_not_written() -> None:
    ignored = {"security_opt", "mem_limit", "pids_limit", "shm_size", "restart", "depends_on"}
    for service in _render()["services"].values():
        assert service.keys().isdisjoint(ignored)


def test_only_http_is_published_and_not_by_the_routing_mesh() -> None:
    services = _render(http_port=9000)["services"]
    published = {"target": 8080, "published": 9000, "protocol": "tcp", "mode": "host"}
    assert {name: each["ports"] for name, each in services.items() if "ports" in each} == {
        "haproxy": [published]
    }


def test_the_databases_have_no_way_out_and_the_consensus_is_apart() -> None:
    rendered = _render()
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
def test_networks_between_hosts_are_encrypted_where_every_kernel_can(esp: bool) -> None:
    networks = _render(inputs={"esp": esp})["networks"]
    assert networks.pop("host") == {"external": True, "name": "host"}
    assert len(networks) == 3
    assert {"encrypted" in each["driver_opts"] for each in networks.values()} == {esp}


@pytest.mark.parametrize(("ipvs", "mode"), [(True, "vip"), (False, "dnsrr")])
def test_a_service_of_many_has_one_address_where_every_kernel_has_ipvs(
    ipvs: bool, mode: str
) -> None:
    services = _render(inputs={"ipvs": ipvs})["services"]
    assert services["haproxy"]["deploy"]["endpoint_mode"] == mode
    assert services["infisical"]["deploy"]["endpoint_mode"] == mode


@pytest.mark.parametrize(
    ("replicas", "nodes", "spread", "order"),
    [(3, 3, True, "stop-first"), (3, 5, True, "start-first"), (4, 3, False, "stop-first")],
)
def test_replicas_are_spread_and_updated_as_there_is_room(
    replicas: int, nodes: int, spread: bool, order: str
) -> None:
    service = _render(inputs={"nodes": nodes}, infisical_replicas=replicas)["services"]["infisical"]
    deploy = service["deploy"]
    assert deploy["replicas"] == replicas
    assert ("placement" in deploy) == spread
    assert deploy["update_config"]["order"] == deploy["rollback_config"]["order"] == order
    assert deploy["update_config"]["parallelism"] == 1
    assert deploy["update_config"]["failure_action"] == "rollback"


def test_a_replaced_node_joins_the_consensus_that_is_there() -> None:
    services = _render(inputs={"existing": frozenset({2})})["services"]
    for number, state in ((1, "new"), (2, "existing"), (3, "new")):
        assert f"--initial-cluster-state={state}" in services[f"etcd-{number}"]["command"]


@pytest.mark.parametrize(("generation", "token"), [(0, "infisical"), (2, "infisical-2")])
def test_an_etcd_that_began_anew_is_another_one(generation: int, token: str) -> None:
    services = _render(inputs={"generation": generation})["services"]
    for number in (1, 2, 3):
        assert f"--initial-cluster-token={token}" in services[f"etcd-{number}"]["command"]


def test_infisical_is_started_by_what_its_image_would_start() -> None:
    service = _render()["services"]["infisical"]
    assert service["command"] == [each.replace("$", "$$") for each in _START]
    script = service["entrypoint"][2]
    assert 'exec "$$@"' in script
    assert "postgres://infisical:$$POSTGRES_PASSWORD@haproxy:5432/infisical" in script


def test_infisical_gets_what_it_gets_on_a_single_host() -> None:
    settings = _settings()
    single = yaml.safe_load(compose_file(settings, _TRIXIE))["services"]["infisical"]
    cluster = _render()["services"]["infisical"]
    secret = {"ENCRYPTION_KEY", "AUTH_SECRET", "DB_CONNECTION_URI", "REDIS_URL"}
    own = {"REDIS_SENTINEL_HOSTS", "REDIS_SENTINEL_MASTER_NAME"}
    assert single["environment"].keys() - cluster["environment"].keys() == secret
    assert cluster["environment"].keys() - single["environment"].keys() == own
    same = single["environment"].keys() - secret - {"TRUSTED_PROXY_CIDRS"}
    assert all(single["environment"][key] == cluster["environment"][key] for key in same)
    trusted = cluster["environment"]["TRUSTED_PROXY_CIDRS"]
    edge = _render()["networks"]["edge"]["ipam"]["config"][0]["subnet"]
    assert trusted == f"{single['environment']['TRUSTED_PROXY_CIDRS']},{edge}"
    assert cluster["healthcheck"]["test"] == single["healthcheck"]["test"]


def test_a_database_may_be_away_for_two_minutes() -> None:
    for machine in (_TRIXIE, _BOOKWORM):
        for name, service in _render(machine)["services"].items():
            if name.startswith("etcd"):
                assert "healthcheck" not in service
            else:
                check = service["healthcheck"]
                assert int(check["interval"][:-1]) * check["retries"] == 120, name


def test_an_older_engine_is_not_given_what_it_does_not_know() -> None:
    new, old = _render(_TRIXIE), _render(_BOOKWORM)
    assert (new["version"], old["version"]) == ("3.12", "3.9")
    assert "start_interval" in new["services"]["redis-1"]["healthcheck"]
    assert "start_interval" not in yaml.safe_dump(old)


def test_no_secret_is_named_but_by_its_place() -> None:
    rendered = _render()
    assert rendered["secrets"] == {
        purpose: {"external": True, "name": f"{purpose}_{'0' * 12}"} for purpose in SECRETS
    }
    used = {
        each["source"] for one in rendered["services"].values() for each in one.get("secrets", [])
    }
    assert used == set(SECRETS)
    assert "PASSWORD:" not in yaml.safe_dump(
        {n: s.get("environment") for n, s in rendered["services"].items()}
    )


def test_configurations_are_named_by_their_content() -> None:
    settings = _settings()
    found = configs(settings, _inputs(settings))
    assert all(name.endswith(f"_{digest(text)}") for name, text in found.items())
    rendered = _render()
    assert {each["name"] for each in rendered["configs"].values()} == found.keys()
    assert all(each["file"] == f"./stack/{each['name']}" for each in rendered["configs"].values())
    mounted = {
        each["source"] for one in rendered["services"].values() for each in one.get("configs", [])
    }
    assert mounted == rendered["configs"].keys()


def test_a_setting_that_changes_a_configuration_changes_its_name_alone() -> None:
    before, after = _settings(redis_memory="256m"), _settings(redis_memory="512m")
    old, new = configs(before, _inputs(before)), configs(after, _inputs(after))
    assert {name.rpartition("_")[0] for name in old.keys() ^ new.keys()} == {"redis_sh"}


def test_postgresql_loses_nothing_that_was_acknowledged() -> None:
    settings = _settings()
    found = configs(settings, _inputs(settings))
    text = next(text for name, text in found.items() if name.startswith("patroni_yml"))
    patroni = yaml.safe_load(text)
    dcs = patroni["bootstrap"]["dcs"]
    assert dcs["synchronous_mode"] is dcs["synchronous_mode_strict"] is True
    # What Patroni asks for, so that the leader gives up before another one takes over.
    assert dcs["loop_wait"] + 2 * dcs["retry_timeout"] <= dcs["ttl"]
    assert patroni["etcd3"]["hosts"] == ["etcd-1:2379", "etcd-2:2379", "etcd-3:2379"]
    assert "password" not in {
        key for each in patroni["postgresql"]["authentication"].values() for key in each
    }


def test_the_proxy_follows_the_primary_and_asks_infisical() -> None:
    settings = _settings(infisical_replicas=5)
    found = configs(settings, _inputs(settings))
    text = next(text for name, text in found.items() if name.startswith("haproxy_cfg"))
    assert [line for line in text.splitlines() if line.strip().startswith("server postgres")] == [
        f"    server postgres-{number} postgres-{number}:5432 check" for number in (1, 2, 3)
    ]
    assert "on-marked-down shutdown-sessions" in text
    assert "server-template infisical 6 tasks.infisical:8080 check" in text


def test_the_balancers_word_on_a_callers_address_counts_and_no_callers_own() -> None:
    services = _render(edge="load-balancer", ingress="none")["services"]
    trusted = services["infisical"]["environment"]["TRUSTED_PROXY_CIDRS"].split(",")
    assert "10.42.0.254/32" in trusted
    settings = _settings(edge="load-balancer", ingress="none")
    texts = configs(settings, _inputs(settings))
    (haproxy,) = (text for name, text in texts.items() if name.startswith("haproxy_cfg_"))
    for header in FORGEABLE:
        assert f"    http-request del-header {header}\n" in haproxy
