"""Test how a foreign engine is detected and validated, and that it is not changed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from infisical_iac.agent.files import PathState
from infisical_iac.agent.membership import SwarmState
from infisical_iac.cluster import site as cluster_site
from infisical_iac.cluster.site import ClusterSite
from infisical_iac.core.errors import Refused
from infisical_iac.core.files import File
from infisical_iac.host import docker
from infisical_iac.host.docker import DAEMON, Engine, daemon
from infisical_iac.host.hardening import root_may_log_in, without_window
from infisical_iac.host.model import MachineState
from infisical_iac.host.shared import not_ours
from infisical_iac.stack.compose import compose_file
from tests.unit.cluster.observed import NAMES, cluster_of
from tests.unit.fake_programs import fake_docker, run_with
from tests.unit.settings_of import settings_of

_BARE = MachineState(os="debian", release="13")
_SWARM = MachineState(os="debian", release="13", swarm=True, engine="28.5.0", compose=True)
_TRAEFIK = {"ingress": "traefik", "firewall": "off"}


def _inspect(host: Path, docker: str) -> tuple[str, bool]:
    """Return what a fake Docker says about its version and Compose."""
    fake_docker(host, docker)
    return Engine().process(run_with(host, Engine().command()).stdout.splitlines())


def test_a_docker_of_others_is_known_with_its_version_and_compose(tmp_path: Path) -> None:
    assert _inspect(tmp_path, '"version --format"*) echo 28.5.0 ;;') == ("28.5.0", True)


def test_a_docker_of_others_may_not_answer(tmp_path: Path) -> None:
    assert _inspect(tmp_path, "*) exit 1 ;;") == ("", False)


@pytest.mark.parametrize(
    ("ingress", "machine", "why"),
    [
        ("caddy", _BARE, ""),
        ("none", _BARE, ""),
        ("none", _SWARM, " in a Swarm,"),
        ("traefik", _SWARM, " in a Swarm,"),
        ("traefik", _BARE, " Dokploy's (setting 'ingress'),"),
    ],
)
def test_engines_of_dokploy_and_of_other_swarms_are_managed_by_others(
    ingress: str, machine: MachineState, why: str
) -> None:
    reason = not_ours(settings_of(ingress=ingress), machine)
    assert why in reason
    assert bool(reason) is bool(why)


@pytest.mark.parametrize("version", ["25.0.0", "26.1.5+dfsg1", "28.5.0", "29.4.2"])
def test_a_suitable_engine_of_others_is_accepted(version: str) -> None:
    docker.refuse(settings_of(**_TRAEFIK), replace(_SWARM, engine=version))


@pytest.mark.parametrize(
    ("lacking", "code", "fact"),
    [
        ({"engine": "", "compose": False}, "refused.engine_down", "systemctl status docker"),
        ({"engine": "20.10.24+dfsg1"}, "refused.engine_old", "20.10.24+dfsg1"),
        ({"compose": False}, "refused.no_compose", "docker compose"),
    ],
)
def test_an_unsuitable_engine_of_others_is_refused(
    lacking: dict[str, Any], code: str, fact: str
) -> None:
    with pytest.raises(Refused) as refusal:
        docker.refuse(settings_of(**_TRAEFIK), replace(_SWARM, **lacking))
    assert refusal.value.code == code
    assert fact in str(refusal.value)
    assert "Swarm" in str(refusal.value)


def test_a_data_volume_is_refused_with_an_engine_of_others() -> None:
    with pytest.raises(Refused) as refusal:
        docker.refuse(settings_of(**_TRAEFIK, data_volume="/dev/sdb"), _SWARM)
    assert refusal.value.code == "refused.data_volume"


def test_an_engine_of_this_project_is_not_refused() -> None:
    docker.refuse(settings_of(data_volume="/dev/sdb"), _BARE)


@pytest.mark.parametrize("drill", [False, True])
def test_containers_have_the_options_that_this_projects_engine_would_set(drill: bool) -> None:
    services = yaml.safe_load(compose_file(settings_of(**_TRAEFIK), _SWARM, drill=drill))[
        "services"
    ]
    for service in services.values():
        logging = service["logging"]
        assert logging == {"driver": DAEMON["log-driver"], "options": DAEMON["log-opts"]}
        assert ("no-new-privileges:true" in service["security_opt"]) is DAEMON["no-new-privileges"]
        assert set(service["ulimits"].items()) == {("core", 0)}
    assert set(DAEMON) == {
        *("log-driver", "log-opts", "no-new-privileges", "default-ulimits"),
        # The only differences: a Swarm forbids the first; the second saves a process for each port.
        *("live-restore", "userland-proxy"),
    }


def test_the_engine_of_a_cluster_is_managed_and_has_no_live_restore() -> None:
    assert not_ours(settings_of(topology="swarm"), _SWARM) == ""
    assert json.loads(daemon()) == DAEMON
    assert json.loads(daemon(in_swarm=True)) == {**DAEMON, "live-restore": False}


def _is_reloaded(monkeypatch: pytest.MonkeyPatch, seen: SwarmState) -> bool:
    """Return whether the engine of a host reloads its configuration."""
    looks = dict.fromkeys(NAMES, seen)
    cluster = cluster_of({name: replace(look, address="10.0.0.1") for name, look in looks.items()})
    asked: list[File] = []
    monkeypatch.setattr(cluster_site, "engine_reload", lambda config, name: asked.append(config))
    config = File("/etc/docker/daemon.json", daemon(in_swarm=True))
    alone = File("/etc/docker/daemon.json", daemon())
    site = ClusterSite(settings_of(topology="swarm"), _BARE, cluster)
    is_reloaded = site.reload_engine(config, alone)
    assert asked == ([config] if is_reloaded else [])
    return is_reloaded


def _daemon_file(text: str) -> dict[str, PathState]:
    return {"/etc/docker/daemon.json": File("/etc/docker/daemon.json", text).state}


def test_an_engine_of_a_single_host_reloads_its_configuration_without_a_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = SwarmState(live_restore=True, files=_daemon_file(daemon()))
    assert _is_reloaded(monkeypatch, seen)


@pytest.mark.parametrize(
    "seen",
    [
        SwarmState(),
        SwarmState(live_restore=True),
        SwarmState(live_restore=True, files=_daemon_file("{}")),
        SwarmState(files=_daemon_file(daemon())),
    ],
)
def test_an_engine_with_other_differences_in_its_configuration_is_restarted(
    monkeypatch: pytest.MonkeyPatch, seen: SwarmState
) -> None:
    assert not _is_reloaded(monkeypatch, seen)


def test_a_swarm_of_others_or_an_empty_setting_gets_no_maintenance_window() -> None:
    assert "in a Swarm" in without_window(settings_of(maintenance_window=""), _SWARM)
    assert without_window(settings_of(), _BARE) == ""
    assert "is empty" in without_window(settings_of(maintenance_window=""), _BARE)


def test_a_window_that_is_set_is_kept_on_an_engine_of_others() -> None:
    assert without_window(settings_of(maintenance_window="Sun *-*-* 05:00:00"), _SWARM) == ""


@pytest.mark.parametrize(
    ("permitted", "method", "by_sudo", "alone", "keeps"),
    [
        ("without-password", "publickey", False, True, True),
        ("without-password", "publickey", True, True, False),
        ("without-password", "publickey", True, False, True),
        ("no", "publickey", True, False, False),
        ("yes", "", False, True, True),
        ("no", "", False, True, False),
    ],
)
def test_root_may_still_log_in_if_root_deploys_or_others_manage_the_host(
    permitted: str, method: str, by_sudo: bool, alone: bool, keeps: bool
) -> None:
    found = root_may_log_in(permitted, method=method, by_sudo=by_sudo, is_sole_manager=alone)
    assert found is keeps
