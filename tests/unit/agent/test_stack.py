"""Test how the Compose project is observed, brought up and waited for, and its forwarded port."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from infisical_iac.agent import stack
from infisical_iac.agent.docker import (
    Connection,
    DockerContainer,
    DockerNetwork,
    Limits,
    present_images,
)
from infisical_iac.agent.runner import Output
from infisical_iac.agent.stack import COMPOSE_FILE, Container, ObservedStack, UnhealthyService
from infisical_iac.core.agent import question
from tests.unit.agent.fake_runner import FakeRunner, answer, docker_answers, docker_container

_Answers = Mapping[str, str | Output]
_UP = "docker compose --project-name infisical --project-directory /etc/infisical --file"


@dataclass(frozen=True)
class _Host(FakeRunner):
    """A host whose Docker starts, stops and removes the containers in `containers`."""

    containers: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def commands(self) -> list[str]:
        return [command for command, _ in self.ran]

    def of(self, *ids: str) -> list[str]:
        """Return the changes of these containers and networks."""
        read = ("docker ps", "docker inspect")
        return [
            each
            for each in self.commands
            if each.endswith(tuple(f" {id}" for id in ids)) and not each.startswith(read)
        ]

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 0,
        environment: Mapping[str, str] = {},
    ) -> Output:
        done = super().run(words, stdin=stdin)
        match words:
            case ["docker", "ps", *_]:
                return Output(0, "".join(f"{each}\n" for each in self.containers))
            case ["docker", "inspect", *_]:
                return Output(
                    0, "".join(f"{json.dumps(each)}\n" for each in self.containers.values())
                )
            case ["docker", "unpause", id]:
                self.containers[id]["State"]["Status"] = "running"
            case ["docker", "stop", id] if self.containers[id]["State"]["Status"] == "running":
                self.containers[id]["State"]["Status"] = "exited"
            case ["docker", "rm", "--force", id]:
                del self.containers[id]
            case [*_, "up", "--detach", "--remove-orphans"] | [*_, "up", "--detach", _, _, _]:
                states = {each["State"]["Status"] for each in self.containers.values()}
                if {"paused", "dead", "removing"} & states and done.status == 0:
                    return Output(1, "", "a\nb\nc\ncannot start a paused container\n")
        return done

    def find(self) -> list[str]:
        """Return the containers as `_host` got them."""
        return [
            f"{id} {each['Config']['Labels']['com.docker.compose.service']} "
            f"{each['State']['Status']} {each['RestartCount']} "
            f"{each['State'].get('Health', {}).get('Status', 'none')}"
            for id, each in self.containers.items()
        ]


def _host(
    root: Path, containers: Iterable[str] = (), answers: _Answers = MappingProxyType({})
) -> _Host:
    """Return a host with containers such as "<id> <service> <status> <restarts> <health>"."""
    made = {}
    for line in containers:
        id, service, state, restarts, health = line.split()
        made[id] = docker_container(
            id,
            project="infisical",
            service=service,
            state=state,
            health="" if health == "none" else health,
            RestartCount=int(restarts),
        )
    services = f"{_UP} {COMPOSE_FILE} config --services"
    known = {**answers, services: "infisical\nredis\ncaddy\n", "docker": "", "systemctl": ""}
    return _Host(root, known, containers=made)


@pytest.fixture(autouse=True)
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let the clock pass without waiting, and return the pauses."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    monkeypatch.setattr(time, "monotonic", lambda: sum(pauses))
    return pauses


_REDIS = "r redis running 0 healthy"
_POSTGRES = "p postgres running 0 healthy"


def _up(host: _Host, **arguments: Sequence[str]) -> list[str]:
    """Bring up a stack, and return the containers that Compose finds afterwards."""
    stack.up(host, **arguments)
    return host.find()


def test_a_paused_container_is_resumed(tmp_path: Path) -> None:
    host = _host(tmp_path, ["r redis paused 0 healthy", _POSTGRES])
    assert _up(host) == [_REDIS, _POSTGRES]


def test_a_resumed_container_is_waited_for_until_its_next_check(
    tmp_path: Path, sleeps: list[float]
) -> None:
    """Compose starts nothing that depends on an unhealthy container."""
    host = _host(tmp_path, ["r redis paused 0 unhealthy"])
    _up(host)
    assert sum(sleeps) == stack.RESUME_SECONDS


@pytest.mark.parametrize("status", ["created", "dead", "removing", "restarting"])
def test_a_container_that_can_not_start_is_recreated(tmp_path: Path, status: str) -> None:
    host = _host(tmp_path, [f"r redis {status} 0 none", _POSTGRES])
    assert _up(host) == [_POSTGRES]


def test_a_container_of_the_wrong_networks_is_stopped_and_recreated(tmp_path: Path) -> None:
    host = _host(tmp_path, ["r redis paused 0 healthy", _POSTGRES])
    assert _up(host, services=["redis"]) == [_POSTGRES]
    assert host.of("r") == ["docker unpause r", "docker stop r", "docker rm --force r"]


def test_a_network_is_recreated_once_nothing_is_connected_to_it(tmp_path: Path) -> None:
    host = _host(tmp_path, [_REDIS])
    _up(host, without=["caddy"], networks=["infisical_databases"], services=["redis"])
    assert host.of("r", "infisical_databases") == [
        *("docker stop r", "docker rm --force r", "docker network rm infisical_databases"),
    ]


def test_an_unhealthy_container_with_many_restarts_is_recreated(tmp_path: Path) -> None:
    host = _host(tmp_path, ["r redis running 7 unhealthy", "p postgres running 7 healthy"])
    assert _up(host) == ["p postgres running 7 healthy"]


def test_up_skips_a_service_that_can_not_run(tmp_path: Path) -> None:
    caddy = "c caddy restarting 9 none"
    host = _host(tmp_path, [caddy, "r redis dead 0 none", _POSTGRES])
    assert _up(host, without=["caddy"]) == [caddy, _POSTGRES]
    words = "up --detach --remove-orphans infisical redis"
    assert host.commands[-1] == f"{_UP} {COMPOSE_FILE} {words}"


def test_a_healthy_stack_is_left_unchanged(tmp_path: Path) -> None:
    containers = [_REDIS, "i infisical exited 2 none"]
    assert _up(_host(tmp_path, containers)) == containers


def test_a_failure_of_compose_is_reported_with_its_last_lines(tmp_path: Path) -> None:
    """Compose prints its reason last, and many lines of progress before it."""
    host = _host(
        tmp_path, [_REDIS], {f"{_UP} {COMPOSE_FILE} up": Output(1, "c\n", "a\nb\nno image\n")}
    )
    with pytest.raises(RuntimeError) as failed:
        _up(host)
    assert failed.value.args[0].message == "a / b / no image"


@pytest.mark.parametrize(
    ("link", "there", "program"),
    [
        # Debian 13, Debian 12 with its own version 1, and Docker's own packages.
        ("../libexec/docker/cli-plugins/docker-compose", True, "/usr/bin/docker-compose"),
        ("docker-compose-1.29", False, "docker-compose"),
        ("", True, "docker compose"),
        ("", False, "docker-compose"),
    ],
)
def test_compose_is_run_by_the_program_that_the_host_has(
    tmp_path: Path, link: str, there: bool, program: str
) -> None:
    host = _host(tmp_path, answers={"docker compose version": Output(0 if there else 1)})
    if link:
        host.path("/usr/bin").mkdir(parents=True)
        host.path("/usr/bin/docker-compose").symlink_to(link)
    stack.await_health(host, seconds=1)
    assert f"{program} {_UP.partition('compose ')[2]} {COMPOSE_FILE} config --services" in (
        host.commands
    )


@pytest.mark.parametrize(
    ("without", "unhealthy"),
    [((), [UnhealthyService("caddy", "restarting", "none", 9)]), (("caddy",), [])],
)
def test_a_skipped_service_is_not_waited_for(
    tmp_path: Path, without: tuple[str, ...], unhealthy: list[UnhealthyService]
) -> None:
    containers = ["c caddy restarting 9 none", _REDIS, "i infisical running 0 healthy"]
    host = _host(tmp_path, containers)
    assert stack.await_health(host, seconds=1, without=without) == unhealthy


def test_an_unhealthy_service_is_waited_for_and_explained_by_its_log(
    tmp_path: Path, sleeps: list[float]
) -> None:
    long = "x" * 400
    log = Output(0, f"it starts\nkey obviously-fake\n{long}\n", "warning\n")
    containers = ["i infisical running 4 starting", _REDIS, "c caddy running 0 healthy"]
    host = _host(tmp_path, containers, {"docker logs --tail 12 i": log})
    host.write("/etc/infisical/keys/auth_secret", "obviously-fake\n")
    (found,) = stack.await_health(host, seconds=30)
    assert sum(sleeps) == 30
    assert found.log == ("it starts", "x" * 300, "warning")
    lines = found.describe().splitlines()
    for fact in ("infisical", "running", "health starting", "4 times"):
        assert fact in lines[0]
    assert lines[1:] == [f"  {each}" for each in found.log]


def test_a_service_that_stops_again_and_again_is_not_waited_for(
    tmp_path: Path, sleeps: list[float]
) -> None:
    containers = ["i infisical restarting 5 none", _REDIS, "c caddy running 0 healthy"]
    (found,) = stack.await_health(_host(tmp_path, containers), seconds=30)
    assert (found.service, found.restarts, sleeps) == ("infisical", 5, [])


def test_a_service_without_a_container_is_absent(tmp_path: Path) -> None:
    found = stack.await_health(_host(tmp_path, [_REDIS]), seconds=1)
    assert found == [UnhealthyService("infisical"), UnhealthyService("caddy")]
    host = _host(tmp_path, answers={"docker ps": Output(1)})
    assert {each.status for each in stack.await_health(host, seconds=1)} == {"absent"}


_NETWORKS = (
    '{"name":"infisical_databases","id":"d1","internal":"true","project":"infisical"}\n'
    '{"name":"host","id":"h1","internal":"false","project":""}\n'
)
_FIELDS: dict[str, Any] = {
    "NetworkSettings": {
        "Networks": {
            "infisical_databases": {
                "IPAddress": "172.19.0.2",
                "NetworkID": "d1",
                "Aliases": ["redis", "infisical-redis-1"],
            }
        }
    },
    "HostConfig": {
        "RestartPolicy": {"Name": "unless-stopped"},
        "Memory": 268435456,
        "NanoCpus": 500000000,
        "PidsLimit": None,
    },
}


def _answers(**fields: Any) -> _Answers:
    container = docker_container(
        "r", project="infisical", service="redis", health="healthy", **fields
    )
    container["Config"]["Labels"]["com.docker.compose.config-hash"] = "222"
    return {
        **docker_answers(container),
        "docker network ls": _NETWORKS,
        "docker image inspect": "",
        "docker compose": "redis 222\n",
    }


def _state(root: Path, answers: _Answers) -> ObservedStack:
    asked = question(stack.state, compose="services: {}", images=["redis:8"])
    return answer(asked, FakeRunner(root, answers))


def test_the_state_of_the_stack_is_read_from_docker_and_compose(tmp_path: Path) -> None:
    connected = {"infisical_databases": Connection("d1", frozenset({"redis", "infisical-redis-1"}))}
    limits = Limits("unless-stopped", 268435456, 500000000, 0)
    assert _state(tmp_path, _answers(**_FIELDS)) == ObservedStack(
        engine=True,
        hashes={"redis": "222"},
        containers={"redis": (Container("222", "running", "healthy", connected, limits),)},
        networks={
            "infisical_databases": DockerNetwork("d1", True, "infisical"),
            "host": DockerNetwork("h1", False, ""),
        },
        images=frozenset({"redis:8"}),
    )


def test_a_container_that_never_ran_has_neither_connections_nor_limits(tmp_path: Path) -> None:
    networks = {"infisical_databases": {"IPAddress": "", "NetworkID": "", "Aliases": None}}
    found = _state(tmp_path, _answers(NetworkSettings={"Networks": networks}))
    ((redis,),) = found.containers.values()
    assert redis.connections == {"infisical_databases": Connection("", frozenset())}
    assert redis.limits == Limits("no", 0, 0, 0)


def test_a_host_whose_docker_does_not_answer_has_no_engine(tmp_path: Path) -> None:
    stopped = {**_answers(), "docker ps": Output(1)}
    assert _state(tmp_path, stopped) == ObservedStack(hashes={"redis": "222"})
    assert _state(tmp_path, {}) == ObservedStack()


def test_without_keys_compose_can_not_read_the_file(tmp_path: Path) -> None:
    found = _state(tmp_path, {**_answers(), "docker compose": Output(1, "", "no .env")})
    assert (found.engine, found.hashes) == (True, {})


def test_a_container_that_was_just_started_has_time_to_become_healthy(
    tmp_path: Path, sleeps: list[float]
) -> None:
    host = _host(tmp_path, ["r redis running 0 starting"], {"docker network ls": ""})
    found = stack.state(host, compose="", images=[])
    assert found.containers["redis"][0].health == "starting"
    assert sum(sleeps) == stack.START_SECONDS


def test_the_connections_are_compared_with_compose_yaml(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path, _answers(**_FIELDS))
    assert stack.connections(host).compose == ""
    host.write(COMPOSE_FILE, "services: {redis: {}}\n")
    found = stack.connections(host)
    assert found.compose == "services: {redis: {}}\n"
    assert ([*found.containers], len(found.networks)) == (["redis"], 2)


def test_a_file_that_compose_refuses_leaves_the_old_one(tmp_path: Path) -> None:
    refusal = Output(1, "", "services.redis is wrong\n")
    host = FakeRunner(tmp_path, {"docker compose version": "", "docker compose": refusal})
    host.write(COMPOSE_FILE, "old")
    with pytest.raises(RuntimeError) as refused:
        stack.write_compose(host, file=COMPOSE_FILE, text="new")
    assert "services.redis" in refused.value.args[0].message
    assert host.text(COMPOSE_FILE) == "old"


def test_a_file_that_compose_can_read_is_private_to_root(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path, {"docker compose": ""})
    stack.write_compose(host, file=COMPOSE_FILE, text="services: {}\n")
    file = host.path(COMPOSE_FILE)
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("services: {}\n", 0o600)


def test_present_images_are_asked_for_one_by_one_only_if_one_is_missing() -> None:
    whole = "docker image inspect --format {{json .Id}}"
    host = FakeRunner(
        answers={f"{whole} a b": Output(1), f"{whole} a": "", f"{whole} b": Output(1)}
    )
    assert present_images(host, images=["a", "b"]) == {"a"}
    assert present_images(host, images=["b"]) == frozenset()
    assert present_images(host, images=[]) == frozenset()
    assert len(host.ran) == 4


_PROXY = "systemd-run --quiet --collect --unit infisical-port-{port} --socket-property "
_PROXY += "ListenStream=127.0.0.1:{port} /usr/lib/systemd/systemd-socket-proxyd 172.19.0.2:8080"
_IN_USE = Output(1, "", "Failed\nAddress already in use\n")


def _isolated(answers: _Answers = MappingProxyType({}), state: str = "running") -> FakeRunner:
    networks = {"infisical_databases": {"IPAddress": "172.19.0.2"}}
    container = docker_container(
        *("i",),
        project="infisical",
        service="infisical",
        state=state,
        NetworkSettings={"Networks": networks},
    )
    known = {**docker_answers(container), "systemctl": "", **answers, "systemd-run": ""}
    return FakeRunner(answers=known)


def test_a_port_is_forwarded_once_that_of_a_killed_run_is_closed() -> None:
    host = _isolated()
    assert stack.forward_port(host) == 2020
    first, *_, last = [command for command, _ in host.ran]
    assert first == "systemctl stop infisical-port-*.socket infisical-port-*.service"
    assert last == _PROXY.format(port=2020)


def test_a_port_in_use_is_skipped() -> None:
    host = _isolated({_PROXY.format(port=2020): _IN_USE})
    assert stack.forward_port(host) == 2021


def test_a_host_without_a_free_port_is_an_error_with_its_reason() -> None:
    host = _isolated({"systemd-run --quiet": _IN_USE})
    with pytest.raises(RuntimeError) as refused:
        stack.forward_port(host)
    assert refused.value.args[0].message.endswith(": Address already in use")
    assert sum("ListenStream" in command for command, _ in host.ran) == 10


def test_no_port_is_forwarded_to_a_stopped_infisical() -> None:
    host = _isolated(state="exited")
    with pytest.raises(RuntimeError) as refused:
        stack.forward_port(host)
    assert "does not run" in refused.value.args[0].message
    assert not any("ListenStream" in command for command, _ in host.ran)


_NETWORK = "docker network ls --no-trunc --format"


def _created(*networks: str, state: str = "created") -> dict[str, Any]:
    connections = {each: {"Aliases": ["infisical", "upstream"]} for each in networks}
    return docker_container(
        *("i",),
        project="infisical",
        service="infisical",
        state=state,
        NetworkSettings={"Networks": connections},
    )


def _with_networks(
    tmp_path: Path, container: dict[str, Any], answers: _Answers = MappingProxyType({})
) -> FakeRunner:
    listed = [
        {"id": "1", "name": "infisical_edge", "internal": "false", "project": "infisical"},
        {"id": "2", "name": "infisical_databases", "internal": "true", "project": "infisical"},
    ]
    networks = "".join(f"{json.dumps(each)}\n" for each in listed)
    known = {**docker_answers(container), _NETWORK: networks, "docker network": "", "docker": ""}
    return FakeRunner(tmp_path, {**answers, **known})


def test_a_container_is_created_and_disconnected_from_the_outside(
    tmp_path: Path,
) -> None:
    host = _with_networks(tmp_path, _created("infisical_edge", "infisical_databases"))
    created = stack.create(host)["infisical"]
    outside = stack.find_outside(host, created)
    assert outside == {"infisical_edge": ["infisical", "upstream"]}
    stack.disconnect(host, created, outside)
    ran = [command for command, _ in host.ran]
    assert any(command.endswith("up --no-start --remove-orphans") for command in ran)
    assert ran[-1] == "docker network disconnect infisical_edge i"


def test_a_container_is_connected_by_its_aliases_and_only_once(
    tmp_path: Path,
) -> None:
    outside = {"infisical_edge": ["infisical", "upstream"]}
    host = _with_networks(tmp_path, _created("infisical_databases", state="running"))
    stack.connect(host, "infisical", outside)
    aliases = "--alias infisical --alias upstream"
    assert host.ran[-1][0] == f"docker network connect {aliases} infisical_edge i"
    host = _with_networks(
        tmp_path, _created("infisical_edge", "infisical_databases", state="running")
    )
    stack.connect(host, "infisical", outside)
    assert not any("network connect" in command for command, _ in host.ran)


def test_a_container_that_compose_can_not_create_is_an_error(
    tmp_path: Path,
) -> None:
    host = _with_networks(tmp_path, _created(), {_UP: Output(1, "", "no such image\n")})
    with pytest.raises(RuntimeError) as refused:
        stack.create(host)
    assert "no such image" in refused.value.args[0].message


def test_a_created_container_is_started_and_waited_for_alone(
    tmp_path: Path, sleeps: list[float]
) -> None:
    containers = ["i infisical created 0 none", "c caddy exited 0 none"]
    host = _host(tmp_path, containers, {"docker start": ""})
    with pytest.raises(RuntimeError) as refused:
        stack.start_created(host, DockerContainer("i", labels=_LABELS), seconds=3)
    assert "docker start i" in host.commands
    message = refused.value.args[0].message
    assert "infisical is created" in message
    assert "caddy" not in message
    assert sum(sleeps) == pytest.approx(3, abs=0.3)


_LABELS = {"com.docker.compose.project": "infisical", "com.docker.compose.service": "infisical"}
