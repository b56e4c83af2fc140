"""The first connections to a new server: verified, and then by a host key of its own."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import paramiko

from infisical_iac.hetzner import known_hosts
from infisical_iac.hetzner.failures import HetznerError
from infisical_iac.rendering import script

_CONNECT_SECONDS = 10
_PAUSE_SECONDS = 2.0

# A server that is not up yet is told by what is raised here, not line by line.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Login:
    """How to log in to a server as root.

    Attributes:
        key: the private key's file; None to ask the agent and ~/.ssh.
        known: the file with its host key: no other is accepted.
    """

    address: str
    port: int
    key: str | None
    known: Path

    def __str__(self) -> str:
        return known_hosts.entry(self.address, self.port)


class _Known(paramiko.MissingHostKeyPolicy):
    """Accepts the host keys in the project's own file, which may be two while one is replaced."""

    def __init__(self, login: Login) -> None:
        self._login = login

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        known = known_hosts.keys(self._login.known, self._login.address, self._login.port)
        if f"{key.get_name()} {key.get_base64()}" not in known:
            raise HetznerError(
                f"{self._login} answers with another host key than the one in {self._login.known}: "
                "somebody may be in between; if the server was really made anew, remove its line "
                "from that file"
            )


@contextmanager
def connected(login: Login, *, timeout: float) -> Iterator[paramiko.SSHClient]:
    """A verified connection, once there is one.

    Raises HetznerError at once for a host key that is not known, and after `timeout` seconds with
    what was in the way last.
    """
    if not known_hosts.keys(login.known, login.address, login.port):
        raise HetznerError(
            f"{login.known} has no host key of {login}: the server was made from another clone of "
            "the project, so bring that file from there"
        )
    end = time.monotonic() + timeout
    with paramiko.SSHClient() as client:
        client.set_missing_host_key_policy(_Known(login))
        while problem := _attempt(client, login):
            if time.monotonic() + _PAUSE_SECONDS > end:
                raise HetznerError(
                    f"{login} lets nobody in after {timeout:.0f} s, for {problem}: run again, and "
                    "it is waited for anew"
                )
            time.sleep(_PAUSE_SECONDS)
        yield client


def _attempt(client: paramiko.SSHClient, login: Login) -> str:
    """Connect; return what is in the way, nothing for success."""
    try:
        client.connect(
            login.address,
            login.port,
            "root",
            key_filename=str(Path(login.key).expanduser()) if login.key else None,
            timeout=_CONNECT_SECONDS,
            banner_timeout=_CONNECT_SECONDS,
            auth_timeout=_CONNECT_SECONDS,
        )
    except paramiko.AuthenticationException:
        return "no key is accepted (INFISICAL_SSH_KEY names another one)"
    except (paramiko.SSHException, OSError, EOFError) as error:
        return (
            f"no connection comes about ({type(error).__name__}; has the setting ssh_networks your "
            "own network?)"
        )
    return ""


def run(client: paramiko.SSHClient, command: str, *, doing: str, timeout: float) -> str:
    """The output of a command. Raises HetznerError if it fails or takes longer."""
    try:
        stdin, out, err = client.exec_command(command, timeout=timeout)
        stdin.channel.shutdown_write()
        text, said = out.read().decode(), err.read().decode()
        status = out.channel.recv_exit_status()
    except TimeoutError:
        raise HetznerError(f"could not {doing}: no end within {timeout:.0f} s: run again") from None
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise HetznerError(
            f"could not {doing}: the connection was lost ({type(error).__name__}): run again"
        ) from None
    if status:
        reason = " / ".join(said.strip().splitlines()[-3:]) or f"status {status}"
        raise HetznerError(f"could not {doing}: {reason}")
    return text


def ready(login: Login, *, timeout: float) -> None:
    """Wait until the server is up and cloud-init done, then let it have a host key of its own.

    What is known of the server afterwards is that key alone. Can be run again after any failure.
    Raises HetznerError.
    """
    with connected(login, timeout=timeout) as client:
        run(
            client,
            # Its exit status tells of warnings too: only its end counts.
            f"command -v cloud-init >/dev/null || exit 0; timeout {timeout:.0f} "
            "cloud-init status --wait >/dev/null; test $? != 124",
            doing=f"see cloud-init finish within {timeout:.0f} s",
            timeout=timeout + _CONNECT_SECONDS,
        )
        first = key_of(client)
        own = run(client, script("host-key", "new"), doing="make a host key", timeout=60).strip()
        if not own.startswith("ssh-ed25519 "):
            raise HetznerError(f"could not make a host key on {login}: run again")
        # Until the server is known to use it, either is right.
        known_hosts.keep(login.known, login.address, login.port, own, first)
        run(client, script("host-key", "use"), doing="use the new host key", timeout=60)
    known_hosts.keep(login.known, login.address, login.port, own)
    try:
        with connected(login, timeout=timeout):
            pass
    except HetznerError:
        known_hosts.keep(login.known, login.address, login.port, own, first)
        raise


def key_of(client: paramiko.SSHClient) -> str:
    """The host key that the server of a connection has, `ssh-ed25519 AAAA…`."""
    transport = client.get_transport()
    assert transport is not None
    key = transport.get_remote_server_key()
    return f"{key.get_name()} {key.get_base64()}"
