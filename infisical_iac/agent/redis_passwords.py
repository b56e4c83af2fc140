"""Set the passwords that this host's Redis and sentinel of a cluster accept, without a restart.

Redis itself keeps only the SHA-256 of a password, which lets nobody log in. The file `admitted` in
both volumes has the hashes to accept after a restart, see templates/cluster/redis.sh.j2.
"""

import json
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from infisical_iac.agent import files
from infisical_iac.agent.docker import find_container
from infisical_iac.agent.health import run_shortly
from infisical_iac.agent.runner import Failure, Runner, action, observation

_KEY = "/etc/infisical/keys/redis_password"
# The volume and the port of each server.
_VOLUMES = {"redis": "redis-replica", "sentinel": "sentinel"}
_PORTS = {"redis": 6379, "sentinel": 26379}
_ATTEMPTS = 30
_CLIENT = """. /run/secrets/env
REDISCLI_AUTH=$REDIS_PASSWORD timeout 10 redis-cli $CLI -p "$1\""""


@observation
def hashes(runner: Runner) -> list[str]:
    """Return the hashes of the current, the next and the old password, as far as there are any."""
    texts = (runner.text(f"{_KEY}{suffix}") for suffix in ("", ".next", ".old"))
    return [sha256(each.rstrip("\n").encode()).hexdigest() for each in texts if each]


@action
def admit(runner: Runner, *, hashes: Sequence[str]) -> None:
    """Accept the passwords with these hashes, after a restart too."""
    for folder in _folders(runner):
        # The container's user must be able to read it.
        files.write(folder / "admitted", f"{' '.join(hashes)}\n".encode(), mode=0o644)
    _set_in_both(runner, " ".join(f"#{each}" for each in hashes))


@action
def accept_only(runner: Runner, *, hash: str) -> None:
    """Accept only the password with this hash."""
    for folder in _folders(runner):
        files.remove(folder / "admitted")
    _set_in_both(runner, f"resetpass #{hash}")


def _folders(runner: Runner) -> Iterator[Path]:
    """Yield the folders of the volumes that exist."""
    for name in _VOLUMES.values():
        inspect = ["docker", "volume", "inspect", "--format", "{{json .}}", f"infisical_{name}"]
        shown = run_shortly(runner, inspect)
        if shown.status == 0 and shown.text.strip():
            yield runner.path(json.loads(shown.text)["Mountpoint"])


def _set_in_both(runner: Runner, rules: str) -> None:
    for service in _PORTS:
        _set(runner, service, rules)


def _set(runner: Runner, service: str, rules: str) -> None:
    """Give a server the rules of its passwords.

    A server that does not run reads the file when it starts. One that is just starting is waited
    for. Raises RuntimeError with a Failure.
    """
    said = ""
    for _ in range(_ATTEMPTS):
        container = find_container(runner, service)
        if container is None or not container.is_running:
            return
        call = ["docker", "exec", "--interactive", container.id, "sh", "-c", _CLIENT]
        asked = f"ACL SETUSER default {rules}\n"
        done = run_shortly(runner, [*call, "sh", str(_PORTS[service])], stdin=asked)
        said = f"{done.text}{done.errors}".strip()
        if said == "OK":
            return
        time.sleep(1)
    last = said.rpartition("\n")[2]
    raise RuntimeError(Failure("command", f"{service} does not confirm its passwords: {last}"))
