"""Roll out the stack `infisical` on the leader, and wait for its services."""

import json
import re
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from infisical_iac.agent import files
from infisical_iac.agent.leadership import NO_MAJORITY
from infisical_iac.agent.maintenance import count_data
from infisical_iac.agent.runner import Failure, Output, Runner, action, failure_of, observation
from infisical_iac.agent.services import (
    NAMESPACE,
    SwarmService,
    explain,
    list_ended,
    list_hashes,
    list_nodes,
    list_services,
    list_tasks,
)
from infisical_iac.agent.shared_state import ROOT
from infisical_iac.agent.swarm_stack import KINDS, list_made, secret_name, secret_text
from infisical_iac.agent.tasks import STACK

# Only secrets and configs of this project have such a name and the stack's label.
_HASHED = re.compile(r"_[0-9a-f]{12}$")
# Swarm has given such an update up, and waiting does not continue it.
_GIVEN_UP = ("paused", "rollback_paused")
# A task that ended so often does not become healthy.
_MOST_ENDS = 5
_DEPLOY_SECONDS = 1800
_STOP_SECONDS = 120
# The states of tasks whose containers are gone.
_GONE = ("Complete", "Shutdown", "Failed", "Rejected", "Orphaned", "Remove")


@action
def make_secrets(runner: Runner, *, secrets: Mapping[str, Sequence[str]]) -> None:
    """Make the secrets that are missing; the argument is as of `swarm_stack.inspect`."""
    named = {secret_name(runner, purpose, names): names for purpose, names in secrets.items()}
    for name, names in named.items():
        if runner.run(["docker", "secret", "inspect", name]).status != 0:
            create = ["docker", "secret", "create", "--label", NAMESPACE, name, "-"]
            runner.must_run(create, stdin=secret_text(runner, names))


@action
def store(runner: Runner, *, text: str) -> None:
    """Replace stack.yaml, unless Docker can't parse the new one: then the old file stays."""
    new = runner.path(f"{ROOT}/stack.yaml.new")
    files.write(new, text.encode())
    try:
        if runner.run(["docker", "stack", "config", "--help"]).status == 0:
            check = ["docker", "stack", "config", "--compose-file", f"{ROOT}/stack.yaml.new"]
            runner.must_run(check)
        files.write(runner.path(f"{ROOT}/stack.yaml"), text.encode())
    finally:
        files.remove(new)


@action
def deploy_part(runner: Runner, *, text: str) -> dict[str, str]:
    """Roll out the services of a Compose file; return the hash of each service's specification."""
    file = runner.path(f"{ROOT}/stack.part.yaml")
    files.write(file, text.encode())
    try:
        _deploy(runner, "--compose-file", f"{ROOT}/stack.part.yaml")
    finally:
        files.remove(file)
    return list_hashes(runner)


@action
def deploy(runner: Runner) -> dict[str, str]:
    """Roll out stack.yaml; return the hash of each service's specification."""
    _deploy(runner, "--prune", "--compose-file", f"{ROOT}/stack.yaml")
    return list_hashes(runner)


def _deploy(runner: Runner, *options: str) -> None:
    call = ["docker", "stack", "deploy", "--resolve-image", "never", *options, "infisical"]
    done: Output = runner.run(call, seconds=_DEPLOY_SECONDS)
    if done.status != 0:
        raise failure_of(done.errors or done.text)


@observation
def await_services(runner: Runner, *, seconds: float, services: Sequence[str] = ()) -> str:
    """Wait until all services, or the named ones, run.

    It does not wait for a task that ends again and again. Returns those that don't run, with the
    reason and their last log lines without any secret; empty if all run.
    """
    end, known = time.monotonic() + seconds, {*list_ended(runner, services)}
    ends: Counter[str] = Counter()
    while True:
        found = _list_unhealthy(runner, services)
        if found == {}:
            return ""
        if any(each.update in _GIVEN_UP for each in (found or {}).values()):
            break
        ends.update(_new_ends(runner, services, known))
        if any(times >= _MOST_ENDS for times in ends.values()) or time.monotonic() >= end:
            break
        time.sleep(1)
    if found is None:
        return f"{NO_MAJORITY.message}: {NO_MAJORITY.remedy}\n"
    looping = {slot.rpartition(".")[0] for slot, times in ends.items() if times >= _MOST_ENDS}
    return "".join(
        f"{name}: {each.running} of {each.desired} run, update: {each.update}"
        f"{'; it stops again and again' if name in looping else ''}\n"
        f"{explain(runner, service=name)}"
        for name, each in found.items()
    )


def _list_unhealthy(runner: Runner, services: Collection[str]) -> dict[str, SwarmService] | None:
    """Return the unhealthy ones of some services, or of all; None if Swarm does not answer."""
    found = list_services(runner)
    if not found:
        return None
    is_node_missing = not all(list_nodes(runner))
    return {
        name: each
        for name, each in found.items()
        if (not services or name in services) and each.is_unhealthy(is_node_missing=is_node_missing)
    }


def _new_ends(runner: Runner, services: Collection[str], known: set[str]) -> list[str]:
    """Return the slots of tasks that ended by themselves, and add the tasks to `known`.

    Infisical ends when it starts without a database, so its ends count only while two of etcd and
    two of PostgreSQL are healthy.
    """
    new = {id: slot for id, slot in list_ended(runner, services).items() if id not in known}
    known.update(new)
    slots = [*new.values()]
    if any(slot.startswith("infisical_infisical.") for slot in slots):
        counts = count_data(runner)
        if counts.etcd < 2 or counts.postgres < 2:
            slots = [slot for slot in slots if not slot.startswith("infisical_infisical.")]
    return slots


def stop_replicas(runner: Runner) -> None:
    """Stop Infisical on all nodes, so that nobody writes. Raises RuntimeError with a Failure.

    A replica on a node that the others have lost can't reach the database either.
    """
    name = f"{STACK}infisical"
    listed = runner.run(["docker", "service", "ls", "--quiet", "--filter", f"name={name}"])
    if listed.status != 0:
        raise RuntimeError(NO_MAJORITY)
    if not listed.text.strip():
        return
    runner.must_run(["docker", "service", "scale", "--detach", f"{name}=0"])
    end = time.monotonic() + _STOP_SECONDS
    while left := _list_left(runner, name):
        if time.monotonic() >= end:
            message = f"Infisical does not stop on {left}"
            raise RuntimeError(Failure("command", message, f"see `docker service ps {name}`"))
        time.sleep(0.5)


def _list_left(runner: Runner, service: str) -> str:
    """Return the tasks whose containers are not gone yet, on nodes that are up; empty for none.

    It is a phrase if the Swarm does not answer, so that the caller goes on waiting.
    """
    nodes = runner.run(["docker", "node", "ls", "--format", "{{json .}}"])
    tasks = runner.run(["docker", "service", "ps", "--format", "{{json .}}", service])
    if nodes.status != 0 or tasks.status != 0:
        return "unknown nodes (the Swarm does not answer)"
    listed = [json.loads(line) for line in nodes.lines if line]
    down = {each["Hostname"] for each in listed if each["Status"] == "Down"}
    found = [json.loads(line) for line in tasks.lines if line]
    return " ".join(
        f"{each['Node']} {each['CurrentState']}"
        for each in found
        if each["Node"] not in ("", *down) and each["CurrentState"].split()[0] not in _GONE
    )


@observation
def await_data(runner: Runner, *, seconds: float, etcd: int, postgres: int) -> None:
    """Wait for that many healthy members of etcd and PostgreSQLs, by their own answers.

    A task that runs may not have rejoined them yet. Raises RuntimeError with a Failure.
    """
    end = time.monotonic() + seconds
    while True:
        counts = count_data(runner)
        if counts.etcd >= etcd and counts.postgres >= postgres:
            return
        if time.monotonic() >= end:
            message = f"healthy members: {counts}, instead of {etcd} and {postgres}"
            raise RuntimeError(Failure("command", message, "see `infisical-iac docs runbooks`"))
        time.sleep(1)


@action
def retry(runner: Runner) -> None:
    """Make Swarm retry the tasks that wait for a node, or that a node has lost.

    Swarm retries a task that no node can run until its service is updated, as each roll-out does.
    From then on the task would wait even after its node is back. A task that was accepted minutes
    ago waits too. Scaling down and up again makes Swarm retry, and ends with the same
    specification. A service on all nodes can't be scaled.
    """
    lost = {each.service for each in list_tasks(runner) if each.is_lost}
    for name, each in list_services(runner).items():
        if not each.waiting and name not in lost:
            continue
        scale = ["docker", "service", "scale", "--detach"]
        if runner.run([*scale, f"{name}={each.running}"]).status != 0:
            runner.must_run(["docker", "service", "update", "--force", "--detach", name])
            continue
        for _ in range(60):
            own = [task for task in list_tasks(runner) if task.service == name]
            if not any(task.is_waiting or task.is_accepted for task in own):
                break
            time.sleep(0.5)
        runner.must_run([*scale, f"{name}={each.desired}"])


@action
def clean(runner: Runner, *, kept: Collection[str]) -> None:
    """Remove this project's secrets and configs, and their files, except for the kept names."""
    for kind in KINDS:
        for name in list_made(runner, kind):
            if _HASHED.search(name) and name not in kept:
                # Docker keeps those that a service still uses.
                runner.run(["docker", kind, "rm", name])
    for file in runner.path(f"{ROOT}/stack").glob("[!.]*"):
        if file.name not in kept:
            files.remove(file)
