"""Test that a host shared with others is recognized, and what `auto` stands for there."""

from dataclasses import replace

import pytest

from infisical_iac.core.errors import SettingsError
from infisical_iac.core.settings import Settings
from infisical_iac.host.model import MachineState
from infisical_iac.host.shared import (
    MANAGED,
    describe_left,
    describe_others,
    is_shared,
    not_ours,
    resolve_auto,
)
from infisical_iac.monitoring.health import shared_host
from tests.unit.settings_of import written_settings

_BARE = MachineState(os="debian", release="13")
_SWARM = replace(_BARE, swarm=True)
_COOLIFY = replace(_BARE, others=("coolify", "coolify-db"))
_TRAEFIK = {"ingress": "traefik"}
_ON = ("on", "on", "on", "Sun *-*-* 05:00:00")
_OFF = ("off", "off", "off", "")


def _values(settings: Settings) -> tuple[str, ...]:
    return tuple(str(settings.value_of(name)) for name in MANAGED)


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
