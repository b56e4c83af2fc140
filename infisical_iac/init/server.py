"""Test the server that a person named: read its host key, log in, and inspect it.

An accepted host key is kept in the repository's `.infisical-iac/known_hosts`, so that the whole
team and its CI jobs know it.
"""

import base64
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import paramiko
from pydantic import TypeAdapter, ValidationError

from infisical_iac.agent.others import OtherContainers
from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.api.tunnel import SSHTransport
from infisical_iac.core import archive, host_keys
from infisical_iac.core.bundle import default_settings
from infisical_iac.core.errors import Unreachable, UserError
from infisical_iac.core.host_keys import KnownHost, ServerKey, name_in_known_hosts
from infisical_iac.core.own_repository import KNOWN_HOSTS
from infisical_iac.stack.model import DEPLOYER_FILE
from infisical_iac.workspace import isolation, memory
from infisical_iac.workspace.model import Isolation

_SECONDS = 10.0
_OTHERS = TypeAdapter(OtherContainers)
_CREDENTIALS = re.compile(r"(?m)^(INFISICAL_CLIENT_ID|INFISICAL_CLIENT_SECRET)=(\S+)$")


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
        """Return the server's names in known_hosts: as given, and as in the SSH configuration."""
        address, port = self.target
        pairs = ((self.address, self.port), (address, port))
        return tuple(dict.fromkeys(name_in_known_hosts(*each) for each in pairs))

    @property
    def target(self) -> tuple[str, int]:
        """Return the address and port to connect to, as the SSH configuration says."""
        said = _configuration(self.address)
        own = said.get("port", "22")
        port = int(own) if self.port == 22 and own.isdigit() else self.port
        return str(said.get("hostname", self.address)), port


def read_host_key(server: Server, directory: Path) -> ServerKey:
    """Connect to a server, and return the host key that it shows, by the first of its names.

    Args:
        directory: the repository, which may know a key.

    Raises Unreachable if no SSH server answers, or if it is behind a jump host.
    """
    if {"proxyjump", "proxycommand"} & {*_configuration(server.address)}:
        raise Unreachable(
            f"{server.address} is behind a jump host of ~/.ssh/config, so it can't be tested here",
            code="unreachable.host",
        )
    lines = [each for lines in _read(directory) for each in lines]
    types = host_keys.list_types(server.names, lines)
    return replace(host_keys.read_key(*server.target, types=types), name=server.names[0])


class ProposedIsolation(NamedTuple):
    """The isolation that suits a deployed Infisical, and the reason as a sentence."""

    method: Isolation
    reason: str


class LoginTest(NamedTuple):
    """The result of a login.

    Attributes:
        problem: the reason of a failure, as the beginning of a sentence; empty if it works.
        others: the others who use the server's Docker; None if unknown.
        isolation: the isolation for the server's Infisical; None without an Infisical.
    """

    problem: str = ""
    others: OtherContainers | None = None
    isolation: ProposedIsolation | None = None


def try_login(server: Server, key: ServerKey) -> LoginTest:
    """Log in to a server, and inspect its Docker and an Infisical that runs there.

    The test tries the keys of the SSH agent and of ~/.ssh, as a deploy does. It leaves nothing on
    the server. In Infisical it makes a temporary project and identity, see `isolation.prove`.
    """
    address, port = server.target
    client = paramiko.SSHClient()
    public = paramiko.PKey.from_type_string(key.type, base64.b64decode(key.base64))
    client.get_host_keys().add(name_in_known_hosts(address, port), key.type, public)
    named = [server.key] if server.key else _configuration(server.address).get("identityfile", [])
    # paramiko takes several files, which its type stubs do not allow.
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
        found = _inspect(client, server.user)
        return LoginTest() if found is None else _ask_infisical(client, found)
    except paramiko.PasswordRequiredException:
        return LoginTest(
            "your SSH key has a passphrase and is in no SSH agent, so the login was not tested"
        )
    except (paramiko.SSHException, EOFError, OSError) as error:
        # After a refused login, paramiko may report that the key file has another type instead.
        transport = client.get_transport()
        is_connected = transport is not None and transport.is_active()
        if isinstance(error, paramiko.AuthenticationException) or (
            isinstance(error, paramiko.SSHException) and is_connected
        ):
            return LoginTest(f"{server.address} accepts none of your SSH keys for {server.user}")
        return LoginTest(f"the login to {server.address} can't be tested ({error})")
    finally:
        client.close()


def _inspect(client: paramiko.SSHClient, user: str) -> str | None:
    """Return a line of JSON on the others on the server, and a deploy's files; None if unreadable.

    The agent answers. It is removed afterwards.
    """
    # Only root and the group docker can use Docker. Another user has sudo, maybe with a password.
    sudo = "" if user == "root" else "sudo -n "
    inspect = (
        "new=$(mktemp -d) && base64 --decode >$new/agent.pyz && "
        "python3 -IS $new/agent.pyz --other-containers; status=$?; rm -rf $new; "
        f"cat {DEPLOYER_FILE} {memory.FILE} 2>/dev/null; exit $status"
    )
    try:
        given, output, _ = client.exec_command(
            f"{sudo}sh -c {shlex.quote(inspect)}", timeout=_SECONDS
        )
        given.write(base64.b64encode(archive.build()))
        given.channel.shutdown_write()
        text: str = output.read().decode(errors="replace")
        status = output.channel.recv_exit_status()
    except (paramiko.SSHException, EOFError, OSError):
        return None
    return text if status == 0 else None


def _ask_infisical(client: paramiko.SSHClient, found: str) -> LoginTest:
    line, _, files = found.partition("\n")
    try:
        others = _OTHERS.validate_json(line)
    except ValidationError:
        return LoginTest()
    transport = client.get_transport()
    if transport is None or not _CREDENTIALS.search(files):
        return LoginTest(others=others)
    address = f"http://127.0.0.1:{default_settings()['http_port']}"
    with Client(address, SSHTransport(transport)) as api:
        return LoginTest(others=others, isolation=propose_isolation(api, files))


def propose_isolation(api: Client, files: str) -> ProposedIsolation:
    """Return the isolation that suits a deployed Infisical, and the reason.

    Args:
        api: a client of the server without a token.
        files: the text of the deployer's credentials, then that of the deploys' memory.
    """
    if memory.parse(files[files.find("{") :]).parts:
        return ProposedIsolation(
            "projects", "On this server each service has a project of its own already."
        )
    names = dict(_CREDENTIALS.findall(files))
    try:
        deployer = login.universal(
            api, names.get("INFISICAL_CLIENT_ID", ""), names.get("INFISICAL_CLIENT_SECRET", "")
        )
        isolation.prove(deployer, "privilege")
    except UserError as error:
        if isolation.is_lost(error):
            return ProposedIsolation(
                "projects",
                "The Infisical on this server does not enforce privileges: "
                f"{isolation.find_reason(error)}.",
            )
        return ProposedIsolation(
            "privilege",
            f"The Infisical on this server could not be tested ({error}): the next deploy tries "
            "again.",
        )
    return ProposedIsolation("privilege", "The Infisical on this server enforces privileges.")


def is_known(server: Server, key: ServerKey, directory: Path) -> bool:
    """Return whether known_hosts has the server's key: the repository's, or the user's own.

    Args:
        directory: the repository. Its known_hosts takes precedence, as in a deploy.

    Raises Refused if it has another key: somebody may intercept the connection.
    """
    named = _name_key(server, key)
    return any(host_keys.check_key(each, lines) for lines in _read(directory) for each in named)


def add_known(text: str, server: Server, key: ServerKey) -> str:
    """Return the text of the repository's known_hosts with a server's key."""
    lines = host_keys.parse_known_hosts(text, KNOWN_HOSTS)
    end = "\n" if text and not text.endswith("\n") else ""
    added = (
        host_keys.write_line(each, hashed=False)
        for each in _name_key(server, key)
        if not host_keys.check_key(each, lines)
    )
    return f"{text}{end}{''.join(added)}"


def _read(directory: Path) -> tuple[list[KnownHost], list[KnownHost]]:
    """Return the lines of the repository's known_hosts, and those of the user's own."""
    own, users = [directory / KNOWN_HOSTS], [host_keys.default_file(), host_keys.GLOBAL_FILE]
    revoked = host_keys.list_revoked(users)
    return [*host_keys.read_lines(own), *revoked], host_keys.read_lines(users)


def _name_key(server: Server, key: ServerKey) -> list[ServerKey]:
    """Return the key by each of the server's names."""
    return [replace(key, name=name) for name in server.names]


def _configuration(address: str) -> paramiko.SSHConfigDict:
    try:
        return paramiko.SSHConfig.from_path(str(Path.home() / ".ssh" / "config")).lookup(address)
    except (OSError, paramiko.SSHException, paramiko.ConfigParseError, ValueError, RuntimeError):
        return paramiko.SSHConfigDict()
