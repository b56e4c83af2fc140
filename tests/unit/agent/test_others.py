"""Test that other users of the host's Docker are found, also while it does not run."""

import json
from pathlib import Path

import pytest

from infisical_iac.agent import others
from infisical_iac.agent.others import OtherContainers, other_containers
from infisical_iac.agent.runner import Output
from infisical_iac.core.agent import question
from infisical_iac.host.docker import daemon
from tests.unit.agent.fake_runner import FakeRunner, answer


def _host(root: Path, *containers: str, config: str = "") -> FakeRunner:
    """Return a host with running containers "<name> <Compose project>"."""
    pairs = (each.partition(" ") for each in containers)
    lines = [json.dumps({"name": name, "project": project}) for name, _, project in pairs]
    host = FakeRunner(root, {"docker ps": "".join(f"{line}\n" for line in lines)})
    if config:
        host.write("/etc/docker/daemon.json", config)
    return host


def test_a_host_without_docker_is_not_shared(tmp_path: Path) -> None:
    found = answer(question(other_containers), FakeRunner(tmp_path))
    assert found == OtherContainers()
    assert not found.is_shared


def test_containers_of_this_project_are_not_others(tmp_path: Path) -> None:
    ours = ("infisical-caddy-1 infisical", "infisical_postgres-1.1.abc ", "x infisical-drill")
    assert other_containers(_host(tmp_path, *ours)) == OtherContainers()


def test_containers_of_others_are_named_once_for_each_service(tmp_path: Path) -> None:
    host = _host(tmp_path, "web shop", "dokploy.1.x8f2 ", "dokploy.2.k3d1 ", "db ")
    found = answer(question(other_containers), host)
    assert found.names == ("db", "dokploy", "web")
    assert found.is_shared


@pytest.mark.parametrize("in_swarm", [False, True])
def test_an_engine_that_this_project_has_configured_is_its_own(
    tmp_path: Path, in_swarm: bool
) -> None:
    found = other_containers(_host(tmp_path, "exporter ", config=daemon(in_swarm=in_swarm)))
    assert (found.is_own, found.names, found.is_shared) == (True, (), False)


@pytest.mark.parametrize(
    "config", [json.dumps({"live-restore": True, "no-new-privileges": True}), "{", "[]"]
)
def test_an_engine_that_others_have_configured_is_shared(tmp_path: Path, config: str) -> None:
    assert other_containers(_host(tmp_path, "web ", config=config)).is_shared


def test_a_swarm_is_shared_even_without_containers(tmp_path: Path) -> None:
    for config, place in (
        ("", "/var/lib/docker"),
        ('{"debug": false, "data-root": "/elsewhere"}', "/elsewhere"),
    ):
        host = _host(tmp_path / place.strip("/"), config=config)
        host.path(f"{place}/swarm").mkdir(parents=True)
        # A Docker that left its swarm keeps the directory.
        assert not other_containers(host).in_swarm
        host.write(f"{place}/swarm/docker-state.json", "{}")
        found = other_containers(host)
        assert (found.in_swarm, found.is_shared) == (True, True)


def test_a_stopped_engine_is_shared_if_it_will_start_containers_of_others(tmp_path: Path) -> None:
    """Otherwise a run would configure an engine of others as its own while it is down."""
    host = FakeRunner(tmp_path, {"docker ps": Output(1)})
    policies = {"coolify": "unless-stopped", "leftover": "no", "infisical-caddy-1": "always"}
    for name, policy in policies.items():
        container = f"/var/lib/docker/containers/{name}"
        host.write(f"{container}/hostconfig.json", f'{{"RestartPolicy":{{"Name":"{policy}"}}}}')
        host.write(
            f"{container}/config.v2.json",
            f'{{"State":{{"Running":false}},"Name":"/{name}","Driver":"overlay2"}}',
        )
    host.write("/var/lib/docker/containers/half-made/hostconfig.json", "")
    assert other_containers(host).names == ("coolify",)


def test_the_others_are_printed_as_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(others, "Runner", lambda: _host(tmp_path, "web "))
    assert others.main([]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"names": ["web"], "in_swarm": False, "is_own": False}
