"""Observe the stack `infisical` from a manager of the swarm, and name its secrets."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from infisical_iac.agent import patroni
from infisical_iac.agent.files import PathState
from infisical_iac.agent.health import run_shortly
from infisical_iac.agent.patroni import PatroniState
from infisical_iac.agent.runner import Failure, Runner, observation
from infisical_iac.agent.services import (
    SwarmService,
    list_ended,
    list_nodes,
    list_services,
    list_tasks,
)
from infisical_iac.agent.shared_state import ROOT
from infisical_iac.agent.tasks import OF_STACK, STACK

# Longer than the longest interval of a health check in stack_file.py.
STARTING_SECONDS = 45
KINDS = ("secret", "config")
_OF_SHELL = re.compile(r"[^A-Za-z0-9+/=._-]")


@dataclass(frozen=True)
class Network:
    """A network of the stack; an `internal` one has no route to the outside."""

    internal: bool
    options: Mapping[str, str]
    subnets: tuple[str, ...]


@dataclass(frozen=True)
class Recorded:
    """A service as the last successful roll-out left it.

    Attributes:
        hash: the hash of its specification in Docker.
        rendered: the hash of its part of stack.yaml.
        desired: the number of tasks.
    """

    hash: str
    rendered: str
    desired: int


@dataclass(frozen=True)
class ClusterStackState:
    """The actual stack.

    Attributes:
        engine: whether Docker answers.
        manager: whether the Swarm answers, which takes a majority of its managers.
        files: the state of the requested paths.
        secrets: the secret's name for each purpose, derived from the keys on the host; none if a
            key is missing.
        nodes: for each node of the Swarm, whether it is ready and active.
        start: the entrypoint and command of each present image.
        services: by name, without the stack's prefix.
        made: the names of the secrets and configs of the stack.
        record: each service as the last successful roll-out left it; empty without one.
        patroni: the state of this node's Patroni.
        networks: by full name.
    """

    engine: bool = False
    manager: bool = False
    files: Mapping[str, PathState] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    start: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    nodes: tuple[bool, ...] = ()
    services: Mapping[str, SwarmService] = field(default_factory=dict)
    made: Mapping[str, frozenset[str]] = field(default_factory=dict)
    record: Mapping[str, Recorded] = field(default_factory=dict)
    patroni: PatroniState = field(default_factory=PatroniState)
    networks: Mapping[str, Network] = field(default_factory=dict)


@observation
def inspect(
    runner: Runner, *, images: Sequence[str], secrets: Mapping[str, Sequence[str]]
) -> ClusterStackState:
    """Return the stack, without its files. It has nothing secret.

    Args:
        images: the images whose entrypoint and command are read.
        secrets: the names of keys, by the purpose of the secret that holds them; or the path of a
            file in /etc/infisical, with a slash in it.
    """
    if run_shortly(runner, ["docker", "version"]).status != 0:
        return ClusterStackState()
    known: dict[str, Any] = {
        "engine": True,
        "secrets": dict(_desired_secrets(runner, secrets)),
        "start": _start(runner, images),
        "record": _record(runner.text(f"{ROOT}/stack.json") or ""),
    }
    if runner.run(["docker", "node", "ls", "--quiet"]).status != 0:
        return ClusterStackState(**known)
    nodes = list_nodes(runner)
    _await_starting(runner)
    return ClusterStackState(
        **known,
        manager=True,
        nodes=nodes,
        services={name.removeprefix(STACK): each for name, each in list_services(runner).items()},
        made={kind: frozenset(list_made(runner, kind)) for kind in KINDS},
        patroni=patroni.inspect(runner),
        networks=dict(_networks(runner)),
    )


def secret_text(runner: Runner, names: Sequence[str]) -> str:
    """Return the content of a secret: a file as it is, or variables, which shells read.

    Characters that a shell would interpret are refused, except in secrets that the user gave: those
    are quoted. Raises RuntimeError with a Failure.
    """
    if "/" in names[0]:
        return _read(runner, f"{ROOT}/{names[0]}")
    lines = []
    for name in names:
        path = f"{ROOT}/keys/{name}"
        key = _read(runner, path).rstrip("\n")
        if name.startswith("given_"):
            quoted = key.replace("'", r"'\''")
            lines.append(f"{name.removeprefix('given_').upper()}='{quoted}'\n")
            continue
        if _OF_SHELL.search(key):
            raise RuntimeError(Failure("command", f"{path} has characters that no key has"))
        lines.append(f"{name.upper()}={key}\n")
    return "".join(lines)


def _read(runner: Runner, path: str) -> str:
    text = runner.text(path)
    if not text:
        raise RuntimeError(Failure("command", f"{path} is missing"))
    return text


def secret_name(runner: Runner, purpose: str, names: Sequence[str]) -> str:
    """Return the name of a secret, which ends in the hash of its content.

    Raises RuntimeError with a Failure.
    """
    # The names of earlier versions had the hash of the text with one line end.
    text = secret_text(runner, names).rstrip("\n") + "\n"
    return f"{purpose}_{sha256(text.encode()).hexdigest()[:12]}"


def _desired_secrets(
    runner: Runner, secrets: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str]]:
    for purpose, names in secrets.items():
        try:
            yield purpose, secret_name(runner, purpose, names)
        except RuntimeError:
            continue


def list_made(runner: Runner, kind: str) -> list[str]:
    """Return the names of the stack's secrets or configs."""
    call = ["docker", kind, "ls", "--filter", OF_STACK, "--format", "{{json .}}"]
    return [json.loads(line)["Name"] for line in runner.run(call).lines if line]


def _start(runner: Runner, images: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return entrypoint and command of each present image.

    Usually all are present, and one request is enough.
    """
    inspect = ["docker", "image", "inspect", "--format", "{{json .Config}}"]
    lines = runner.run([*inspect, *images]).lines if images else []
    if len(lines) != len(images):
        single = ((each, runner.run([*inspect, each]).lines) for each in images)
        found = [(image, shown[0]) for image, shown in single if shown]
    else:
        found = [*zip(images, lines, strict=True)]
    configs = ((image, json.loads(line)) for image, line in found)
    return {
        image: (*(each.get("Entrypoint") or ()), *(each.get("Cmd") or ()))
        for image, each in configs
    }


def _record(text: str) -> dict[str, Recorded]:
    try:
        services = json.loads(text)["services"]
        return {name: Recorded(**values) for name, values in services.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}  # truncated or edited: treated as missing, and the next roll-out writes it again


def _networks(runner: Runner) -> Iterator[tuple[str, Network]]:
    ids = runner.run(["docker", "network", "ls", "--quiet", "--filter", OF_STACK]).lines
    if not ids:
        return
    inspect = ["docker", "network", "inspect", "--format", "{{json .}}", *ids]
    for line in runner.run(inspect).text.splitlines():
        if line.startswith("{"):
            found = json.loads(line)
            subnets = tuple(each["Subnet"] for each in found["IPAM"].get("Config") or ())
            yield found["Name"], Network(found["Internal"], found["Options"] or {}, subnets)


def _await_starting(runner: Runner) -> None:
    """Wait for tasks that were just started, by their node's boot or by Docker.

    So they have time to become healthy before they count as a difference. Tasks that end twice
    meanwhile are not waited for: they would start and end forever.
    """
    end, before = time.monotonic() + STARTING_SECONDS, list_ended(runner).keys()
    while starting := {each.slot for each in list_tasks(runner) if each.is_starting}:
        ended = Counter(slot for id, slot in list_ended(runner).items() if id not in before)
        looping = {slot for slot, times in ended.items() if times > 1}
        if starting <= looping or time.monotonic() >= end:
            return
        time.sleep(0.5)
