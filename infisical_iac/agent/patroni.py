"""Ask and configure Patroni through the PostgreSQL container of this host."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infisical_iac.agent.docker import find_container
from infisical_iac.agent.health import run_shortly
from infisical_iac.agent.runner import Failure, Runner, action, observation

# The longest restart of a PostgreSQL.
_SECONDS = 150
_ASK = """at=${REST:-http}://127.0.0.1:8008
curl --noproxy "*" --silent --fail --max-time 5 --write-out "\\n" "$at/config" "$at/cluster\""""
# curl reads the password that Patroni was started with from standard input.
_SEND = """. /run/secrets/env
echo "user = \\"patroni:$PATRONI_PASSWORD\\"" | curl --noproxy "*" --config - --silent \\
    --show-error --fail-with-body --max-time "$5" --request "$1" --data "$4" \\
    "${REST:-http}://$2:8008/$3\""""


@dataclass(frozen=True)
class PatroniState:
    """The answers of Patroni's REST API to `/config` and `/cluster`.

    Attributes:
        configuration: the dynamic configuration, which all members share; None if no Patroni runs
            here or etcd has no quorum.
        waiting: the names of the members that need a restart of PostgreSQL for a changed
            parameter, the primary last.
    """

    configuration: Mapping[str, Any] | None = None
    waiting: tuple[str, ...] = ()


@observation
def inspect(runner: Runner) -> PatroniState:
    """Return the state of this node's Patroni."""
    try:
        container = find_container(runner, "postgres")
    except RuntimeError:
        container = None
    if container is None:
        return PatroniState()
    said = run_shortly(runner, ["docker", "exec", container.id, "sh", "-c", _ASK]).text
    answers = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    members = [each for answer in answers for each in answer.get("members", ())]
    waiting = [each for each in members if each.get("pending_restart")]
    waiting.sort(key=lambda each: each["role"] == "leader")
    return PatroniState(
        configuration=next((answer for answer in answers if "members" not in answer), None),
        waiting=tuple(each["name"] for each in waiting),
    )


@action
def configure(runner: Runner, *, changes: Mapping[str, Any]) -> None:
    """Merge changes into the dynamic configuration."""
    _send(runner, "PATCH", "127.0.0.1", "config", changes)


@action
def restart(runner: Runner, *, member: str) -> None:
    """Restart the PostgreSQL of a member, if a parameter of it waits for a restart."""
    _send(runner, "POST", member, "restart", {"restart_pending": True})


def _send(runner: Runner, method: str, host: str, path: str, body: Mapping[str, Any]) -> None:
    container = find_container(runner, "postgres")
    if container is None:
        raise RuntimeError(Failure("command", "no PostgreSQL runs on this host"))
    values = [method, host, path, json.dumps(body), str(_SECONDS)]
    call = ["docker", "exec", container.id, "sh", "-c", _SEND, "sh", *values]
    runner.must_run(call, seconds=2 * _SECONDS)
