"""Run commands on servers by SSH, verified by host keys that this project keeps.

A new server's first host key is in its user data, which Hetzner Cloud keeps and the server can
always read. So it is used for the first connections only: over them the server makes its own key,
which never leaves it.

Host keys are kept in `.infisical-iac/known_hosts` in the project's directory, in OpenSSH's
format. The file holds no secret: commit it, so that every clone of the project verifies the server
from the first connection on.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from infisical_iac.agent import host_key, swarm, volume
from infisical_iac.agent.swarm import ClusterReport
from infisical_iac.core import atomic
from infisical_iac.core.agent import Send, ask, perform, question
from infisical_iac.core.errors import CheckFailed, Refused, RunFailed, Unreachable, UserError
from infisical_iac.core.host_keys import name_in_known_hosts
from infisical_iac.core.own_repository import INVENTORY, KNOWN_HOSTS

_CONNECT_SECONDS = 10
_PAUSE_SECONDS = 2.0
_ALIVE_SECONDS = 10
_RELEASE_SECONDS = 300
_INSPECT_SECONDS = 60
_DEPLOY_SECONDS = 3600
_PROGRAM = Path(sys.executable).with_name("infisical-iac")
# The rows of `status` that must be healthy on a new server; it has no backup of its own yet.
_REQUIRED = ("infisical", "postgres", "redis", "Drift")


class HostKey(NamedTuple):
    """A pair of keys as OpenSSH writes them; `private` is not stored."""

    private: str
    public: str


def generate_host_key() -> HostKey:
    """Return a new pair of Ed25519 keys."""
    key = Ed25519PrivateKey.generate()
    return HostKey(
        key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode(),
        key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
    )


def user_data(key: HostKey, *, ssh_port: int) -> str:
    """Return the user data for cloud-init: the server's host key, and the port of sshd."""
    config: dict[str, object] = {
        # If one key is given, cloud-init makes no others.
        "ssh_keys": {"ed25519_private": key.private, "ed25519_public": key.public},
        "ssh_deletekeys": True,
        "ssh_pwauth": False,
        "disable_root": False,
    }
    if ssh_port != 22:
        path = "/etc/ssh/sshd_config.d/10-port.conf"
        config["write_files"] = [{"path": path, "content": f"Port {ssh_port}\n"}]
    # JSON is also YAML, and quotes every value.
    return f"#cloud-config\n{json.dumps(config, indent=1)}\n"


@dataclass(frozen=True)
class Login:
    """A login as root, and the host keys that it accepts."""

    address: str
    port: int
    # The private key's file; None to ask the agent and ~/.ssh.
    key: str | None

    def __str__(self) -> str:
        return name_in_known_hosts(self.address, self.port)

    def known_keys(self) -> list[str]:
        """Return the host keys that the server may have, each `ssh-ed25519 AAAA…`."""
        lines = (line.partition(" ") for line in _known_hosts())
        return [key for host, _, key in lines if host == str(self)]

    def remember(self, *publics: str) -> None:
        """Make these the only host keys of the server in known_hosts. Raises UserError."""
        try:
            others = [line for line in _known_hosts() if line.partition(" ")[0] != str(self)]
            own = [f"{self} {' '.join(public.split()[:2])}" for public in dict.fromkeys(publics)]
            KNOWN_HOSTS.parent.mkdir(exist_ok=True)
            atomic.write(KNOWN_HOSTS, "".join(f"{line}\n" for line in [*others, *own]))
        except OSError as error:
            raise UserError(
                f"{KNOWN_HOSTS} can't be written ({error.strerror}): check who owns it"
            ) from None

    def forget(self) -> None:
        """Remove the host keys of the server from known_hosts."""
        if self.known_keys():
            self.remember()


def _known_hosts() -> list[str]:
    return KNOWN_HOSTS.read_text("utf-8").splitlines() if KNOWN_HOSTS.exists() else []


def prepare_first_login(login: Login) -> str:
    """Return the user data of a new server, and add its host key to known_hosts."""
    key = generate_host_key()
    login.remember(key.public)
    return user_data(key, ssh_port=login.port)


class _AcceptKnown(paramiko.MissingHostKeyPolicy):
    """Accept the host keys in the project's known_hosts, which may be two during a replacement."""

    def __init__(self, login: Login) -> None:
        self._login = login

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        if f"{key.get_name()} {key.get_base64()}" not in self._login.known_keys():
            raise Refused(
                f"{self._login} answers with another host key than the one in {KNOWN_HOSTS}: "
                "the connection may be intercepted; if the server was really re-created, remove "
                "its "
                "line from that file",
                code="refused.host_key",
            )


@contextmanager
def connect(login: Login, *, timeout: float) -> Iterator[paramiko.SSHClient]:
    """Yield a verified connection, as soon as the server accepts one.

    Raises UserError at once for an unknown host key, and after `timeout` seconds with the last
    problem.
    """
    if not login.known_keys():
        raise UserError(
            f"{KNOWN_HOSTS} has no host key of {login}: the server was made from another clone of "
            "the project, so copy that file from there"
        )
    end = time.monotonic() + timeout
    with paramiko.SSHClient() as client:
        client.set_missing_host_key_policy(_AcceptKnown(login))
        while problem := _attempt(client, login):
            if time.monotonic() + _PAUSE_SECONDS > end:
                raise Unreachable(
                    f"{login} accepts no login after {timeout:.0f} s, as {problem}: run again to "
                    "wait "
                    "longer",
                    code="unreachable.host",
                )
            time.sleep(_PAUSE_SECONDS)
        yield client


def _attempt(client: paramiko.SSHClient, login: Login) -> str:
    """Try to connect; return the problem, empty for success.

    Raises UserError for a private key that can't be read, as waiting does not help.
    """
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
        # Only the errors of system calls on files carry a file name.
        if isinstance(error, OSError) and error.filename is not None:
            raise UserError(
                f"the SSH key {error.filename} can't be read ({error.strerror}): check "
                "INFISICAL_SSH_KEY, or ssh_key in the settings"
            ) from None
        return (
            f"no connection is possible ({type(error).__name__}; does the setting ssh_networks "
            "include your own network?)"
        )
    return ""


def is_alive(login: Login) -> bool:
    """Return whether a server accepts a new connection now."""
    try:
        with connect(login, timeout=_ALIVE_SECONDS):
            return True
    except UserError:
        return False


def run(
    client: paramiko.SSHClient, command: str, *, doing: str, timeout: float, stdin: str = ""
) -> str:
    """Return the output of a command. Raises UserError if it fails or takes longer."""
    try:
        given, out, err = client.exec_command(command, timeout=timeout)
        given.write(stdin)
        given.channel.shutdown_write()
        text, errors = out.read().decode(), err.read().decode()
        status = out.channel.recv_exit_status()
    except TimeoutError:
        raise UserError(
            f"could not {doing}: it took longer than {timeout:.0f} s: run again"
        ) from None
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise UserError(
            f"could not {doing}: the connection was lost ({type(error).__name__}): run again"
        ) from None
    if status:
        reason = " / ".join(errors.strip().splitlines()[-3:]) or f"status {status}"
        raise UserError(f"could not {doing}: {reason}")
    return text


def finish_first_boot(login: Login, *, timeout: float) -> None:
    """Wait until the server is up and cloud-init is done, then have it make its own host key.

    Afterwards that key is the server's only one in known_hosts. The call can be repeated after any
    failure. Raises UserError.
    """
    with connect(login, timeout=timeout) as client:
        run(
            client,
            # The exit status of cloud-init also reports warnings, so only a timeout counts.
            f"command -v cloud-init >/dev/null || exit 0; timeout {timeout:.0f} "
            "cloud-init status --wait >/dev/null; test $? != 124",
            doing=f"wait for cloud-init within {timeout:.0f} s",
            timeout=timeout + _CONNECT_SECONDS,
        )
        first = _read_host_key(client)

        def send(command: str, stdin: str) -> str:
            doing = "replace the host key"
            return run(client, command, doing=doing, timeout=_INSPECT_SECONDS, stdin=stdin)

        own = perform(question(host_key.make), doing="make a host key", send=send)
        if not own.startswith("ssh-ed25519 "):
            raise UserError(f"could not make a host key on {login}: run again")
        # Until the server is known to use the new key, both are accepted.
        login.remember(own, first)
        perform(question(host_key.use), doing="use the new host key", send=send)
    login.remember(own)
    try:
        with connect(login, timeout=timeout):
            pass
    except UserError:
        login.remember(own, first)
        raise


def _read_host_key(client: paramiko.SSHClient) -> str:
    """Return the host key of a connection's server, `ssh-ed25519 AAAA…`."""
    transport = client.get_transport()
    assert transport is not None
    key = transport.get_remote_server_key()
    return f"{key.get_name()} {key.get_base64()}"


class RemoteExecutor:
    """Run the commands of a replacement on servers; `device` is the data volume on each."""

    def __init__(self, device: str, *, timeout: float) -> None:
        self._device = device
        self._timeout = timeout

    def check_data(self, login: Login) -> None:
        """Check, before any change, that a server's Infisical keeps its data on its volume."""
        doing = f"check that the data of {login} are on its volume"
        ask(question(volume.check_own), self._send(login, doing=doing))

    def release_volume(self, login: Login) -> None:
        """Stop Infisical and Docker, and unmount the volume."""
        doing = f"stop Infisical on {login} and unmount its volume"
        send = self._send(login, doing=doing, timeout=_RELEASE_SECONDS)
        perform(question(volume.release), doing=doing, send=send)

    def check_volume(self, login: Login) -> None:
        """Raise UserError if a server's volume is blank or missing.

        A deploy would start there with an empty Infisical.
        """
        send = self._send(login, doing=f"inspect the volume on {login}")
        state = ask(question(volume.inspect, device=self._device), send)
        if not state.holds:
            word = "blank" if state.present else "absent"
            raise Refused(
                f"the volume on {login} is {word}, so the data must be on the old server's own "
                "disk; go back by `infisical-iac server replace --undo`",
                code="refused.volume",
            )

    def read_cluster(self, login: Login) -> ClusterReport:
        """Return a node's report on its cluster, empty if it is no manager of a swarm."""
        send = self._send(login, doing=f"read the cluster's state on {login}")
        return ask(question(swarm.report), send)

    def stop_docker(self, login: Login) -> None:
        """Stop Docker, and with it Infisical, if it is installed."""
        command = (
            "test ! -e /usr/lib/systemd/system/docker.service || "
            "systemctl stop docker.socket docker.service"
        )
        self._run(login, command, doing=f"stop Infisical on {login}", timeout=_RELEASE_SECONDS)

    def wait_for_host_key(self, login: Login) -> str:
        """Wait until a server accepts a login, and return its host key."""
        with connect(login, timeout=self._timeout) as client:
            return _read_host_key(client)

    def deploy(self, login: Login) -> None:
        """Deploy to a server by `infisical-iac apply`. Raises UserError."""
        if self._call(login, "apply", "--yes", capture=False).returncode:
            raise RunFailed(
                f"the deploy to {login} failed: fix what it reports and run again, or go back by "
                "`infisical-iac server replace --undo`"
            )

    def check_health(self, login: Login) -> None:
        """Check that Infisical is healthy on a server and as declared. Raises UserError."""
        done = self._call(login, "status", "--json", capture=True)
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            answer = []
        # If the status could not be read, the answer is not a list.
        rows = {row["name"]: row for row in answer} if isinstance(answer, list) else {}
        names = [*_REQUIRED, *(["caddy"] if "caddy" in rows else [])]
        unhealthy = [name for name in names if not rows.get(name, {}).get("ok")]
        if unhealthy:
            raise CheckFailed(
                f"Infisical is not healthy on {login} ({', '.join(unhealthy)}): see `infisical-iac "
                "status`; run again, or go back by `infisical-iac server replace --undo`"
            )

    def _run(
        self,
        login: Login,
        command: str,
        *,
        doing: str,
        timeout: float = _INSPECT_SECONDS,
        stdin: str = "",
    ) -> str:
        with connect(login, timeout=self._timeout) as client:
            return run(client, command, doing=doing, timeout=timeout, stdin=stdin)

    def _send(self, login: Login, *, doing: str, timeout: float = _INSPECT_SECONDS) -> Send:
        """Return the function by which `ask` and `perform` run commands on a server."""

        def send(command: str, stdin: str) -> str:
            return self._run(login, command, doing=doing, timeout=timeout, stdin=stdin)

        return send

    def _call(
        self, login: Login, *arguments: str, capture: bool
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "INFISICAL_IAC_INVENTORY": os.environ.get("INFISICAL_IAC_INVENTORY") or INVENTORY,
            "INFISICAL_HOST": login.address,
            "INFISICAL_SSH_PORT": str(login.port),
            "INFISICAL_SSH_USER": "root",
            "INFISICAL_DATA_VOLUME": self._device,
        }
        try:
            return subprocess.run(
                [_PROGRAM, *arguments],
                env=environment,
                text=True,
                stdout=subprocess.PIPE if capture else sys.stderr,
                stderr=subprocess.PIPE if capture else None,
                timeout=_DEPLOY_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RunFailed(
                f"`infisical-iac {arguments[0]}` on {login} has not ended in "
                f"{_DEPLOY_SECONDS // 60} minutes: check what it waits for, and run again",
                code="run.timeout",
            ) from None
