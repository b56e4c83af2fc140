"""Test what `monitoring_listen` serves: to whom, by which units, and with which logins."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from infisical_iac.core.errors import SettingsError
from infisical_iac.core.settings import Settings
from infisical_iac.host.firewall import ruleset
from infisical_iac.host.model import MachineState
from infisical_iac.host.openings import Opening, openings, refuse_unenforced
from infisical_iac.host.site import Known, Site
from infisical_iac.monitoring import deploy
from infisical_iac.monitoring.exporters import metrics_files
from infisical_iac.stack.compose import compose_file
from infisical_iac.stack.ingress import caddyfile
from infisical_iac.stack.keys import more_of
from tests.unit import clusters
from tests.unit.settings_of import settings_of

_LISTEN = {"address": "10.0.0.2", "networks": ("10.0.0.0/24",)}
_LOCAL = {"address": "127.0.0.1"}
_NODE, _POSTGRES, _REDIS = (
    f"prometheus-{each}-exporter.service" for each in ("node", "postgres", "redis")
)
_PASSWORDS = ("metrics_postgres_password", "metrics_redis_password")


def _settings(listen: dict[str, Any] | None = _LISTEN, **changes: Any) -> Settings:
    return settings_of(monitoring="on", monitoring_listen=listen, **changes)


def _units(settings: Settings) -> dict[str, str]:
    known = Known(settings, MachineState(), Site(settings))
    return {each.path.rpartition("/")[2]: each.content for each in metrics_files(known)}


def _services(settings: Settings, *, drill: bool = False) -> Any:
    return yaml.safe_load(compose_file(settings, MachineState(), drill=drill))["services"]


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"monitoring": "off"}, "'monitoring_listen'"),
        ({"monitoring_listen": {"address": "10.0.0.2"}}, "10.0.0.0/24"),
        ({"monitoring_listen": {"networks": ("10.0.0.0/24",)}}, "names no address"),
        ({"monitoring_listen": {**_LISTEN, "networks": ("0.0.0.0/0",)}}, "0.0.0.0/0"),
        ({"monitoring_listen": {**_LISTEN, "networks": ("10.0.0.2/24",)}}, "10.0.0.2/24"),
        ({"monitoring_listen": {**_LISTEN, "address": "0.0.0.0"}}, "0.0.0.0"),
        ({"monitoring_listen": {**_LISTEN, "address": "web-1"}}, "web-1"),
        ({"infisical_environment": {"OTEL_EXPORT_TYPE": "otlp"}}, "OTEL_EXPORT_TYPE"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(changes: dict[str, Any], fact: str) -> None:
    settings = {"monitoring": "on", "monitoring_listen": _LISTEN, **changes}
    with pytest.raises(SettingsError, match=fact):
        settings_of(**settings)


def test_without_a_firewall_only_the_host_itself_may_ask() -> None:
    refuse_unenforced(_settings(_LOCAL, firewall="off"))
    with pytest.raises(SettingsError, match="'monitoring_listen'") as refused:
        refuse_unenforced(_settings(firewall="off"))
    assert refused.value.code == "settings.unenforced"


def test_the_firewall_opens_the_ports_of_the_host_to_the_networks() -> None:
    opened = openings(_settings(), 22)
    ports = (9100, 9187, 9121, 9464, 9180)
    assert opened[-1] == Opening("tcp", ports, ("10.0.0.0/24",), "metrics")
    rules = ruleset(opened)
    assert "ip saddr { 10.0.0.0/24 } tcp dport { 9100, 9187, 9121, 9464, 9180 } accept" in rules
    # No container is reached by these ports.
    assert "proto-dst 9100" not in rules
    assert openings(_settings(_LOCAL), 22) == openings(settings_of(), 22)


def test_turning_it_on_changes_the_containers_of_infisical_and_redis_only() -> None:
    before, after = _services(settings_of()), _services(_settings())
    assert [name for name in after if after[name] != before[name]] == ["infisical", "redis"]
    variables = after["infisical"]["environment"]
    assert variables.items() - before["infisical"]["environment"].items() == {
        ("OTEL_TELEMETRY_COLLECTION_ENABLED", "true"),
        ("OTEL_EXPORT_TYPE", "prometheus"),
        # These meters have e-mail addresses and names of secrets as labels.
        ("OTEL_DROP_HIGH_CARDINALITY_METERS", "true"),
    }
    # The port of the metrics stays in Docker's networks.
    assert after["infisical"]["ports"] == before["infisical"]["ports"]


def test_a_drill_serves_no_metrics() -> None:
    assert _services(_settings(), drill=True) == _services(settings_of(), drill=True)


def _redis_config(settings: Settings, **environment: str) -> list[str]:
    """Return the configuration that Redis's container passes to the server."""
    text = _services(settings)["redis"]["command"][2].replace("$$", "$")
    done = subprocess.run(
        ["sh", "-c", text.replace("exec redis-server -", "cat")],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_redis_has_a_user_that_reads_no_key_and_no_setting() -> None:
    passwords = {"REDIS_PASSWORD": "fake1", "METRICS_REDIS_PASSWORD": "fake2"}
    lines = _redis_config(_settings(), **passwords)
    user = "user infisical_metrics on >fake2 -@all +info +ping +slowlog|len +latency|latest"
    assert lines[:2] == ["requirepass fake1", user]
    # A user without a password could be used by everybody in the network.
    without = _redis_config(_settings(), REDIS_PASSWORD="fake1")
    assert not [line for line in without if line.startswith("user")]


def test_the_passwords_are_keys_of_the_host_while_metrics_are_served() -> None:
    assert more_of(_settings()).split() == [*_PASSWORDS]
    assert more_of(settings_of()) == ""


def test_each_exporter_has_a_user_of_its_own_and_listens_at_the_address() -> None:
    units = _units(_settings())
    for unit, port in ((_NODE, 9100), (_POSTGRES, 9187), (_REDIS, 9121)):
        assert re.search(rf"(?i)web.listen.address=10\.0\.0\.2:{port}\b", units[unit])
        for line in ("DynamicUser=yes", "CapabilityBoundingSet=", "ProtectSystem=strict"):
            assert line in units[unit].splitlines(), unit
    users = {line for text in units.values() for line in text.splitlines() if line[:5] == "User="}
    assert len(users) == 5
    other = _units(_settings({"address": "fd00::2", "networks": ("fd00::/64",)}))
    assert "--web.listen-address=[fd00::2]:9100" in other[_NODE]
    assert "ListenStream=[fd00::2]:9464" in other["infisical-metrics-infisical.socket"]


def test_a_password_is_read_from_a_file_and_is_no_argument() -> None:
    units = _units(_settings())
    for unit, password in zip((_POSTGRES, _REDIS), _PASSWORDS, strict=True):
        assert f"StandardInput=file:/etc/infisical/keys/{password}" in units[unit].splitlines()
        assert units[unit].count(password) == 1
    # Whoever asks the exporter may name another server, which must not get the password.
    assert " redis://infisical_metrics@redis.infisical.internal:6379 " in units[_REDIS]
    assert "REDIS_PASSWORD_FILE=" in units[_REDIS]
    assert "Environment=REDIS_EXPORTER_CONFIG_COMMAND=-" in units[_REDIS].splitlines()


def test_only_a_caddy_of_its_own_host_serves_metrics() -> None:
    assert "infisical-metrics-caddy.socket" in _units(_settings())
    for ingress in ("none", "traefik"):
        settings = _settings(ingress=ingress)
        assert "infisical-metrics-caddy.socket" not in _units(settings)
        assert 9180 not in settings.metrics_ports.values()
    assert "metrics" in caddyfile(_settings()).text
    assert "metrics" not in caddyfile(settings_of()).text
    assert "metrics" not in caddyfile(_settings(ingress="traefik", site_url=_BEHIND)).text


_BEHIND = "https://secrets.example.com"


def test_a_host_of_a_cluster_serves_its_own_metrics_at_its_address_there() -> None:
    listen = {"networks": ("10.0.0.0/24",)}
    site = clusters.site(monitoring="on", monitoring_listen=listen)
    known = Known(site.settings, MachineState(), site)
    (unit,) = metrics_files(known)
    assert unit.path.endswith(_NODE)
    assert f"--web.listen-address={site.cluster.me.address}:9100" in unit.content
    metrics = [each for each in openings(site.settings, 22) if each.description == "metrics"]
    assert metrics == [Opening("tcp", (9100,), ("10.0.0.0/24",), "metrics")]
    # No exporter logs in at a database, or has to find a container.
    assert "metrics" not in more_of(site.settings)
    assert not deploy._configuration(known)["has_exporters"]


@pytest.mark.parametrize("is_served", [True, False])
def test_the_monitor_writes_the_addresses_for_exporters_only(is_served: bool) -> None:
    settings = _settings() if is_served else settings_of(monitoring="on")
    known = Known(settings, MachineState(), Site(settings))
    assert deploy._configuration(known)["has_exporters"] is is_served
