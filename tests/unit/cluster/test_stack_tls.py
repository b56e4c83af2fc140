"""Test the protocols of a cluster's services at each TLS level."""

import re
from typing import Any

import pytest
import yaml

from infisical_iac.cluster.stack_file import SECRETS, configs
from infisical_iac.cluster.stack_plan import Level
from tests.unit.rendered_stack import render, stack_inputs, swarm_settings

_LEVELS = (Level.OFFERED, Level.USED, Level.REQUIRED)


def _services(level: Level) -> dict[str, Any]:
    found: dict[str, Any] = render(inputs={"tls": level})["services"]
    return found


def _config(name: str, level: Level) -> str:
    settings = swarm_settings()
    found = configs(settings, stack_inputs(settings, tls=level))
    return next(text for each, text in found.items() if each.startswith(name))


def _etcd(level: Level) -> dict[str, str]:
    command = _services(level)["etcd-1"]["command"]
    pairs = [each.removeprefix("--").partition("=") for each in command[1:]]
    return {name: value for name, _, value in pairs}


@pytest.mark.parametrize("level", _LEVELS)
def test_each_service_has_its_level_as_a_label(level: Level) -> None:
    for name, service in _services(level).items():
        labels = service["deploy"].get("labels", {})
        assert labels == ({} if name == "caddy" else {"infisical.tls": str(int(level))})


@pytest.mark.parametrize("level", _LEVELS)
def test_each_database_has_its_own_certificate_of_one_authority(
    level: Level,
) -> None:
    for name, service in _services(level).items():
        sources = {each["source"] for each in service.get("secrets", ())}
        own = {source for source in sources if source.startswith("tls_")} - {"tls_ca"}
        assert own == ({f"tls_{name}"} if name[-1].isdigit() else set())
        assert ("tls_ca" in sources) == (name != "caddy")


def test_the_key_of_etcd_is_readable_only_by_root() -> None:
    [own] = [each for each in _services(Level.REQUIRED)["etcd-1"]["secrets"] if "mode" in each]
    assert own == {"source": "tls_etcd-1", "target": "tls.pem", "mode": 0o400}


def test_a_secret_is_made_of_each_file_of_a_certificate() -> None:
    files = {purpose: keys for purpose, keys in SECRETS.items() if purpose.startswith("tls_")}
    assert files["tls_ca"] == ("tls/ca.crt",)
    assert files["tls_redis-3"] == ("tls/redis-3.pem",)
    assert len(files) == 1 + 4 * 3


def test_etcd_listens_with_and_without_tls_before_it_requires_tls() -> None:
    plain = {level: re.findall("http://[^,]*", str(_etcd(level))) for level in _LEVELS}
    assert plain[Level.REQUIRED] == []
    for level in (Level.OFFERED, Level.USED):
        found = _etcd(level)
        assert found["listen-client-urls"] == "http://0.0.0.0:2379,https://0.0.0.0:2381"
        assert found["listen-peer-urls"] == "http://0.0.0.0:2380,https://0.0.0.0:2382"
    required = _etcd(Level.REQUIRED)
    assert required["listen-client-urls"] == "https://0.0.0.0:2381"
    assert required["listen-peer-urls"] == "https://0.0.0.0:2382"


def test_etcd_accepts_only_certified_clients_and_its_own_members() -> None:
    found = _etcd(Level.REQUIRED)
    assert {"client-cert-auth", "peer-client-cert-auth"} <= found.keys()
    assert found["peer-cert-allowed-cn"] == "etcd"
    assert found["trusted-ca-file"] == found["peer-trusted-ca-file"] == "/run/secrets/ca.crt"


def test_a_new_member_gets_the_addresses_of_the_others() -> None:
    """The addresses change between the first level and the second one."""
    assert "etcd-2=http://etcd-2:2380" in _etcd(Level.OFFERED)["initial-cluster"]
    for level in (Level.USED, Level.REQUIRED):
        assert "etcd-2=https://etcd-2:2382" in _etcd(level)["initial-cluster"]


def test_infisical_uses_tls_once_all_servers_offer_it() -> None:
    before, after = _services(Level.OFFERED)["infisical"], _services(Level.USED)["infisical"]
    assert "REDIS_SENTINEL_HOSTS" in before["environment"]
    assert "sslmode" not in before["entrypoint"][2]
    # With this variable, Infisical would speak to the sentinels without TLS.
    assert "REDIS_SENTINEL_HOSTS" not in after["environment"]
    assert after["environment"]["NODE_EXTRA_CA_CERTS"] == "/run/secrets/ca.crt"
    assert "sslmode=verify-full" in after["entrypoint"][2]
    assert "rediss://" in after["entrypoint"][2]


def test_postgresql_accepts_only_tls_from_the_network_at_the_last_level() -> None:
    rules = {
        level: yaml.safe_load(_config("patroni_yml", level))["postgresql"]["pg_hba"]
        for level in _LEVELS
    }
    assert rules[Level.OFFERED] == rules[Level.USED]
    assert rules[Level.REQUIRED] == [
        "local all all trust",
        "host all all 127.0.0.1/32 trust",
        "hostssl replication replicator all scram-sha-256",
        "hostssl all all all scram-sha-256",
    ]


def test_patroni_verifies_postgresql_etcd_and_the_other_patronis() -> None:
    patroni = yaml.safe_load(_config("patroni_yml", Level.REQUIRED))
    for each in patroni["postgresql"]["authentication"].values():
        assert (each["sslmode"], each["sslrootcert"]) == ("verify-full", "/run/secrets/ca.crt")
    assert patroni["etcd3"]["protocol"] == "https"
    assert patroni["etcd3"]["cacert"] == patroni["ctl"]["cacert"] == "/run/secrets/ca.crt"
    assert patroni["restapi"]["certfile"] == patroni["ctl"]["certfile"] == "/tmp/tls.pem"
    assert patroni["postgresql"]["parameters"]["ssl"] == "on"


def test_the_proxy_checks_plain_and_tls_servers_until_tls_is_required() -> None:
    """HAProxy resolves the second server of an address only with an explicit option."""
    for level in _LEVELS:
        text = _config("haproxy_cfg", level)
        both = level < Level.REQUIRED
        assert ("resolve-opts allow-dup-ip" in text) == both
        assert ("server plain-1 postgres-1:5432 check\n" in text) == both
        assert ("redis-1:6380 check" in text) == both
        assert "redis-1:6379 check verifyhost redis-1" in text
