"""Close or open the edge of all nodes of a cluster, by a job of the swarm, which needs no SSH."""

import json
import time
from typing import Any

from infisical_iac.agent.membership import inspect_nodes
from infisical_iac.agent.runner import Failure, Runner

_JOB, _CADDY = "infisical-edge", "infisical_caddy"
_FOLDER = "/etc/infisical/ingress"
# Caddy answers with 503 while this file exists; stack/paths.py names it.
_CLOSE, _OPEN = "touch /ingress/closed && sync", "rm -f /ingress/closed && sync"
_SECONDS = 60
_ENDED = ("Complete", "Failed", "Rejected", "Shutdown", "Orphaned")


def close(runner: Runner) -> None:
    """Have Caddy on every node answer each request with 503.

    Raises RuntimeError with a Failure that names the nodes on which that failed. A node that the
    swarm does not reach stays as it is.
    """
    if failed := _run(runner, _CLOSE)[1]:
        raise RuntimeError(
            Failure(
                "command.close_edge",
                f"could not close the edge of every node: {'; '.join(failed)}",
            )
        )


def open_all(runner: Runner) -> list[str]:
    """Open the edge of every node again; return each failure with the name of its node.

    A node that the swarm does not reach may have been closed before, and is one of the failures.
    Raises RuntimeError with a Failure if all fail.
    """
    done, failed = _run(runner, _OPEN)
    if not done:
        raise RuntimeError(
            Failure(
                "command.open_edge", f"could not open the edge of any node: {'; '.join(failed)}"
            )
        )
    return [*failed, *(f"{name}: it is {why}" for name, why in _list_others(runner))]


def _run(runner: Runner, command: str) -> tuple[list[str], list[str]]:
    """Run a command once on each node; return the nodes where it ended well, and the failures."""
    _remove(runner)
    spec = ["docker", "service", "inspect", "--format"]
    image = runner.must_run([*spec, "{{.Spec.TaskTemplate.ContainerSpec.Image}}", _CADDY]).strip()
    words = ["docker", "service", "create", "--quiet", "--detach", "--name", _JOB]
    words += ["--mode", "global-job", "--restart-condition", "none", "--no-resolve-image"]
    words += ["--mount", f"type=bind,source={_FOLDER},target=/ingress", "--user", "0:0"]
    runner.must_run([*words, "--entrypoint", "sh", image, "-c", command])
    try:
        return _follow(runner)
    finally:
        _remove(runner)


def _follow(runner: Runner) -> tuple[list[str], list[str]]:
    end = time.monotonic() + _SECONDS
    while True:
        found, nodes = _list_tasks(runner), _list_active(runner)
        ended = {node for node, (state, _) in found.items() if state in _ENDED}
        if (nodes and nodes.keys() <= ended) or time.monotonic() >= end:
            break
        time.sleep(0.3)
    done, failed = [], []
    for node, name in nodes.items():
        state, error = found.get(node, ("no", "task"))
        if state == "Complete":
            done.append(name)
        else:
            failed.append(f"{name}: {state} {error}".strip())
    return done, failed


def _list_active(runner: Runner) -> dict[str, str]:
    """Return the names of the nodes that get a task, by their ids."""
    return {each["ID"]: _name(each) for each in inspect_nodes(runner) if not _why_idle(each)}


def _list_others(runner: Runner) -> list[tuple[str, str]]:
    """Return the names of the other nodes, each with the reason why it gets no task."""
    return [(_name(each), why) for each in inspect_nodes(runner) if (why := _why_idle(each))]


def _name(node: dict[str, Any]) -> str:
    return str((node.get("Description") or {}).get("Hostname", ""))


def _why_idle(node: dict[str, Any]) -> str:
    """Return the state in which a node gets no task; empty if it does."""
    state = (node.get("Status") or {}).get("State", "")
    availability = (node.get("Spec") or {}).get("Availability", "")
    if state != "ready":
        return str(state)
    return "" if availability == "active" else str(availability)


def _list_tasks(runner: Runner) -> dict[str, tuple[str, str]]:
    """Return the state and the error of the job's task on each node, by the node's id."""
    call = ["docker", "service", "ps", "--no-resolve", "--no-trunc", "--format", "{{json .}}", _JOB]
    listed = [json.loads(line) for line in runner.run(call).lines if line]
    return {each["Node"]: (each["CurrentState"].split()[0], each["Error"]) for each in listed}


def _remove(runner: Runner) -> None:
    if runner.run(["docker", "service", "inspect", _JOB]).status == 0:
        runner.must_run(["docker", "service", "rm", _JOB])
