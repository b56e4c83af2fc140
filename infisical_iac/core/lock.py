"""Allow one run at a time on a host.

A process on the host holds the lock. It ends with the connection that started it, so a run that
dies leaves no lock behind.
"""

import atexit
import os
import shlex
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import paramiko
from pyinfra.api.host import Host

from infisical_iac.core import agent
from infisical_iac.core.audit_entries import operator_name
from infisical_iac.core.connection import HOST_REFUSES, current, with_others
from infisical_iac.core.errors import CommandFailed, Refused

FILE = "/run/infisical-iac.lock"
# How the host's own jobs name themselves as holders.
OF_HOST = "by the "
_WAIT_SECONDS = 5
_ANSWER_SECONDS = 30

_LetGo = Callable[[], None]

_held: set[str] = set()
_skipped: set[str] = set()
_untold: set[str] = set()


def take(host: Host, *, wait: int = _WAIT_SECONDS, by_force: bool = False) -> None:
    """Take the locks of all connected hosts, for the rest of this process.

    A lock that this process holds is not taken again.

    Args:
        wait: the longest wait for another run to end, in seconds.
        by_force: whether to take the lock from another run at once. That run is not stopped. The
            host's own maintenance keeps the lock.

    Raises Refused with the holder of the lock, and Refused for a server that must be adopted first.
    """
    hosts = with_others(host)
    for each in hosts:
        if each.name not in _held | _skipped:
            _refuse_unadopted(each)
            # Recorded before the lock is taken, as a deploy calls this for all hosts in parallel.
            _held.add(each.name)
            try:
                _take(each, wait, by_force, named=each.name if len(hosts) > 1 else "")
            except BaseException:
                _held.discard(each.name)
                raise


def refuse_unadopted(host: Host) -> None:
    """Raise Refused, as `take` would, for a server that must be adopted first."""
    for each in with_others(host):
        if each.name not in _held | _skipped:
            _refuse_unadopted(each)


def _refuse_unadopted(host: Host) -> None:
    if sentence := host.data.get(HOST_REFUSES):
        raise Refused(f"{sentence}; nothing was done", code="refused.unadopted")


def skip(host: Host) -> None:
    """Have `take` skip all connected hosts from now on, as this process only inspects them."""
    _skipped.update(each.name for each in with_others(host))


def is_held(host: Host) -> bool:
    """Return whether this process has taken the lock of `host`."""
    return host.name in _held


def _take(host: Host, wait: int, by_force: bool, *, named: str) -> None:
    command = hold_command(wait, by_force=by_force)
    if host.data.get("_sudo"):
        command = f"sudo -n sh -c {shlex.quote(command)}"
    client = getattr(host.connector, "client", None)
    ask = (
        partial(_ask_over, client.get_transport(), wait + _ANSWER_SECONDS) if client else _ask_here
    )
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S UTC}"
    holder = f"by {operator_name()} since {now}, process {os.getpid()}\n"
    answer, let_go = ask(command, holder)
    if answer == agent.ABSENT:
        let_go()
        _deliver_agent(host)
        answer, let_go = ask(command, holder)
    atexit.register(let_go)
    if answer.startswith("busy"):
        holder = answer.removeprefix("busy").strip()
        remedy = (
            "; if it can't be running any more, `infisical-iac apply --break-lock`, or "
            f"`pkill -f {FILE}` on the host, releases the lock"
        )
        # The host's own jobs end by themselves, and must not be interrupted in an installation.
        of_host = holder.startswith(OF_HOST)
        raise Refused(
            f"{'the host itself' if of_host else 'another run'} is at work on "
            f"{named or 'this host'}, {holder}: wait for it to end{'' if of_host else remedy}",
            code="refused.locked",
        )
    word, _, rest = answer.partition(" ")
    if word != "held":
        raise Refused(
            f"the lock {FILE} can't be taken on {named or 'the host'}: check that its user may "
            "use sudo",
            code="refused.no_lock",
        )
    if rest:
        _untold.add(host.name)


def has_untold_end(host: Host) -> bool:
    """Return whether nobody was told the end of a change of `host` when the lock was taken.

    Only the first call says so.
    """
    try:
        _untold.remove(host.name)
    except KeyError:
        return False
    return True


def with_untold_ends(host: Host) -> list[Host]:
    """Return the connected hosts for which `has_untold_end` is true."""
    return [each for each in with_others(host) if has_untold_end(each)] if _untold else []


def _deliver_agent(host: Host) -> None:
    with current(host):
        try:
            agent.deliver()
        except CommandFailed as error:
            raise Refused(
                f"the lock {FILE} can't be taken, because the agent can't be copied to {host.name} "
                f"({error}): check that the host's user may use sudo",
                code="refused.no_lock",
            ) from None


def hold_command(wait: int, *, by_force: bool = False) -> str:
    """Return the command that holds the lock, as `agent/lock.py` describes."""
    how = ["break"] if by_force else []
    return agent.command_of("--hold-lock", FILE, str(wait), *how)


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
