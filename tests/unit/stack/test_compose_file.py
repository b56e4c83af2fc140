"""Test that the rendered compose.yaml is hardened and pinned, and has no secret."""

from typing import Any

import pytest
import yaml

from infisical_iac.core.settings import load
from infisical_iac.core.validation import mebibytes
from infisical_iac.host.docker import packages
from infisical_iac.host.model import SYSTEMS, MachineState
from infisical_iac.stack.compose import compose_file
from infisical_iac.stack.model import port_of
from tests.unit.settings_of import defaults

_TRIXIE = MachineState(os="debian", release="13")
_BOOKWORM = MachineState(os="debian", release="12")
_NOBLE = MachineState(os="ubuntu", release="24.04")
_MACHINES = (_TRIXIE, _BOOKWORM, _NOBLE)
_SERVICES = ("infisical", "postgres", "redis")


def _render(
    machine: MachineState = _TRIXIE, *, drill: bool = False, **changes: Any
) -> dict[str, Any]:
    settings = load(defaults(**changes))
    rendered: dict[str, Any] = yaml.safe_load(compose_file(settings, machine, drill=drill))
    return rendered


@pytest.mark.parametrize("service", _SERVICES)
def test_every_service_is_hardened_and_limited(service: str) -> None:
    found = _render()["services"][service]
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found["read_only"] is True
    assert found["restart"] == "unless-stopped"
    assert found["ulimits"] == {"core": 0}
    assert found["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    assert found["mem_limit"] == found["memswap_limit"]
    assert found["pids_limit"] > 0
    assert "healthcheck" in found


def test_only_infisical_is_published_and_only_on_loopback() -> None:
    services = _render(http_port=9000)["services"]
    assert services["infisical"]["ports"] == ["127.0.0.1:9000:8080"]
    assert "ports" not in services["postgres"]
    assert "ports" not in services["redis"]


def test_the_databases_have_no_access_to_the_internet() -> None:
    rendered = _render()
    assert rendered["networks"]["databases"] == {"internal": True}
    assert rendered["services"]["postgres"]["networks"] == ["databases"]
    assert rendered["services"]["redis"]["networks"] == ["databases"]


def test_a_drill_has_no_access_to_the_internet_and_no_port() -> None:
    drill = _render(drill=True)
    assert drill["networks"] == {"edge": {"internal": True}, "databases": {"internal": True}}
    assert [name for name, each in drill["services"].items() if "ports" in each] == []


def test_a_drill_has_a_lower_priority_than_live_services() -> None:
    for service in _render(drill=True, infisical_cpus=3.0)["services"].values():
        assert (service["cpus"], service["cpu_shares"], service["oom_score_adj"]) == (1.5, 64, 900)
        assert service["restart"] == "no"
    assert _render()["services"]["infisical"]["cpus"] == 2.0


def test_a_drill_runs_the_live_services_with_no_other_difference() -> None:
    live, drill = _render()["services"], _render(drill=True)["services"]
    differing = {"ports", "restart", "cpus", "cpu_shares", "oom_score_adj"}
    for service in _SERVICES:
        differ = {
            key
            for key in live[service].keys() | drill[service].keys()
            if live[service].get(key) != drill[service].get(key)
        }
        assert differ <= differing | ({"image"} if service == "infisical" else set())
    assert drill["infisical"]["image"] == "${INFISICAL_IMAGE:?}"


def test_infisical_waits_for_healthy_databases() -> None:
    healthy = {"condition": "service_healthy"}
    depends = _render()["services"]["infisical"]["depends_on"]
    assert depends == {"postgres": healthy, "redis": healthy}


def test_infisicals_hardening_guide_is_followed() -> None:
    environment = _render(site_url="https://s.example.com")["services"]["infisical"]["environment"]
    assert environment["HTTPS_ENABLED"] == "true"
    assert environment["SITE_URL"] == "https://s.example.com"
    assert environment["CORS_ALLOWED_ORIGINS"] == '["https://s.example.com"]'
    assert environment["TELEMETRY_ENABLED"] == "false"
    assert environment["ALLOW_INTERNAL_IP_CONNECTIONS"] == "false"
    assert environment["JWT_AUTH_LIFETIME"] == "15m"
    assert environment["JWT_REFRESH_LIFETIME"] == "24h"
    assert environment["TRUSTED_PROXY_CIDRS"] == "127.0.0.0/8,172.16.0.0/12"


def test_cookies_are_not_marked_secure_without_tls() -> None:
    environment = _render(site_url="http://127.0.0.1:8080")["services"]["infisical"]["environment"]
    assert environment["HTTPS_ENABLED"] == "false"


def test_the_heap_fits_into_the_memory_limit() -> None:
    environment = _render(infisical_memory="3g")["services"]["infisical"]["environment"]
    assert environment["NODE_OPTIONS"] == "--max-old-space-size=2048"
    assert mebibytes("1536m") == 1536


def test_every_secret_is_a_variable_of_the_env_file() -> None:
    environments = [_render()["services"][service]["environment"] for service in _SERVICES]
    values = {key: value for each in environments for key, value in each.items()}
    for name in ("ENCRYPTION_KEY", "AUTH_SECRET", "POSTGRES_PASSWORD", "REDIS_PASSWORD"):
        assert values[name] == f"${{{name}:?}}"
    assert "${POSTGRES_PASSWORD:?}" in values["DB_CONNECTION_URI"]
    assert "${REDIS_PASSWORD:?}" in values["REDIS_URL"]


def test_redis_gets_its_password_on_standard_input() -> None:
    command = _render()["services"]["redis"]["command"]
    assert "requirepass $$REDIS_PASSWORD" in command[2]
    assert "appendonly yes" in command[2]
    assert "maxmemory-policy noeviction" in command[2]


@pytest.mark.parametrize(
    ("image", "mount"),
    [
        ("postgres:17.11", "postgres:/var/lib/postgresql/data"),
        ("postgres:18.4", "postgres:/var/lib/postgresql"),
        (f"postgres:16.9@sha256:{'a' * 64}", "postgres:/var/lib/postgresql/data"),
    ],
)
def test_the_volume_is_mounted_where_each_postgresql_image_keeps_its_data(
    image: str, mount: str
) -> None:
    assert _render(postgres_image=image)["services"]["postgres"]["volumes"] == [mount]


def test_an_older_engine_gets_no_start_interval() -> None:
    with_it = [
        each
        for each in _MACHINES
        if "start_interval" in _render(each)["services"]["infisical"]["healthcheck"]
    ]
    assert with_it == [_TRIXIE]


def test_a_writable_root_file_system_can_be_allowed() -> None:
    assert "read_only" not in _render(infisical_read_only=False)["services"]["infisical"]


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (_TRIXIE, ["docker.io", "docker-cli", "docker-compose"]),
        (_BOOKWORM, ["docker.io", "docker-compose"]),
        (_NOBLE, ["docker.io", "docker-compose-v2"]),
    ],
)
def test_each_distribution_has_its_own_package_names(
    machine: MachineState, expected: list[str]
) -> None:
    assert packages(machine, "distro") == expected


def test_the_engine_of_each_supported_system_is_tested() -> None:
    assert {(each.os, each.release) for each in _MACHINES} == {*SYSTEMS}


@pytest.mark.parametrize("machine", _MACHINES)
def test_dockers_own_repository_has_the_same_package_names_everywhere(
    machine: MachineState,
) -> None:
    names = packages(machine, "docker-ce")
    assert names == ["docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin"]


def test_the_port_is_read_back_from_the_compose_file() -> None:
    assert port_of(yaml.safe_dump(_render(http_port=8090))) == 8090
