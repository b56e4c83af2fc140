"""Test the labels for Dokploy's Traefik, the priorities of its routers, and Caddy behind it."""

import re
from typing import Any

import pytest
import yaml

from infisical_iac.host.model import MachineState
from infisical_iac.stack import paths
from infisical_iac.stack.compose import compose_file
from infisical_iac.stack.ingress import caddyfile
from infisical_iac.stack.ingress_kinds import TraefikIngress
from tests.unit.settings_of import NAME, settings_of

_MACHINE = MachineState(os="debian", release="13")
_ROUTER = "traefik.http.routers.infisical-"
_ALLOWED = {"ui_networks": ("10.1.0.0/16",), "machine_networks": ("10.2.0.0/16",)}


def _labels(**changes: Any) -> dict[str, str]:
    return TraefikIngress.labels(settings_of(ingress="traefik", **changes))


def _list_routers(labels: dict[str, str]) -> list[str]:
    """Return the names of the routers for https, in the order in which Traefik tries them."""
    priorities = {
        name.split(".")[3].removeprefix("infisical-"): int(value)
        for name, value in labels.items()
        if name.startswith(_ROUTER) and name.endswith(".priority")
    }
    assert len(set(priorities.values())) == len(priorities)
    return sorted(priorities, key=lambda each: -priorities[each])


def _route(labels: dict[str, str], path: str, *, method: str = "GET", token: str = "") -> str:
    """Return the middlewares of the router that Traefik chooses for a request."""
    for router in _list_routers(labels):
        rule = labels[f"{_ROUTER}{router}.rule"]
        rule = rule.removeprefix(f"Host(`{NAME}`)").removeprefix(" && ")
        patterns = re.findall(r"(PathRegexp|HeaderRegexp)\((?:`Authorization`, )?`(.*?)`\)", rule)
        subjects = {"PathRegexp": path, "HeaderRegexp": token}
        if all(re.search(pattern, subjects[kind]) for kind, pattern in patterns) and (
            "Method(" not in rule or f"Method(`{method}`)" in rule
        ):
            return labels[f"{_ROUTER}{router}.middlewares"]
    raise AssertionError(path)


def test_each_router_leads_to_infisical_by_dokploys_entry_point_and_resolver() -> None:
    labels = _labels(**_ALLOWED, traefik_entrypoint="https", traefik_resolver="le")
    assert labels["traefik.enable"] == "true"
    assert labels["traefik.docker.network"] == "dokploy-network"
    assert labels["traefik.http.services.infisical.loadbalancer.server.port"] == "8080"
    for router in _list_routers(labels):
        assert labels[f"{_ROUTER}{router}.rule"].startswith(f"Host(`{NAME}`)")
        assert labels[f"{_ROUTER}{router}.entrypoints"] == "https"
        assert labels[f"{_ROUTER}{router}.tls.certresolver"] == "le"
        assert labels[f"{_ROUTER}{router}.service"] == "infisical"
        # By this middleware, Traefik sends Caddy the secret.
        assert labels[f"{_ROUTER}{router}.middlewares"].split(",")[0] == "infisical-headers"
    assert labels[f"{_ROUTER}http.middlewares"] == "infisical-https"
    assert labels[f"{_ROUTER}http.entrypoints"] == "web"


def test_every_middleware_that_is_used_is_defined() -> None:
    for changes in ({}, {"ui_networks": ("10.1.0.0/16",)}, _ALLOWED):
        labels = _labels(**changes)
        used = {
            each
            for name, value in labels.items()
            if name.endswith(".middlewares")
            for each in value.split(",")
        }
        defined = {
            name.split(".")[3] for name in labels if name.startswith("traefik.http.middlewares.")
        }
        assert used == defined


_TOKEN = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJpZGVudGl0eUlkIjoiZmFrZSJ9.fake"


@pytest.mark.parametrize(
    ("path", "method", "token", "expected"),
    [
        ("/login", "GET", "", "people"),
        ("/api/v1/projects", "GET", "", "people"),
        ("/api/v3/auth/login", "POST", "", "people,logins"),
        ("/api/v1/admin/config", "GET", "", "people,logins"),
        ("/api/status", "GET", "", ""),
        ("/api/v1/auth/universal-auth/login", "POST", "", "machines,logins"),
        ("/api/v3/secrets/raw", "GET", _TOKEN, "machines"),
        ("/api/v3/secrets/raw", "GET", "", "readers"),
        ("/api/v3/secrets/raw", "POST", _TOKEN, "machines,people"),
        ("/api/v3/secrets/raw", "POST", "", "people"),
        ("/api/v1/projects", "GET", _TOKEN, "machines,people"),
    ],
)
def test_each_request_passes_the_middlewares_for_its_path(
    path: str, method: str, token: str, expected: str
) -> None:
    asked = _route(_labels(**_ALLOWED), path, method=method, token=token)
    own = [each.removeprefix("infisical-") for each in asked.split(",")][1:]
    assert ",".join(own) == expected


def test_only_the_number_of_logins_is_limited_without_networks() -> None:
    labels = _labels()
    assert _list_routers(labels) == ["status", "identities", "logins", "all"]
    assert [name for name in labels if "ipallowlist" in name] == []


def test_only_caddy_joins_dokploys_network_and_shares_another_with_infisical() -> None:
    rendered = yaml.safe_load(compose_file(settings_of(ingress="traefik"), _MACHINE))
    services = rendered["services"]
    assert sorted(services) == ["caddy", "infisical", "postgres", "redis"]
    infisical, caddy = services["infisical"], services["caddy"]
    # Docker resolves names in all networks of a container, so this alias must be unique.
    assert infisical["networks"] == {
        "edge": {"aliases": ["infisical-behind-caddy"]},
        "databases": {},
    }
    assert caddy["networks"] == ["edge", "proxy"]
    joined = [name for name, each in services.items() if "proxy" in each["networks"]]
    assert joined == ["caddy"]
    assert [name for name, each in services.items() if "edge" in each["networks"]] == [
        *("infisical", "caddy"),
    ]
    assert rendered["networks"]["proxy"] == {"name": "dokploy-network", "external": True}
    assert infisical["ports"] == ["127.0.0.1:8080:8080"]
    assert "labels" not in infisical
    assert {"ports", "network_mode"} & caddy.keys() == set()
    assert "reverse_proxy infisical-behind-caddy:8080 {" in _caddyfile()


def test_traefik_and_caddy_share_the_secret_and_no_rendered_file_has_it() -> None:
    rendered = yaml.safe_load(compose_file(settings_of(ingress="traefik"), _MACHINE))
    caddy = rendered["services"]["caddy"]
    assert caddy["environment"] == {"EDGE_SECRET": "${EDGE_SECRET:?}"}
    secret = "traefik.http.middlewares.infisical-headers.headers.customrequestheaders"
    labels = dict(caddy["labels"])
    assert labels.pop(f"{secret}.X-Infisical-Edge") == "${EDGE_SECRET:?}"
    # Compose would read a single dollar sign as a variable.
    assert labels == {
        name: value.replace("$", "$$")
        for name, value in TraefikIngress.labels(settings_of(ingress="traefik")).items()
    }
    assert "{env.EDGE_SECRET}" in _caddyfile()


def test_caddy_behind_traefik_checks_paths_and_leaves_networks_to_traefik() -> None:
    for kind in ("caddy", "traefik"):
        text = caddyfile(settings_of(ingress=kind, **_ALLOWED)).text
        assert f'not expression `{{http.request.orig_uri}}.matches(r"{paths.TARGET}")`' in text
        credentials = f'{{http.request.header.Authorization}}.matches(r"{paths.CREDENTIALS}")'
        assert f"not expression `{credentials}`" in text
        # Before 2.11.2, this matcher expands a caller's values: `{x}` becomes empty.
        assert "vars_regexp" not in text
        assert f"@closed path_regexp {paths.CLOSED}\n" in text
        assert ("remote_ip" in text) == (kind == "caddy")
        assert ("\nhttps://" in text) == (kind == "caddy")


def _caddyfile() -> str:
    return caddyfile(settings_of(ingress="traefik")).text


def test_a_drill_joins_no_proxy_network_and_runs_no_ingress() -> None:
    for kind in ("traefik", "caddy"):
        rendered = yaml.safe_load(compose_file(settings_of(ingress=kind), _MACHINE, drill=True))
        assert sorted(rendered["services"]) == ["infisical", "postgres", "redis"]
        assert sorted(rendered["networks"]) == ["databases", "edge"]
        assert "labels" not in rendered["services"]["infisical"]
        assert rendered["services"]["infisical"]["networks"] == ["edge", "databases"]
