"""Test the hosts, keys and settings that are refused before any change."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infisical_iac.agent.keys import KeysState
from infisical_iac.core import journal
from infisical_iac.core.bundle import DEFAULTS
from infisical_iac.core.errors import Refused, SettingsError
from infisical_iac.core.journal import Journal
from infisical_iac.host.model import SYSTEMS, MachineState
from infisical_iac.stack import keys
from infisical_iac.workspace import preflight
from infisical_iac.workspace.preflight import (
    admin_password,
    look_up_names,
    refuse,
    refuse_ingress,
    refuse_unfinished_scaling,
    refuse_unfit,
    report_own_files,
    report_undone_restore,
)
from tests.unit.clusters import site
from tests.unit.settings_of import settings_of

_MACHINE = MachineState(
    os="debian", release="13", architecture="arm64", root=True, systemd=True, free_disk_gb=30.0
)

_ADA = "ada@example.com"


_SUPPORTED = [("debian", "12"), ("debian", "13"), ("ubuntu", "24.04")]


@pytest.mark.parametrize(("os", "release"), _SUPPORTED)
def test_a_supported_host_is_accepted(os: str, release: str) -> None:
    assert [*SYSTEMS] == _SUPPORTED
    refuse(replace(_MACHINE, os=os, release=release), minimum_free_disk_gb=8.0)


@pytest.mark.parametrize(
    ("machine", "code", "facts"),
    [
        (
            replace(_MACHINE, os="fedora", release="43"),
            "refused.system",
            ("fedora 43: use Debian 12",),
        ),
        (replace(_MACHINE, root=False), "refused.not_root", ("INFISICAL_SSH_USER to root",)),
        (replace(_MACHINE, systemd=False), "refused.no_systemd", ("systemd",)),
        (
            replace(_MACHINE, free_disk_gb=2.0),
            "refused.disk",
            ("2.0 GB", "8 GB", "setting 'minimum_free_disk_gb'"),
        ),
    ],
)
def test_a_host_that_cannot_work_is_refused(
    machine: MachineState, code: str, facts: tuple[str, ...]
) -> None:
    with pytest.raises(Refused) as refusal:
        refuse(machine, minimum_free_disk_gb=8.0)
    assert refusal.value.code == code
    for fact in facts:
        assert fact in str(refusal.value)


def test_a_deployed_host_needs_no_space_for_a_first_deploy() -> None:
    refuse(replace(_MACHINE, free_disk_gb=2.0, deployed=True), minimum_free_disk_gb=8.0)


@pytest.mark.parametrize(
    ("state", "topology", "code", "fact"),
    [
        ("s out paused", "single", "refused.scaling", "`infisical-iac scale-out --undo`"),
        ("s in switching", "swarm", "refused.scaling", "`infisical-iac scale-in --undo`"),
        ("s in switched", "swarm", "refused.scaling_switched", "`infisical-iac scale-in`"),
        ("s in proven", "single", "refused.scaling_proven", "`infisical-iac scale-in`"),
    ],
)
def test_a_host_with_an_unfinished_migration_is_refused(
    state: str, topology: str, code: str, fact: str
) -> None:
    with pytest.raises(Refused) as refusal:
        refuse_unfinished_scaling(replace(_MACHINE, scaling=state), topology=topology)
    assert refusal.value.code == code
    assert fact in str(refusal.value)


def test_a_cluster_host_is_refused_as_a_single_host() -> None:
    with pytest.raises(Refused, match="`infisical-iac scale-in`") as refusal:
        refuse_unfinished_scaling(replace(_MACHINE, clustered=True), topology="single")
    assert refusal.value.code == "refused.clustered"


def test_a_cluster_host_is_accepted_as_part_of_a_cluster() -> None:
    refuse_unfinished_scaling(replace(_MACHINE, clustered=True), topology="swarm")


def test_a_password_is_made_if_none_is_given() -> None:
    assert admin_password(None, is_new=True) is None


def test_a_strong_password_is_used_unchanged() -> None:
    assert admin_password("obviously-fake-Passw0rd!", is_new=True) == "obviously-fake-Passw0rd!"


@pytest.mark.parametrize(
    ("given", "code", "fact"),
    [
        ("", "settings.weak_password", "20 characters"),
        ("short-fake", "settings.weak_password", "20 characters"),
        ("abababababababababababab", "settings.weak_password", "8 of them different"),
        (" obviously-fake-Passw0rd!", "settings.password_ends", "blanks"),
        ("obviously-fake-Passw0rd!\n", "settings.password_ends", "blanks"),
        ("obviously fake Passw0rd!", "settings.password_characters", "a blank, quote"),
        ("obviously-fake-$HOME-0rd", "settings.password_characters", "dollar sign"),
    ],
)
def test_a_weak_or_fragile_password_is_refused_without_being_shown(
    given: str, code: str, fact: str
) -> None:
    with pytest.raises(SettingsError, match="INFISICAL_ADMIN_PASSWORD") as refusal:
        admin_password(given, is_new=True)
    assert refusal.value.code == code
    assert fact in str(refusal.value)
    assert len(given) < 9 or given.strip() not in str(refusal.value)


@pytest.mark.parametrize(
    ("given", "taken"),
    [("short-fake", "short-fake"), ("", None), ("obviously fake", None), (" fake", None)],
)
def test_the_password_of_an_existing_administrator_never_ends_a_run(
    given: str, taken: str | None
) -> None:
    assert admin_password(given, is_new=False) == taken


@pytest.mark.parametrize(
    ("state", "code", "facts"),
    [
        (
            KeysState(sample=frozenset({"auth_secret"})),
            "refused.sample_key",
            ("/etc/infisical/keys/auth_secret ",),
        ),
        (
            KeysState(malformed=frozenset({"encryption_key"})),
            "refused.malformed_key",
            ("/etc/infisical/keys/encryption_key ", "exactly 32 characters"),
        ),
        (
            KeysState(database=True, missing=frozenset({"encryption_key"})),
            "refused.lost_key",
            ("/etc/infisical/keys/encryption_key ", "the recovery kit"),
        ),
        (
            KeysState(database=True, missing=frozenset({"admin.env"})),
            "refused.lost_login",
            ("/etc/infisical/admin.env ", "INFISICAL_ADMIN_PASSWORD"),
        ),
        (
            KeysState(repositories=True, missing=frozenset({"restic_password"})),
            "refused.lost_backup_key",
            ("/etc/infisical/keys/restic_password ", "/var/lib/infisical-backup"),
        ),
        (
            KeysState(admin_email="ben@example.com"),
            "refused.other_administrator",
            ("setting 'admin_email'", _ADA, "ben@example.com:"),
        ),
    ],
)
def test_a_missing_irreplaceable_key_ends_the_run(
    state: KeysState, code: str, facts: tuple[str, ...]
) -> None:
    with pytest.raises(Refused) as refusal:
        keys.refuse(state, admin_email=_ADA, password_given=False)
    assert refusal.value.code == code
    for fact in facts:
        assert fact in str(refusal.value)


@pytest.mark.parametrize(
    "state",
    [
        KeysState(database=True, missing=frozenset({"admin.env"})),
        KeysState(repositories=True, missing=frozenset({"restic_password"})),
        KeysState(malformed=frozenset({"kit_signing_key"})),
        KeysState(admin_email="ben@example.com"),
    ],
)
def test_a_problem_with_a_key_does_not_block_the_containers(state: KeysState) -> None:
    def blocks(changed: KeysState, *, shared: bool = False) -> bool:
        with pytest.raises(Refused) as refusal:
            keys.refuse(changed, admin_email=_ADA, password_given=False, shared=shared)
        return refusal.value.blocks_others

    assert not blocks(state)
    # All nodes would lose a key that the leader lacks.
    assert blocks(state, shared=True)
    # Compose needs these to start anything.
    assert blocks(replace(state, missing=state.missing | {"redis_password"}))
    assert blocks(replace(state, stale=frozenset({".env"})))


def test_keys_without_dependants_are_made() -> None:
    for state in (
        KeysState(missing=frozenset({"encryption_key", "admin.env"})),
        KeysState(
            database=True,
            missing=frozenset({"redis_password", "auth_secret"}),
            admin_email=_ADA,
        ),
    ):
        keys.refuse(state, admin_email=_ADA, password_given=False)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Journal:
    """The journal of a run whose output a command of this project reads."""
    made = Journal(is_read=True)
    monkeypatch.setattr(journal, "current", lambda: made)
    return made


def test_a_failed_restore_is_reported_before_a_new_instance_is_made(run: Journal) -> None:
    report_undone_restore(replace(_MACHINE, undone="20261125T101112Z"))
    (note,) = run.notes
    assert "20261125T101112Z" in note
    assert "`infisical-iac restore`" in note


def test_a_host_without_a_failed_restore_has_no_note(run: Journal) -> None:
    report_undone_restore(_MACHINE)
    assert run.notes == []


def test_the_users_own_files_are_notes_of_a_plan(
    run: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the defaults, and a template that replaces none, change no exit status."""
    monkeypatch.chdir(tmp_path)
    report_own_files()
    assert run.notes == []
    for file, text in (
        ("group_data/all.py", DEFAULTS.read_text()),
        ("templates/stack/gone.conf.j2", ""),
    ):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text(text)
    report_own_files()
    copied, replaced = run.notes
    assert "group_data/all.py" in copied
    assert "templates/stack/gone.conf.j2" in replaced


def test_the_hosts_state_blocks_a_part_and_wrong_settings_end_the_run(
    run: Journal,
) -> None:
    held = replace(_MACHINE, deployed=True, web={443: "nginx"})
    caddy = {"ingress": "caddy", "site_url": "https://secrets.example.com"}
    run.goes_on = True
    refuse_ingress(settings_of(**caddy), held)
    (blocked,) = run.blocked_parts
    assert (blocked.kind, blocked.what) == ("!", "Ingress")
    assert "port 443" in blocked.detail
    assert "nginx" in blocked.detail
    assert run.without == {"caddy"}
    with pytest.raises(SettingsError, match="site_url"):
        refuse_ingress(settings_of(**{**caddy, "site_url": "http://localhost:8080"}), held)


@pytest.mark.parametrize("under_way", [{"upgrading": "x y z"}, {"rotating": "x"}])
def test_an_unfinished_change_waits_for_caddys_ports(
    run: Journal, under_way: dict[str, Any]
) -> None:
    """`apply` completes the change first: it starts all containers, or rolls back."""
    run.goes_on = True
    held = replace(_MACHINE, deployed=True, web={443: "nginx"}, **under_way)
    refuse_ingress(settings_of(ingress="caddy", site_url="https://secrets.example.com"), held)
    assert [each.what for each in run.blocked_parts] == ["Ingress", "Stack"]
    assert run.without == frozenset()


@pytest.mark.parametrize(
    ("machine", "settings"),
    [
        ({"web": {443: "container dokploy-traefik"}}, {"ingress": "caddy"}),
        ({}, {"ingress": "traefik", "firewall": "off"}),
    ],
)
def test_dokploy_blocks_only_the_ingress_of_a_deployed_host(
    run: Journal, machine: dict[str, Any], settings: dict[str, Any]
) -> None:
    run.goes_on = True
    refuse_ingress(
        settings_of(**settings, site_url="https://secrets.example.com"),
        replace(_MACHINE, deployed=True, **machine),
    )
    assert [each.what for each in run.blocked_parts] == ["Ingress"]
    assert run.without == {"caddy"}


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_kernel_without_encryption_blocks_the_swarm_of_a_running_cluster(
    run: Journal, goes_on: bool
) -> None:
    run.goes_on = goes_on
    of = site()
    assert not of.cluster.esp
    if not goes_on:
        with pytest.raises(Refused, match="kernel of node-1, node-2 and node-3"):
            refuse_unfit(of)
        return
    refuse_unfit(of)
    (blocked,) = run.blocked_parts
    assert (blocked.kind, blocked.what) == ("!", "Swarm")
    assert "kernel of node-1" in blocked.detail


def test_a_bare_host_is_refused_if_its_ports_are_taken(run: Journal) -> None:
    caddy = {"ingress": "caddy", "site_url": "https://secrets.example.com"}
    with pytest.raises(Refused, match="held by nginx") as refusal:
        refuse_ingress(settings_of(**caddy), replace(_MACHINE, web={443: "nginx"}))
    assert refusal.value.code == "refused.port_held"
    assert run.blocked_parts == []


# The addresses that the host finds, by name; it finds no other name.
_FOUND = {
    "git.internal": ["10.9.0.7"],
    "otel.internal": ["203.0.113.7", "fd00::8"],
    "license.internal": ["10.1.0.9"],
}
_PRIVATE: dict[str, Any] = {"internal_networks": ("10.1.0.0/16",)}
_GITLAB = {"login": {"gitlab": {"client_id": "fake", "address": "https://git.internal"}}}
_LICENSE = {"infisical_environment": {"LICENSE_SERVER_URL": "https://license.internal"}}
_OTEL = {"infisical_environment": {"OTEL_EXPORT_OTLP_ENDPOINT": "http://otel.internal:4318"}}
_PROXY = {"outbound_proxy": "http://proxy.internal:3128"}


@pytest.fixture
def look_up(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return a function that looks up the names in settings, and returns these names."""
    asked: list[str] = []

    def get_fact(fact: type, names: list[str]) -> dict[str, list[str]]:
        asked.extend(names)
        return {name: _FOUND[name] for name in names if name in _FOUND}

    def run(**changes: Any) -> list[str]:
        asked.clear()
        look_up_names(settings_of(**changes))
        return asked

    monkeypatch.setattr(preflight, "host", SimpleNamespace(get_fact=get_fact))
    return run


@pytest.mark.parametrize(
    ("changes", "address", "name"),
    [
        (_GITLAB, "10.9.0.7", "git.internal"),
        (_OTEL, "fd00::8", "otel.internal"),
        (_LICENSE | {"internal_networks": ("10.2.0.0/16",)}, "10.1.0.9", "license.internal"),
        (_PROXY | {"no_proxy": (".internal",)} | _GITLAB, "10.9.0.7", "git.internal"),
    ],
)
def test_a_name_with_a_private_address_that_is_not_listed_is_refused(
    look_up: Callable[..., list[str]], changes: dict[str, Any], address: str, name: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        look_up(**_PRIVATE | changes)
    assert refusal.value.code == "settings.unreached"
    assert address in str(refusal.value)
    assert name in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        (_LICENSE, ["license.internal"]),
        (_GITLAB | {"internal_networks": ("10.9.0.0/16",)}, ["git.internal"]),
        ({"license_key": "online"}, ["portal.infisical.com"]),
        # The proxy resolves their names.
        (_PROXY | _GITLAB, []),
        # The firewall keeps Infisical from no address; only Infisical itself refuses some.
        (_GITLAB | {"internal_networks": ()}, []),
    ],
)
def test_names_that_are_reached_or_unknown_are_not_refused(
    look_up: Callable[..., list[str]], changes: dict[str, Any], asked: list[str]
) -> None:
    assert look_up(**_PRIVATE | changes) == asked
