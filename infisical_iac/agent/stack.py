"""Observe and change the Compose project `infisical` of a single host."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import NamedTemporaryFile

from infisical_iac.agent.docker import (
    PROJECT,
    Connection,
    DockerContainer,
    DockerNetwork,
    Limits,
    list_containers,
    list_networks,
    present_images,
    read_log,
)
from infisical_iac.agent.files import lines_without_keys, write
from infisical_iac.agent.runner import (
    Failure,
    Output,
    Runner,
    action,
    explain,
    failure_of,
    observation,
)

ROOT = "/etc/infisical"
COMPOSE_FILE = f"{ROOT}/compose.yaml"
# Both are longer than the longest interval and timeout of a health check in stack/compose.py:
# tests/unit/stack/test_health_intervals.py.
START_SECONDS = 45
RESUME_SECONDS = 60
# Compose waits for the services that others depend on.
_UP_SECONDS = 3600
_MOST_RESTARTS = 5
_LOG_LINES = 12
_MOST_CHARACTERS = 300
_PORTS = range(2020, 2030)
# A container in one of these states can't be started.
_STUCK = ("created", "dead", "removing", "restarting")


@dataclass(frozen=True)
class Container:
    """One container of a service.

    Attributes:
        configuration: the hash of the configuration that it was created from.
        status: as Docker calls it.
        health: `none` without a health check.
        connections: its connections by network.
        limits: its limits.
    """

    configuration: str
    status: str
    health: str
    connections: Mapping[str, Connection] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    @property
    def is_healthy(self) -> bool:
        """Return whether the container runs and its health check succeeds."""
        return self.status == "running" and self.health == "healthy"


@dataclass(frozen=True)
class ObservedStack:
    """The containers of the project, and what they are compared with.

    Attributes:
        engine: whether Docker is installed and answers.
        hashes: by service of the desired file, the hash of its configuration; empty if Compose
            can't read the file.
        containers: the containers by service.
        networks: Docker's networks by name.
        images: the requested images that are present.
        compose: the text of the Compose file on the host, if it was asked for.
    """

    engine: bool = False
    hashes: Mapping[str, str] = field(default_factory=dict)
    containers: Mapping[str, tuple[Container, ...]] = field(default_factory=dict)
    networks: Mapping[str, DockerNetwork] = field(default_factory=dict)
    images: frozenset[str] = frozenset()
    compose: str = ""


@observation
def state(runner: Runner, *, compose: str, images: Sequence[str]) -> ObservedStack:
    """Return the stack, for the text of the desired Compose file and the images to look for.

    A container that was just started, by the host's boot or by Docker, gets time to become healthy
    before it counts as a difference.
    """
    with ThreadPoolExecutor() as pool:
        hashes = pool.submit(_hash_services, runner, compose)
        networks = pool.submit(list_networks, runner)
        present = pool.submit(present_images, runner, images=images)
        try:
            containers = _list_started(runner)
        except RuntimeError:
            return ObservedStack(hashes=hashes.result())
    found = _by_service(containers)
    return ObservedStack(True, hashes.result(), found, networks.result(), present.result())


@observation
def connections(runner: Runner) -> ObservedStack:
    """Return the containers with their connections, Docker's networks, and compose.yaml."""
    text = runner.text(COMPOSE_FILE) or ""
    return ObservedStack(
        True,
        containers=_by_service(_list_own(runner)),
        networks=list_networks(runner),
        compose=text,
    )


def _hash_services(runner: Runner, text: str) -> dict[str, str]:
    # Compose 1.29 prints no hashes of a file on its standard input.
    with _temporary(text) as file:
        listed = _compose(runner, file, "config", "--hash=*").lines
    pairs = (line.split() for line in listed)
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


@contextmanager
def _temporary(text: str) -> Iterator[str]:
    with NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        yield file.name


def _compose(runner: Runner, file: str, *words: str, seconds: float = 300) -> Output:
    return run_compose(runner, file, *words, seconds=seconds)


def run_compose(
    runner: Runner,
    file: str,
    *words: str,
    project: str = PROJECT,
    variables: str = "",
    seconds: float = 300,
) -> Output:
    """Run Compose by whichever program the host has.

    Args:
        variables: a file with the variables of the Compose file; empty for the live instance's.
    """
    options = ["--project-name", project, "--project-directory", ROOT, "--file", file]
    options += ["--env-file", variables] if variables else []
    return runner.run([*_find_compose(runner), *options, *words], seconds=seconds)


def _find_compose(runner: Runner) -> list[str]:
    # Debian 13's docker-compose is the program that `docker compose` starts, and takes half the
    # time.
    own = "/usr/bin/docker-compose"
    if runner.path(own).resolve().parent.name == "cli-plugins":
        return [own]
    if runner.run(["docker", "compose", "version"]).status == 0:
        return ["docker", "compose"]
    return ["docker-compose"]


def _list_own(runner: Runner, project: str = PROJECT) -> list[DockerContainer]:
    return list_containers(runner, f"label=com.docker.compose.project={project}")


def _list_started(runner: Runner) -> list[DockerContainer]:
    end = time.monotonic() + START_SECONDS
    while True:
        found = _list_own(runner)
        starting = [each for each in found if each.is_running and each.health == "starting"]
        if not starting or time.monotonic() >= end:
            return found
        time.sleep(0.5)


def _by_service(containers: Sequence[DockerContainer]) -> dict[str, tuple[Container, ...]]:
    found: dict[str, tuple[Container, ...]] = {}
    for each in containers:
        one = Container(
            each.configuration, each.status, each.health or "none", each.connections, each.limits
        )
        found[each.service] = (*found.get(each.service, ()), one)
    return found


@action
def write_compose(runner: Runner, *, file: str, text: str) -> None:
    """Write a Compose file that only root can read.

    Raises RuntimeError with a Failure, with the old file in place, if Compose can't parse it.
    """
    with _temporary(text) as new:
        checked = _compose(runner, new, "config", "--quiet")
    if checked.status != 0:
        raise failure_of(checked.errors or f"Compose ended with status {checked.status}")
    write(runner.path(file), text.encode())


@action
def up(
    runner: Runner,
    *,
    without: Collection[str] = (),
    services: Collection[str] = (),
    networks: Sequence[str] = (),
) -> None:
    """Bring the containers to the state of compose.yaml.

    Args:
        without: services that stay as they are.
        services: services whose containers are re-created in any case.
        networks: networks that are re-created: Compose does not change one that exists, and refuses
            one that it did not make.

    Raises RuntimeError with a Failure.
    """
    for container in _list_own(runner):
        if container.service not in without:
            _make_startable(runner, container, is_recreated=container.service in services)
    removed = runner.run(["docker", "network", "rm", *networks]) if networks else Output(0)
    chosen = [each for each in list_services(runner) if each not in without] if without else []
    words = ["up", "--detach", "--remove-orphans", *chosen]
    done = _compose(runner, COMPOSE_FILE, *words, seconds=_UP_SECONDS)
    if done.status != 0:
        said = f"{removed.errors}{done.text}{done.errors}"
        raise failure_of(said or f"Compose ended with status {done.status}")


def list_services(runner: Runner) -> list[str]:
    """Return the services of the deployed compose.yaml; none if Compose can't read it."""
    return _compose(runner, COMPOSE_FILE, "config", "--services").lines


def _make_startable(runner: Runner, container: DockerContainer, *, is_recreated: bool) -> None:
    """Resume a paused container; remove one that Compose can't bring up, or must re-create.

    Compose can't bring up half-made and half-removed ones, nor those that restart again and again,
    because it does not reset their count of restarts.
    """
    if container.status == "paused":
        _resume(runner, container)
    is_failing = container.restarts >= _MOST_RESTARTS and container.health != "healthy"
    if is_recreated or (is_failing and container.status not in _STUCK):
        runner.run(["docker", "stop", container.id])
    elif container.status not in _STUCK:
        return
    runner.run(["docker", "rm", "--force", container.id])


def _resume(runner: Runner, container: DockerContainer) -> None:
    """Resume a paused container, and wait for its next health check.

    The checks failed during the pause, and Compose starts nothing that depends on an unhealthy
    container.
    """
    runner.run(["docker", "unpause", container.id])
    end = time.monotonic() + RESUME_SECONDS
    while time.monotonic() < end:
        now = next((each for each in _list_own(runner) if each.id == container.id), None)
        if now is None or now.health != "unhealthy":
            return
        time.sleep(1)


@dataclass(frozen=True)
class UnhealthyService:
    """A service that does not run, or whose health check fails.

    Attributes:
        status: as Docker calls it; `absent` without a container.
        log: its last log lines, without those that contain a key.
    """

    service: str
    status: str = "absent"
    health: str = "none"
    restarts: int = 0
    log: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return a line on the state, and an indented one for each line of the log."""
        state = f"{self.service} is {self.status}, health {self.health}"
        return "\n  ".join((f"{state}, restarted {self.restarts} times", *self.log))


@observation
def await_health(
    runner: Runner, *, seconds: int, without: Collection[str] = ()
) -> list[UnhealthyService]:
    """Wait until every container is healthy, and return those that are not within the seconds.

    It does not wait any longer once a container stops again and again.

    Args:
        without: services that are not waited for.
    """
    return _await(runner, list_services(runner), seconds, without)


def _await(
    runner: Runner, services: Sequence[str], seconds: float, without: Collection[str]
) -> list[UnhealthyService]:
    end = time.monotonic() + seconds
    while found := [*_list_unhealthy(runner, services, without)]:
        if any(each.restarts >= _MOST_RESTARTS for each, _ in found) or time.monotonic() >= end:
            break
        time.sleep(0.25)
    return [_with_log(runner, each, container) for each, container in found]


def start(runner: Runner, *, seconds: int) -> None:
    """Bring the containers to the state of compose.yaml, and wait until all are healthy.

    Raises RuntimeError with a Failure that names the unhealthy ones, with their last log lines.
    """
    hint = ""
    try:
        up(runner)
    except RuntimeError as error:
        hint, seconds = f" ({explain(error)})", 1
    _refuse_unhealthy(await_health(runner, seconds=seconds), hint)


def _refuse_unhealthy(found: Sequence[UnhealthyService], hint: str = "") -> None:
    if found:
        said = "\n".join(each.describe() for each in found)
        raise RuntimeError(Failure("checks", describe_unhealthy(said, hint)))


def create(runner: Runner) -> dict[str, DockerContainer]:
    """Create all containers as compose.yaml says, and return them by service.

    Those that run as it says go on; no other one is started. Raises RuntimeError with a Failure.
    """
    words = ["up", "--no-start", "--remove-orphans"]
    done = _compose(runner, COMPOSE_FILE, *words, seconds=_UP_SECONDS)
    if done.status != 0:
        raise failure_of(done.errors or f"Compose ended with status {done.status}")
    return {each.service: each for each in _list_own(runner)}


def find_outside(runner: Runner, container: DockerContainer) -> dict[str, list[str]]:
    """Return a container's aliases in each of its networks that is not internal, by name."""
    networks = list_networks(runner)
    return {
        name: sorted(each.aliases)
        for name, each in container.connections.items()
        if name not in networks or not networks[name].internal
    }


def disconnect(runner: Runner, container: DockerContainer, networks: Collection[str]) -> None:
    """Disconnect a container from networks. With the last outside one, its ports close."""
    for name in networks:
        runner.must_run(["docker", "network", "disconnect", name, container.id])


def connect(runner: Runner, service: str, networks: Mapping[str, Sequence[str]]) -> None:
    """Connect a service's container to networks, by these aliases, unless it is connected."""
    for container in _list_own(runner):
        if container.service == service:
            for name in networks.keys() - container.connections.keys():
                aliases = [word for each in networks[name] for word in ("--alias", each)]
                runner.must_run(["docker", "network", "connect", *aliases, name, container.id])


def start_created(runner: Runner, *containers: DockerContainer, seconds: float) -> None:
    """Start containers that `create` returned, and wait until they are healthy.

    Raises RuntimeError with a Failure, as `start` does.
    """
    names = {each.service for each in containers}
    runner.must_run(["docker", "start", *(each.id for each in containers)])
    others = {each.service for each in _list_own(runner)} - names
    _refuse_unhealthy(_await(runner, sorted(names), seconds, others))


def describe_unhealthy(said: str, hint: str = "") -> str:
    """Return a sentence on unhealthy containers, with the remedy if it is known.

    Args:
        said: the lines of the containers.
        hint: why Compose failed, in brackets; empty if it did not.
    """
    if "Read-only file system" in said:
        hint += "; this image writes to its root: set infisical_read_only = False"
    return f"the stack does not become healthy{hint}:\n{said}"


def _list_unhealthy(
    runner: Runner, services: Sequence[str], without: Collection[str]
) -> Iterator[tuple[UnhealthyService, str]]:
    """Yield the unhealthy services, each with the id of its container; no id for none."""
    try:
        containers = _list_own(runner)
    except RuntimeError:
        containers = []
    for each in containers:
        is_healthy = each.is_running and each.health == "healthy"
        if each.service not in without and not is_healthy:
            health = each.health or "none"
            yield UnhealthyService(each.service, each.status, health, each.restarts), each.id
    there = {each.service for each in containers}
    for name in services:
        if name not in there and name not in without:
            yield UnhealthyService(name), ""


def _with_log(runner: Runner, found: UnhealthyService, container: str) -> UnhealthyService:
    if not container:
        return found
    lines = read_log(runner, container, "--tail", str(_LOG_LINES))
    log = tuple(each[:_MOST_CHARACTERS] for each in lines_without_keys(runner, lines))
    return UnhealthyService(found.service, found.status, found.health, found.restarts, log)


def forward_port(runner: Runner, *, project: str = PROJECT) -> int:
    """Forward a port of the host's loopback to a project's Infisical; close an earlier one.

    Docker publishes no port of a container whose networks are all internal. The units are
    transient: a reboot ends them. Returns the port. Raises RuntimeError with a Failure.
    """
    close_port(runner, project)
    own = _list_own(runner, project)
    target = next((each for one in own for each in _addresses(one)), "")
    if not target:
        raise RuntimeError(
            Failure("command", "Infisical does not run", "`infisical-iac status` says why")
        )
    said = ""
    for port in _PORTS:
        unit = ["--unit", f"{project}-port-{port}"]
        listen = ["--socket-property", f"ListenStream=127.0.0.1:{port}"]
        proxy = ["/usr/lib/systemd/systemd-socket-proxyd", f"{target}:8080"]
        done = runner.run(["systemd-run", "--quiet", "--collect", *unit, *listen, *proxy])
        if done.status == 0:
            return port
        said = (f"{done.text}{done.errors}".strip().splitlines() or ["no reason given"])[-1]
    raise RuntimeError(
        Failure(
            "command",
            f"none of the loopback's ports {_PORTS[0]} to {_PORTS[-1]} can be forwarded to "
            f"Infisical: {said}",
        )
    )


def _addresses(container: DockerContainer) -> list[str]:
    if container.service != "infisical" or not container.is_running:
        return []
    return [each for each in container.networks.values() if each]


def close_port(runner: Runner, project: str) -> None:
    """End the forwarding to the Infisical of a Compose project."""
    runner.run(["systemctl", "stop", f"{project}-port-*.socket", f"{project}-port-*.service"])
