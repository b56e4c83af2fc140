"""Make a swarm, bring this host into one, unlock it, and take it out again.

No secret is an argument of a program.
"""

import http.client
import json
import re
import shutil
import socket
import sys
import time
from collections.abc import Sequence
from fnmatch import fnmatch
from typing import Any

from infisical_iac.agent import files
from infisical_iac.agent.docker import remove_containers, remove_own_volumes
from infisical_iac.agent.health import run_shortly
from infisical_iac.agent.runner import Failure, Runner, action, observation
from infisical_iac.agent.shared_state import ROOT
from infisical_iac.agent.tasks import OF_STACK

KEY = f"{ROOT}/keys/swarm_unlock_key"
_MARK = f"{ROOT}/swarm"
_UNIT = "infisical-unlock.service"
_SOCKET = "/var/run/docker.sock"
_JOIN_SECONDS = 120
_ACTIVE_SECONDS = 60
_TOKEN = re.compile(r"SWMTKN[A-Za-z0-9-]*")
# The interfaces of overlay networks: the begin of the network's id behind the number of its VXLAN.
_INTERFACES = "vx-??????-?????"


def main(arguments: Sequence[str]) -> int:
    """Run as a unit of systemd: `unlock` unlocks this host's node, which Docker's start locks."""
    (_,) = arguments
    return unlock_at_start(Runner())


def unlock_at_start(runner: Runner) -> int:
    """Unlock this host's node once Docker answers; return 1 if it is still locked afterwards."""
    # No task runs on a locked manager yet. A worker's task that is just starting is tried again.
    forget_interfaces(runner)
    for _ in range(30):
        state = _state(runner)
        if state == "locked":
            _unlock(runner)
        if state in ("active", "inactive"):
            return 0
        time.sleep(1)
    print("<3>The host's swarm node is still locked after a minute", file=sys.stderr)
    return 1


def _refuse(message: str, remedy: str = "") -> RuntimeError:
    return RuntimeError(Failure("command", message, remedy))


def _info(runner: Runner) -> dict[str, Any]:
    shown = run_shortly(runner, ["docker", "info", "--format", "{{json .Swarm}}"]).text
    found: dict[str, Any] = json.loads(shown) if shown.startswith("{") else {}
    return found


def _state(runner: Runner) -> str:
    return str(_info(runner).get("LocalNodeState", ""))


def forget_interfaces(runner: Runner) -> None:
    """Remove leaked interfaces of overlay networks.

    An interface in use is in its network's own namespace. When Docker stops or leaves a swarm, it
    sometimes leaves one on the host itself, and then can't make a network with the same number
    ("error creating vxlan interface: file exists").
    """
    for each in sorted(runner.path("/sys/class/net").glob("vx-*")):
        if fnmatch(each.name, _INTERFACES):
            runner.run(["ip", "link", "delete", each.name])


def _abandon(runner: Runner) -> None:
    """Leave the swarm.

    A node whose managers have removed it can neither unlock nor leave. Then its engine's own state
    of the swarm is removed.
    """
    if _state(runner) == "inactive":
        return
    leave = ["docker", "swarm", "leave", "--force"]
    try:
        if runner.run(leave, seconds=30).status == 0:
            return
    except RuntimeError:
        pass
    place = run_shortly(runner, ["docker", "info", "--format", "{{.DockerRootDir}}"]).text.strip()
    if not place or not runner.path(f"{place}/swarm").is_dir():
        return
    units = ["docker.socket", "docker.service"]
    runner.must_run(["systemctl", "stop", *units])
    shutil.rmtree(runner.path(f"{place}/swarm"))
    runner.must_run(["systemctl", "start", *units])


def _start_over(runner: Runner) -> None:
    """Leave another swarm, if this project made it, and remove what the host keeps of it.

    PostgreSQL's data stay; what is removed is worthless without the other nodes.
    """
    _abandon(runner)
    forget_interfaces(runner)
    # Marks the swarm as this project's before its id is known.
    files.write(runner.path(_MARK), b"new\n")
    # Nothing starts the containers of a stack whose swarm is gone.
    remove_containers(runner, OF_STACK)
    remove_own_volumes(runner, "etcd", "redis-replica", "sentinel")


def _note_swarm(runner: Runner) -> None:
    found = (_info(runner).get("Cluster") or {}).get("ID", "")
    files.write(runner.path(_MARK), f"{found}\n".encode())


@action
def begin(runner: Runner, *, address: str, pool: str, hours: int) -> None:
    """Make a locked swarm, with the host as its first manager.

    Args:
        address: the host's address for the other nodes.
        pool: the range of the overlay networks.
        hours: the lifetime of a node's certificate.
    """
    mark = runner.path(_MARK)
    known = mark.read_text().strip() if mark.exists() else ""
    # The host must not leave managers that don't answer for a moment.
    if known not in ("", "new"):
        raise _refuse("the managers of the host's swarm don't answer just now", "run again")
    # A swarm that was begun here, but whose key was not kept, has no data.
    _start_over(runner)
    for name in ("stack.yaml", "stack.json"):
        files.remove(runner.path(f"{ROOT}/{name}"))
    init = ["docker", "swarm", "init", "--advertise-addr", address, "--default-addr-pool", pool]
    init += ["--default-addr-pool-mask-length", "24", "--cert-expiry", f"{hours}h", "--autolock"]
    runner.must_run(init)
    keep(runner)
    _note_swarm(runner)


@action
def configure(runner: Runner, *, hours: int) -> None:
    """Lock the swarm's managers, and set the lifetime of the nodes' certificates."""
    update = ["docker", "swarm", "update", "--autolock=true", "--cert-expiry", f"{hours}h"]
    runner.must_run(update)
    keep(runner)
    _note_swarm(runner)


@observation
def token(runner: Runner, *, role: str) -> str:
    """Return the secret token to join with as a `worker` or `manager`."""
    return runner.must_run(["docker", "swarm", "join-token", "--quiet", role]).strip()


@action
def join(runner: Runner, *, address: str, remote: str, swarm: str, token: str, again: bool) -> None:
    """Join the swarm of another host, unless the host is a member.

    Docker's command line takes a token only as an argument, which everybody on the host can read.
    Its API takes it on the socket.

    Args:
        address: the host's address for the other nodes.
        remote: the address and port of a manager.
        swarm: the id of the swarm.
        again: whether to join even if the host believes that it is a member.
    """
    if again or _state(runner) != "active":
        _start_over(runner)
        refused = _post(
            runner,
            "/swarm/join",
            {
                "ListenAddr": "0.0.0.0:2377",
                "AdvertiseAddr": address,
                "RemoteAddrs": [remote],
                "JoinToken": token,
            },
        )
        if refused:
            raise _refuse(_TOKEN.sub("(token)", refused))
    await_active(runner, seconds=_ACTIVE_SECONDS)
    files.write(runner.path(_MARK), f"{swarm}\n".encode())


class _Engine(http.client.HTTPConnection):
    """A connection to Docker's socket."""

    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=_JOIN_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _post(runner: Runner, path: str, body: dict[str, Any]) -> str:
    """Send a request to Docker, and return why it was refused; empty if it was not."""
    engine = _Engine(str(runner.path(_SOCKET)))
    try:
        engine.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = engine.getresponse()
        said = answer.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        engine.close()
    if answer.status < 400:
        return ""
    try:
        return str(json.loads(said)["message"])
    except (ValueError, KeyError, TypeError):
        return said or f"status {answer.status}"


@action
def unlock(runner: Runner) -> None:
    """Unlock the host's node with the key on the host."""
    if _state(runner) == "locked" and (refused := _unlock(runner)):
        raise _refuse(refused)


def _unlock(runner: Runner) -> str:
    """Unlock the node, and return why that failed; Docker reads the key from standard input."""
    key = runner.text(KEY) or ""
    try:
        done = runner.run(["docker", "swarm", "unlock"], stdin=key, seconds=60)
    except RuntimeError as error:
        return str(error.args[0].message)
    return "" if done.status == 0 else done.errors.strip() or "Docker does not unlock the node"


@observation
def key(runner: Runner) -> str:
    """Return the secret key of the swarm."""
    return runner.must_run(["docker", "swarm", "unlock-key", "--quiet"]).strip()


@action
def keep(runner: Runner, *, secret: str = "") -> None:
    """Keep the swarm's key on the host; Docker is asked for it if none is given."""
    found = secret or key(runner)
    if not found:
        raise _refuse("the swarm has no key")
    files.write(runner.path(KEY), f"{found}\n".encode())


@observation
def ids(runner: Runner) -> tuple[str, str]:
    """Return the ids of the swarm, on a manager, and of the node."""
    found = _info(runner)
    return (found.get("Cluster") or {}).get("ID", ""), found.get("NodeID", "")


@action
def rotate(runner: Runner) -> None:
    """Make new tokens and a new key."""
    for role in ("worker", "manager"):
        runner.must_run(["docker", "swarm", "join-token", "--rotate", "--quiet", role])
    new = runner.must_run(["docker", "swarm", "unlock-key", "--rotate", "--quiet"])
    keep(runner, secret=new.strip())


@action
def leave(runner: Runner) -> None:
    """Leave the swarm, and forget it."""
    runner.run(["systemctl", "disable", "--quiet", "--now", _UNIT])
    _abandon(runner)
    for path in (_MARK, f"{ROOT}/serial", f"{ROOT}/led", KEY):
        files.remove(runner.path(path))


@observation
def await_active(runner: Runner, *, seconds: float) -> None:
    """Wait until the host's node is active. Raises RuntimeError with a Failure."""
    end = time.monotonic() + seconds
    while (state := _state(runner)) != "active":
        if time.monotonic() >= end:
            raise _refuse(f"the host's swarm node is {state or 'unknown'} after {seconds:g} s")
        time.sleep(1)
