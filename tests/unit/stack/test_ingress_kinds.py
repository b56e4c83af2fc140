"""Test that a kind of ingress is one class, and that no other code needs its name."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from infisical_iac.core.settings import Settings
from infisical_iac.host.model import MachineState
from infisical_iac.stack import keys
from infisical_iac.stack.compose import compose_file
from infisical_iac.stack.ingress import caddyfile
from infisical_iac.stack.ingress_kinds import EDGE_SECRET, KINDS, IngressKind
from infisical_iac.stack.model import ingress_of, isolate
from tests.host.choosing import is_left_out
from tests.staging import ingress as staging_ingress
from tests.unit.settings_of import settings_of

_MACHINE = MachineState(os="debian", release="13")
_REPLACED = "traefik"


class AnotherIngress(IngressKind):
    """A proxy that this project does not know."""

    name = "another"  # type: ignore[assignment]
    behind_proxy = "Another"
    secret_label = "another.secret"
    more_keys = EDGE_SECRET
    engine_owner = "Another's"

    @classmethod
    def describe(cls, services: Mapping[str, Any]) -> str:
        return cls.name if "another.enable" in services["caddy"].get("labels", ()) else ""

    @classmethod
    def labels(cls, settings: Settings) -> dict[str, str]:
        return {"another.enable": "true"}

    @classmethod
    def proxy_network(cls, settings: Settings) -> str:
        return "another-network"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a host with that kind, which takes the place of an existing one."""
    chosen = settings_of(ingress=_REPLACED, ui_networks=("10.1.0.0/16",))
    monkeypatch.setitem(KINDS, _REPLACED, AnotherIngress)
    return chosen


def test_another_kind_behind_a_proxy_needs_no_change_of_the_templates(settings: Settings) -> None:
    compose, caddy = compose_file(settings, _MACHINE), caddyfile(settings).text
    assert "raefik" not in f"{compose}{caddy}"
    rendered = yaml.safe_load(compose)
    service = rendered["services"]["caddy"]
    assert service["labels"] == {"another.enable": "true", "another.secret": "${EDGE_SECRET:?}"}
    assert rendered["networks"]["proxy"] == {"name": "another-network", "external": True}
    assert rendered["services"]["infisical"]["networks"]["edge"]["aliases"]
    assert re.search(r'respond "[^"]* Another\." 403', caddy)
    assert "reverse_proxy infisical-behind-caddy:8080 {" in caddy
    # The proxy checks the networks.
    assert "remote_ip" not in caddy
    assert keys.more_of(settings) == EDGE_SECRET


def test_a_kind_takes_no_compose_file_of_another_for_its_own(settings: Settings) -> None:
    assert ingress_of(compose_file(settings, _MACHINE)) == ("another", 8080)


@pytest.mark.parametrize(
    "services",
    [
        {"infisical": {}, "caddy": {"networks": ["edge", "proxy"]}},
        {"infisical": {}, "caddy": {"labels": {"another.enable": "true"}}},
        {"infisical": {}, "tunnel": {}},
    ],
)
def test_ingress_of_an_unknown_kind_is_unknown(services: dict[str, Any]) -> None:
    services["infisical"]["ports"] = ["127.0.0.1:8080:8080"]
    assert ingress_of(yaml.safe_dump({"services": services})) == ("unknown", 8080)


@pytest.mark.parametrize("kind", KINDS)
def test_a_version_that_is_checked_is_connected_to_its_databases_only(kind: str) -> None:
    """It reaches no mail server, webhook or license server, because its network is internal."""
    text = compose_file(settings_of(ingress=kind), _MACHINE)
    closed, expected = yaml.safe_load(isolate(text)), yaml.safe_load(text)
    infisical = expected["services"]["infisical"]
    infisical["networks"] = ["databases"]
    del infisical["ports"]
    for each in expected["services"].values():
        each |= {"restart": "no", "cpu_shares": 64, "oom_score_adj": 900}
    assert closed == expected
    assert closed["networks"]["databases"] == {"internal": True}


def test_a_network_of_the_users_own_template_is_internal_while_a_version_is_checked() -> None:
    services = {"infisical": {"ports": ["127.0.0.1:8080:8080"]}, "postgres": {}, "redis": {}}
    closed = yaml.safe_load(isolate(yaml.safe_dump({"services": services})))
    assert closed["services"]["infisical"]["networks"] == ["default"]
    assert "ports" not in closed["services"]["infisical"]
    assert closed["networks"] == {"default": {"internal": True}}


def test_the_infisical_of_an_earlier_release_is_not_in_the_network_of_traefik() -> None:
    infisical = {
        "ports": ["127.0.0.1:8080:8080"],
        "labels": ["traefik.enable=true"],
        "networks": ["edge", "databases", "proxy"],
    }
    former = {
        "services": {"infisical": infisical, "postgres": {"networks": ["databases"]}},
        "networks": {
            "edge": {},
            "databases": {"internal": True},
            "proxy": {"name": "dokploy-network", "external": True},
        },
    }
    closed = yaml.safe_load(isolate(yaml.safe_dump(former)))
    infisical = closed["services"]["infisical"]
    assert infisical["networks"] == ["databases"]
    assert not {"ports", "labels"} & infisical.keys()


def test_host_checks_are_chosen_by_the_properties_of_a_kind(settings: Settings) -> None:
    here = Path("tests/host").resolve()
    left_out = {each.name for each in here.iterdir() if is_left_out(each, settings)}
    assert left_out == {"cluster", "test_caddy_outside.py", "test_engine.py"}


@pytest.mark.parametrize(
    ("kind", "left_out"),
    [
        ("caddy", {"test_behind_proxy.py"}),
        ("traefik", {"test_caddy_outside.py", "test_engine.py"}),
        (
            "none",
            {
                *("test_behind_proxy.py", "test_caddy.py", "test_caddy_outside.py"),
                *("test_ingress.py", "test_rotation.py"),
            },
        ),
    ],
)
def test_each_kind_leaves_out_the_host_checks_that_do_not_apply(
    kind: str, left_out: set[str]
) -> None:
    chosen, here = settings_of(ingress=kind), Path("tests/host").resolve()
    found = {each.name for each in here.iterdir() if is_left_out(each, chosen)}
    assert found == {*left_out, "cluster"}


def test_a_staging_host_can_have_each_kind_and_a_cluster_those_on_its_own_docker() -> None:
    assert {*staging_ingress.OF_HOST} == {*KINDS}
    assert {*staging_ingress.OF_CLUSTER} == {"caddy", "none"}
    assert staging_ingress.DEFAULT in KINDS


_NAMES_A_KIND = re.compile(r"\bingress\b *[!=]= *[\"']|ingress_kind is|(Traefik|Caddy|No)Ingress\b")
_ELSEWHERE = [
    *Path("infisical_iac").rglob("*.py"),
    *Path("templates").rglob("*.j2"),
    *Path("tests/host").rglob("*.py"),
    *Path("tests/staging").rglob("*.py"),
    *Path("group_data").glob("*.py"),
]


def test_nothing_else_compares_the_name_of_a_kind() -> None:
    own = Path("infisical_iac/stack/ingress_kinds.py")
    found = [
        f"{file}:{number}"
        for file in _ELSEWHERE
        if file != own
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if _NAMES_A_KIND.search(line)
    ]
    assert found == []
