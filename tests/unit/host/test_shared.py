"""Test that a host shared with others is recognized, and what `auto` stands for there."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from infisical_iac.core.errors import SettingsError
from infisical_iac.core.rendering import script
from infisical_iac.core.settings import Settings
from infisical_iac.host.docker import daemon
from infisical_iac.host.model import MachineState
from infisical_iac.host.shared import (
    MANAGED,
    OtherContainers,
    describe_left,
    describe_others,
    is_shared,
    not_ours,
    resolve_auto,
)
from infisical_iac.monitoring.health import shared_host
from tests.unit.fake_programs import fake_docker, run_with
from tests.unit.settings_of import written_settings

_BARE = MachineState(os="debian", release="13")
_SWARM = replace(_BARE, swarm=True)
_COOLIFY = replace(_BARE, others=("coolify", "coolify-db"))
_TRAEFIK = {"ingress": "traefik"}
_ON = ("on", "on", "on", "Sun *-*-* 05:00:00")
_OFF = ("off", "off", "off", "")


def _values(settings: Settings) -> tuple[str, ...]:
    return tuple(str(settings.value_of(name)) for name in MANAGED)


def _inspect(host: Path, docker: str) -> OtherContainers:
    """Return what the script prints with Docker's files below `host` and this fake Docker."""
    fake_docker(host / "programs", docker)
    command = script("other-containers")
    command = command.replace("/var/lib/docker", f"{host}/lib")
    command = command.replace("/etc/docker/", f"{host}/etc/")
    return OtherContainers.parse(run_with(host / "programs", command).stdout.splitlines())


def _configure(host: Path, text: str) -> None:
    (host / "etc").mkdir()
    (host / "etc/daemon.json").write_text(text)


def _answer(*containers: str) -> str:
    """Return a fake Docker with these containers, each with its Compose project."""
    lines = "\n".join(f"echo '{each}'" for each in containers)
    return f'"ps "*)\n:\n{lines}\n;;'


def test_a_host_without_docker_is_not_shared(tmp_path: Path) -> None:
    found = _inspect(tmp_path, "*) exit 127 ;;")
    assert found == OtherContainers()
    assert not found.is_shared


def test_containers_of_this_project_are_not_others(tmp_path: Path) -> None:
    ours = ("infisical-caddy-1 infisical", "infisical_postgres-1.1.abc ", "x infisical-drill")
    assert _inspect(tmp_path, _answer(*ours)) == OtherContainers()


def test_containers_of_others_are_named_once_for_each_service(tmp_path: Path) -> None:
    found = _inspect(tmp_path, _answer("web shop", "dokploy.1.x8f2 ", "dokploy.2.k3d1 ", "db "))
    assert found.names == ("db", "dokploy", "web")
    assert found.is_shared


def test_an_engine_that_this_project_has_configured_is_its_own(tmp_path: Path) -> None:
    for in_swarm in (False, True):
        host = tmp_path / str(in_swarm)
        host.mkdir()
        _configure(host, daemon(in_swarm=in_swarm))
        found = _inspect(host, _answer("exporter "))
        assert (found.is_own, found.names, found.is_shared) == (True, (), False)


def test_an_engine_that_others_have_configured_is_shared(tmp_path: Path) -> None:
    _configure(tmp_path, json.dumps({"live-restore": True, "no-new-privileges": True}))
    assert _inspect(tmp_path, _answer("web ")).is_shared


def test_a_swarm_is_shared_even_without_containers(tmp_path: Path) -> None:
    _configure(tmp_path, f'{{"data-root": "{tmp_path}/elsewhere"}}')
    (tmp_path / "elsewhere/swarm").mkdir(parents=True)
    (tmp_path / "elsewhere/swarm/docker-state.json").write_text("{}")
    found = _inspect(tmp_path, _answer())
    assert (found.in_swarm, found.is_shared) == (True, True)


def test_a_stopped_engine_is_shared_if_it_will_start_containers_of_others(tmp_path: Path) -> None:
    """Otherwise a run would configure an engine of others as its own while it is down."""
    for name, policy in (("coolify", "unless-stopped"), ("leftover", "no")):
        container = tmp_path / "lib/containers" / name
        container.mkdir(parents=True)
        (container / "hostconfig.json").write_text(f'{{"RestartPolicy":{{"Name":"{policy}"}}}}')
        (container / "config.v2.json").write_text(
            f'{{"State":{{"Running":false}},"Name":"/{name}","Driver":"overlay2"}}'
        )
    assert _inspect(tmp_path, "*) exit 1 ;;").names == ("coolify",)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["dokploy-postgres", "web"], "Dokploy"),
        (["coolify-proxy"], "Coolify"),
        (["web", "db"], "web and db"),
        (["a", "b", "c", "d", "e"], "a, b, c and 2 more"),
        ([], ""),
    ],
)
def test_others_are_named_by_their_program_or_their_containers(names: list[str], text: str) -> None:
    assert describe_others(names) == text


@pytest.mark.parametrize(
    ("settings", "machine", "expected"),
    [
        ({}, _BARE, _ON),
        ({"ingress": "none"}, _COOLIFY, _OFF),
        ({"ingress": "none"}, _SWARM, _OFF),
        (_TRAEFIK, _SWARM, _OFF),
        (_TRAEFIK, _BARE, _OFF),
        # A host that this project has set up stays its own, whatever is started there later.
        ({}, replace(_SWARM, own_engine=True), _ON),
        # Between a cluster and a single host.
        ({}, replace(_SWARM, clustered=True), _ON),
        ({"topology": "swarm"}, _SWARM, _ON),
        ({"topology": "swarm"}, _COOLIFY, _ON),
    ],
)
def test_auto_is_off_on_a_shared_host_and_on_elsewhere(
    settings: dict[str, str], machine: MachineState, expected: tuple[str, ...]
) -> None:
    written = written_settings(**settings)
    assert _values(written) == ("auto",) * 4
    assert _values(resolve_auto(written, machine)) == expected
    assert is_shared(written, machine) is (expected == _OFF)


@pytest.mark.parametrize("machine", [_BARE, _COOLIFY, _SWARM])
@pytest.mark.parametrize("value", ["on", "off"])
@pytest.mark.parametrize("name", ["hardening", "firewall", "fail2ban"])
def test_a_setting_that_is_written_always_counts(
    name: str, value: str, machine: MachineState
) -> None:
    resolved = resolve_auto(written_settings(**{name: value}), machine)
    assert resolved.value_of(name) == value


@pytest.mark.parametrize("machine", [_BARE, _COOLIFY])
@pytest.mark.parametrize("window", ["", "Mon *-*-* 03:00:00"])
def test_a_maintenance_window_that_is_written_always_counts(
    window: str, machine: MachineState
) -> None:
    resolved = resolve_auto(written_settings(maintenance_window=window), machine)
    assert resolved.host.maintenance_window == window


def test_other_containers_leave_the_engine_to_others() -> None:
    assert "(Coolify)" in not_ours(written_settings(), _COOLIFY)
    assert not_ours(written_settings(topology="swarm"), _COOLIFY) == ""


def test_the_plan_names_the_settings_that_are_off() -> None:
    sentence = describe_left(written_settings(fail2ban="on"), _COOLIFY)
    for fact in ("Coolify", 'hardening = "on"', 'firewall = "on"', "Sun *-*-* 05:00:00"):
        assert fact in sentence
    assert "fail2ban" not in sentence


def test_the_firewall_is_not_proposed_next_to_a_swarm_of_others() -> None:
    sentence = describe_left(written_settings(), _SWARM)
    assert 'hardening = "on"' in sentence
    assert 'firewall = "on"' not in sentence


def test_a_host_of_its_own_has_no_note() -> None:
    assert describe_left(written_settings(), _BARE) == ""
    decided = dict(zip(MANAGED, _OFF, strict=True))
    assert describe_left(written_settings(**decided), _COOLIFY) == ""


def test_status_has_a_note_on_a_shared_host_only() -> None:
    (row,) = shared_host(written_settings(), _COOLIFY)
    assert (row.name, row.ok, row.is_note) == ("Host", True, True)
    assert "hardening" in row.text
    assert shared_host(written_settings(), _BARE) == []


def test_another_word_is_refused_with_the_accepted_ones() -> None:
    with pytest.raises(SettingsError) as refused:
        written_settings(hardening="maybe")
    assert "'auto'" in str(refused.value)
