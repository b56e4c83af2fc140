"""Test the server that a person named: read its host key, and try to log in.

`check_server` is the only place that connects. A host key that was accepted is kept in
`.infisical-iac/known_hosts` of the repository, so that a whole team and its CI jobs know it.
"""

import base64
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import paramiko

from infisical_iac.backup.signing import fingerprint_of
from infisical_iac.core.errors import Refused, Unreachable

KNOWN_HOSTS = Path(".infisical-iac", "known_hosts")
_SECONDS = 10.0


class Server(NamedTuple):
    """A server as a person named it.

    Attributes:
        key: the file of the private key to log in with; empty for the agent and ~/.ssh.
    """

    address: str
    port: int = 22
    user: str = "root"
    key: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Return its names in known_hosts: the given one, and the one of the SSH configuration."""
        address, port = self.target
        pairs = ((self.address, self.port), (address, port))
        return tuple(dict.fromkeys(n if p == 22 else f"[{n}]:{p}" for n, p in pairs))

    @property
    def target(self) -> tuple[str, int]:
        """Return the address and port to connect to, as the SSH configuration says."""
        said = _configuration(self.address)
        own = said.get("port", "22")
        port = int(own) if self.port == 22 and own.isdigit() else self.port
        return str(said.get("hostname", self.address)), port


class HostKey(NamedTuple):
    """A server's public key: its kind, such as `ssh-ed25519`, and its bytes in base64."""

    kind: str
    text: str
    fingerprint: str


def check_server(server: Server) -> HostKey:
    """Connect to a server, and return the host key that it shows.

    Raises Unreachable with a sentence if nothing answers, or what answers is no SSH server.
    """
    address, port = server.target
    where = f"{server.address}, port {port},"
    if {"proxyjump", "proxycommand"} & {*_configuration(server.address)}:
        raise Unreachable(f"{server.address} is behind a jump host of ~/.ssh/config")
    try:
        connection = socket.create_connection((address, port), timeout=_SECONDS)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it has no address, or did not answer in time"
        raise Unreachable(
            f"{where} can't be reached ({reason}): check address and port, that the "
            "server is up, and that its firewall lets you in"
        ) from None
    transport = paramiko.Transport(connection)
    transport.banner_timeout = _SECONDS
    try:
        transport.start_client(timeout=_SECONDS)
        key = transport.get_remote_server_key()
    except (paramiko.SSHException, EOFError, OSError):
        raise Unreachable(f"{where} answers, but not as an SSH server: check the port") from None
    finally:
        transport.close()
    return HostKey(key.get_name(), key.get_base64(), fingerprint_of(key.asbytes()))


def find_login_problem(server: Server, host_key: HostKey) -> str:
    """Return why a login fails, as the beginning of a sentence; empty if it works.

    It tries the keys of the SSH agent and of ~/.ssh, as a deploy does.
    """
    address, port = server.target
    client = paramiko.SSHClient()
    name = address if port == 22 else f"[{address}]:{port}"
    pkey = paramiko.PKey.from_type_string(host_key.kind, base64.b64decode(host_key.text))
    client.get_host_keys().add(name, host_key.kind, pkey)
    named = [server.key] if server.key else _configuration(server.address).get("identityfile", [])
    # paramiko takes several, which its stubs do not know.
    files: Any = [str(Path(each).expanduser()) for each in named] or None
    try:
        client.connect(
            address,
            port,
            server.user,
            key_filename=files,
            timeout=_SECONDS,
            banner_timeout=_SECONDS,
            auth_timeout=_SECONDS,
        )
    except paramiko.PasswordRequiredException:
        return "your SSH key has a passphrase, and no agent holds it, so the login was not tested"
    except (paramiko.SSHException, EOFError, OSError) as error:
        # After a refusal paramiko may complain that the key is of none of the other kinds.
        transport = client.get_transport()
        is_connected = transport is not None and transport.is_active()
        if isinstance(error, paramiko.AuthenticationException) or (
            isinstance(error, paramiko.SSHException) and is_connected
        ):
            return f"{server.address} accepts none of your SSH keys for {server.user}"
        return f"the login to {server.address} can't be tested ({error})"
    finally:
        client.close()
    return ""


def is_known(server: Server, host_key: HostKey, files: Iterable[Path]) -> bool:
    """Return whether a known_hosts file has the server's host key.

    Raises Refused if one has another key of the same kind: somebody may intercept the connection.
    """
    is_there = False
    for file in files:
        for name in server.names:
            known = _read(file).lookup(name)
            key = known.get(host_key.kind) if known else None
            if key is None:
                continue
            if key.get_base64() != host_key.text:
                raise Refused(
                    f"{server.address} has the host key {host_key.fingerprint}, and {file} another "
                    "one: somebody may intercept the connection; if the server was really "
                    f"reinstalled, remove the old key by `ssh-keygen -R {name} -f {file}`",
                    code="refused.host_key",
                )
            is_there = True
    return is_there


def add_known(text: str, server: Server, host_key: HostKey) -> str:
    """Return the text of a known_hosts file with a server's host key."""
    lines = text.splitlines()
    added = [f"{name} {host_key.kind} {host_key.text}" for name in server.names]
    return "".join(f"{line}\n" for line in dict.fromkeys((*lines, *added)))


def _read(file: Path) -> paramiko.HostKeys:
    try:
        return paramiko.HostKeys(str(file))
    except (OSError, paramiko.SSHException, UnicodeDecodeError):
        return paramiko.HostKeys()


def _configuration(address: str) -> paramiko.SSHConfigDict:
    try:
        return paramiko.SSHConfig.from_path(str(Path.home() / ".ssh" / "config")).lookup(address)
    except (OSError, paramiko.SSHException, paramiko.ConfigParseError, ValueError, RuntimeError):
        return paramiko.SSHConfigDict()
