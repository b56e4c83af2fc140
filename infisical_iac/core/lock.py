"""One run at a time on a host.

The lock is held by a process on the host that ends with the connection it was started over: a
run that dies, however it dies, leaves no lock behind.
"""

import atexit
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import paramiko
from pyinfra.api.host import Host

from infisical_iac.core.audit_entries import who
from infisical_iac.core.connection import HOST_REFUSES, with_others
from infisical_iac.core.errors import Refused
from infisical_iac.core.rendering import script

FILE = "/run/infisical-iac.lock"
_WAIT_SECONDS = 5
_ANSWER_SECONDS = 30

_LetGo = Callable[[], None]

_held: set[str] = set()
_spared: set[str] = set()


def take(host: Host, *, wait: int = _WAIT_SECONDS, by_force: bool = False) -> None:
    """Take the locks of `host` and, on a cluster, of all others that are connected.

    They are held for the rest of this process; one that this process has is not taken again.
    Waits `wait` seconds for another run to end; with `by_force`, it loses the lock at once,
    though it is not stopped; the host's own maintenance keeps it. Raises Refused with who holds it,
    and Refused for a server that has to be adopted first.
    """
    hosts = with_others(host)
    for each in hosts:
        if each.name not in _held | _spared:
            if sentence := each.data.get(HOST_REFUSES):
                raise Refused(f"{sentence}; nothing was done", code="refused.unadopted")
            # At once: on a cluster, the deploy prepares all hosts at a time, and each comes here.
            _held.add(each.name)
            try:
                _take(each, wait, by_force, named=each.name if len(hosts) > 1 else "")
            except BaseException:
                _held.discard(each.name)
                raise


def spare(host: Host) -> None:
    """Let `take` pass for these hosts in this process, which is only going to look."""
    _spared.update(each.name for each in with_others(host))


def is_held(host: Host) -> bool:
    """Return whether this process has taken the lock of `host`."""
    return host.name in _held


def _take(host: Host, wait: int, by_force: bool, *, named: str) -> None:
    sudo = "sudo -n " if host.data.get("_sudo") else ""
    command = sudo + script("lock", FILE, str(wait), *(["break"] if by_force else []))
    client = getattr(host.connector, "client", None)
    ask = (
        partial(_ask_over, client.get_transport(), wait + _ANSWER_SECONDS) if client else _ask_here
    )
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S UTC}"
    answer, let_go = ask(command, f"by {who()} since {now}, process {os.getpid()}\n")
    atexit.register(let_go)
    if answer.startswith("busy"):
        holder = answer.removeprefix("busy").strip()
        gone = (
            "; if it can't be running any more, `infisical-iac apply --break-lock`, or "
            f"`pkill -f {FILE}` on the host, lets go"
        )
        # Work of the host's own ends by itself, and may be installing packages.
        of_host = holder.startswith("by the ")
        raise Refused(
            f"{'the host itself' if of_host else 'another run'} is at work on "
            f"{named or 'this host'}, {holder}: wait for it to end{'' if of_host else gone}",
            code="refused.locked",
        )
    if answer != "held":
        raise Refused(
            f"the lock {FILE} can't be taken on {named or 'the host'}: see whether its user may "
            "use sudo"
        )


def _ask_over(
    ssh: paramiko.Transport, seconds: int, command: str, holder: str
) -> tuple[str, _LetGo]:
    channel = ssh.open_session(timeout=_ANSWER_SECONDS)
    channel.settimeout(seconds)
    channel.exec_command(command)
    channel.sendall(holder.encode())
    answer = b""
    while not answer.endswith(b"\n") and (more := channel.recv(1024)):
        answer += more
    return answer.decode().strip(), channel.close


def _ask_here(command: str, holder: str) -> tuple[str, _LetGo]:
    local = subprocess.Popen(
        command, shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert local.stdin is not None
    assert local.stdout is not None
    local.stdin.write(holder)
    local.stdin.flush()
    return local.stdout.readline().strip(), local.stdin.close
