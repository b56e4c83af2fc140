"""Choose the current host, verify hosts, run a function on all in parallel, explain failures.

SSH or the firewall is changed on trial: the host gets the commands of the rollback first. It runs
them after a while, or at its next boot, unless a new connection succeeds before. This does not
depend on this process or its connection.
"""

import logging
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import gevent  # type: ignore[import-untyped]
import paramiko
from pyinfra import logger
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.host import Host
from pyinfra.connectors import ssh
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.sshuserclient import client as ssh_client
from pyinfra.context import ctx_config, ctx_host
from pyinfra.context import host as current_host

from infisical_iac.core import host_keys
from infisical_iac.core.errors import RunFailed, UserError
from infisical_iac.core.host_keys import ServerKey
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script

# Keys of a host's data: its deployment at Hetzner Cloud, and the reason why nothing may be changed
# on it. The underscore distinguishes them from settings.
HOST_DEPLOYMENT, HOST_REFUSES = "_deployment", "_refuses_changes"

_REMEDIES = {
    "Could not resolve hostname": (
        "check the spelling of INFISICAL_HOST, or of ssh_hostname in the settings"
    ),
    "Could not connect": (
        "check INFISICAL_HOST and INFISICAL_SSH_PORT (or ssh_hostname and ssh_port in "
        "the settings), that the server is up, and that its firewall lets you in"
    ),
    "Authentication error": (
        "check INFISICAL_SSH_USER and INFISICAL_SSH_KEY (or ssh_user and ssh_key in "
        "the settings), and that the key's public half is in the server's authorized_keys"
    ),
    "No authentication methods": (
        "this machine has no SSH key to log in with: name the file of one in INFISICAL_SSH_KEY (or "
        "ssh_key in the settings), or add it to your SSH agent"
    ),
    "SSH error": (
        "check that an SSH server answers at INFISICAL_HOST and INFISICAL_SSH_PORT (or "
        "ssh_hostname and ssh_port in the settings); `ssh -v` shows at which step it fails, and "
        "`infisical-iac docs troubleshooting` lists causes"
    ),
}


class _Remedy(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        for symptom, remedy in _REMEDIES.items():
            if record.levelno >= logging.ERROR and symptom in message:
                record.msg, record.args = f"{message}: {remedy}", ()
                break
        return True


# The errors of a broken connection. An OSError may also be about a file on this machine: `is_lost`
# distinguishes the two.
LOST = (paramiko.SSHException, EOFError, OSError)


def is_lost(error: Exception) -> bool:
    """Return whether an error means that a connection broke.

    Only the errors of system calls on files carry a file name; those of sockets carry none.
    """
    return isinstance(error, LOST) and getattr(error, "filename", None) is None


def explain_loss(host: Host, error: Exception, remedy: str = "") -> str:
    """Return a sentence on one of `LOST`: a broken connection, or a file on this machine.

    Args:
        remedy: what to do about a broken connection; empty for no advice.
    """
    if isinstance(error, OSError) and not is_lost(error):
        return f"{error.filename} on this machine can't be used: {error.strerror}"
    sentence = f"the connection to {host.name} was lost ({type(error).__name__})"
    return f"{sentence}: {remedy}" if remedy else sentence


def prepare_connections() -> None:
    """Have pyinfra verify host keys, and add a remedy to its own connection errors."""
    verify_host_keys()
    if not any(isinstance(present, _Remedy) for present in logger.filters):
        logger.addFilter(_Remedy())


class UnknownKey(NamedTuple):
    """A host key that known_hosts lacks, and the file of known hosts that would get it."""

    key: ServerKey
    file: Path


class _VerifiedKeys(paramiko.MissingHostKeyPolicy):
    """A policy that accepts only host keys that are known, or accepted by their fingerprints.

    Raises ConnectError, which pyinfra reports as it is, with the UnknownKey or the UserError as its
    second argument.
    """

    def missing_host_key(self, client: paramiko.SSHClient, name: str, key: paramiko.PKey) -> None:
        found = UnknownKey(_server_key(name, key), _known_hosts_of(client))
        try:
            if host_keys.is_accepted(*found):
                return
        except UserError as error:
            client.close()
            raise ConnectError(str(error), error) from None
        # The server would end the connection before a person has answered.
        client.close()
        accepted = host_keys.read_accepted_fingerprints()
        raise ConnectError(str(host_keys.refuse_unknown([found.key], accepted)), found)


def _load_host_keys(files: Sequence[str]) -> paramiko.HostKeys:
    """Return the host keys of files without revoked keys, as paramiko ignores `@revoked` lines.

    So a revoked key is unknown to the client, and _VerifiedKeys decides on it.
    """
    places = [*map(Path, files), host_keys.default_file(), host_keys.GLOBAL_FILE]
    revoked = {each.base64 for each in host_keys.list_revoked(places)}
    found: Any = paramiko.HostKeys()
    # The public methods of HostKeys hide all but one key of a host and type.
    found._entries = [
        each for each in _pyinfra_loads(files)._entries if each.key.get_base64() not in revoked
    ]
    return found  # type: ignore[no-any-return]


_pyinfra_loads = ssh_client.get_host_keys


class _VerifyingClient(ssh_client.SSHClient):
    """pyinfra's SSH client, which by itself would add every unknown host key to known_hosts."""

    def set_missing_host_key_policy(self, policy: Any) -> None:
        # Keep a `StrictHostKeyChecking no` of the inventory or of ssh_config.
        accepts_all = isinstance(policy, ssh_client.WarningPolicy)
        super().set_missing_host_key_policy(policy if accepts_all else _VerifiedKeys())

    def connect(self, *args: Any, **options: Any) -> None:
        try:
            super().connect(*args, **options)  # type: ignore[no-untyped-call]
        except paramiko.BadHostKeyException as error:
            port = int(self._ssh_config.get("port", 22))
            name = host_keys.name_in_known_hosts(error.hostname, port)
            lines = host_keys.read_lines([_known_hosts_of(self)])
            refused = host_keys.refuse_changed(_server_key(name, error.key), lines)
            raise ConnectError(str(refused), refused) from None


def _server_key(name: str, key: paramiko.PKey) -> ServerKey:
    return ServerKey(name, key.get_name(), key.get_base64())


def _known_hosts_of(client: paramiko.SSHClient) -> Path:
    return Path(getattr(client, "_host_keys_filename", None) or host_keys.default_file())


def verify_host_keys() -> None:
    """Have pyinfra refuse host keys that are neither known nor accepted, of jump hosts too."""
    # pyinfra has no setting for it: each module has the class by its name.
    ssh.SSHClient = ssh_client.SSHClient = _VerifyingClient  # type: ignore[attr-defined, misc]
    ssh_client.get_host_keys = _load_host_keys


def with_others(host: Host) -> list[Host]:
    """Return `host` and all other connected hosts, in the inventory's order."""
    return [each for each in host.state.inventory if each in host.state.active_hosts]


@contextmanager
def current(host: Host) -> Iterator[None]:
    """Run facts and commands on `host` in this context."""
    before = ctx_host.get()  # type: ignore[no-untyped-call]
    ctx_host.set(host)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        ctx_host.set(before)  # type: ignore[no-untyped-call]


@contextmanager
def on(name: str) -> Iterator[None]:
    """Run facts and commands on another connected host in this context, by its name."""
    with current(current_host.state.inventory.get_host(name)):
        yield


def without_delay(host: Host) -> None:
    """Set TCP_NODELAY on the host's SSH connection; a local connection has none to set.

    paramiko leaves Nagle's algorithm on, which costs about 40 ms a command on loopback.
    """
    client = getattr(host.connector, "client", None)
    transport = client.get_transport() if client else None
    if transport is not None:
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


T = TypeVar("T")


def on_each(hosts: Sequence[Host], call: Callable[[Host], T]) -> list[T | Exception]:
    """Call a function for all hosts in parallel; each host is current in its call.

    Returns what the calls returned or raised, in the hosts' order, once all have ended. For a
    single host, the call is made directly and raises its own errors, so that Ctrl-C reaches it.
    """

    def one(host: Host) -> T | Exception:
        try:
            with ctx_config.use(host.state.config.copy()), current(host):
                return call(host)
        except Exception as error:  # The calls for the other hosts must not be interrupted.
            return error

    if len(hosts) == 1:
        with current(hosts[0]):
            return [call(hosts[0])]
    # Not in the state's pool: when it is full, spawning waits, and a Ctrl-C would end no call.
    greenlets = [gevent.spawn(one, host) for host in hosts]
    try:
        gevent.joinall(greenlets)
    finally:
        gevent.killall(greenlets)
    return [greenlet.value for greenlet in greenlets]


def each_of(hosts: Sequence[Host], call: Callable[[Host], T]) -> list[T]:
    """Call a function for all hosts as `on_each` does, and raise the first error."""
    found = []
    for each in on_each(hosts, call):
        if isinstance(each, Exception):
            raise each
        found.append(each)
    return found


_TRIALS = "/var/lib/infisical-trial"
# After this time the host rolls back by itself. The change and the proof, which may take 35
# seconds, must have ended before.
_TRIAL_SECONDS = 60
_TRIAL_ATTEMPTS = 3
_ANSWER_SECONDS = 10


def try_change(what: str, change: Callable[[], object], *, back: str) -> None:
    """Make a change on the current host, and keep it only if a new connection works afterwards.

    The open connection is not proof, as it was accepted before the change. An unfinished earlier
    trial of the same `what` is rolled back first.

    Args:
        what: a word for the changed object, such as `firewall`. Names of files and units on the
            host contain it.
        change: makes the change with `remote.run` and `remote.write`.
        back: the rollback: commands of the shell that root runs with `sh -e`. They must also work
            after half of the change, or after an interrupted rollback. A file that only root can
            read holds them.

    Raises RunFailed, after the rollback, if the change fails or no new connection can be made. If
    the connection itself breaks, the host rolls back by itself.
    """
    run(
        script("trial", "arm", what, str(_TRIAL_SECONDS)),
        doing=f"prepare the rollback of a change of the {what}",
        stdin=back,
    )
    try:
        change()
        check_connection(current_host)
    except (UserError, *LOST) as error:
        if is_lost(error):
            raise RunFailed(
                f"the connection was lost while the {what} was changed ({type(error).__name__}): "
                f"the host rolls it back within {_TRIAL_SECONDS} s; run again then",
                code="run.connection_lost",
            ) from None
        run(script("trial", "back", what), doing=f"roll back the {what}")
        raise RunFailed(
            f"{error}; the change of the {what} was undone", code="run.rolled_back"
        ) from None
    run(script("trial", "keep", what), doing=f"keep the change of the {what}")


def trial_mark(what: str) -> str:
    """Return the path of the file that exists on the host during a trial of `what`."""
    return f"{_TRIALS}/{what}"


def check_connection(host: Host) -> None:
    """Raise RunFailed unless `host` accepts a new connection, made and verified as the first one.

    For a connection that is not by SSH, such as `@local`, nothing is checked.
    """
    if not isinstance(host.connector, SSHConnector):
        return None
    for attempt in range(1, _TRIAL_ATTEMPTS + 1):
        try:
            return _connect_again(host)
        except (ConnectError, *LOST) as error:
            reason = str(error) or type(error).__name__
            if attempt < _TRIAL_ATTEMPTS:
                # A server that reloads its configuration is unreachable for a moment.
                time.sleep(1)
    raise RunFailed(f"no new connection can be made to {host.name}: {reason}")


def _connect_again(host: Host) -> None:
    second = SSHConnector(host.state, host)
    second.connect()
    assert second.client is not None
    try:
        _, output, _ = second.client.exec_command("echo alive", timeout=_ANSWER_SECONDS)
        if output.read().strip() != b"alive":
            raise ConnectError("the login works, but no command can be run")
    finally:
        second.client.close()
