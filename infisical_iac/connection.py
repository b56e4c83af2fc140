"""What concerns the SSH connection itself: its speed, and words for when it fails."""

import logging
import os
import runpy
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import paramiko
from pyinfra import logger
from pyinfra.api.host import Host

from infisical_iac.errors import UserError

# What the connection takes from the environment, by the name that pyinfra's data have for it.
_VARIABLES = {
    "ssh_hostname": "INFISICAL_HOST",
    "ssh_user": "INFISICAL_SSH_USER",
    "ssh_port": "INFISICAL_SSH_PORT",
    "ssh_key": "INFISICAL_SSH_KEY",
    "data_volume": "INFISICAL_DATA_VOLUME",
}
_REMEDIES = {
    "Could not resolve hostname": (
        "check the spelling of INFISICAL_HOST, or of ssh_hostname in group_data/hetzner.py"
    ),
    "Could not connect": (
        "check INFISICAL_HOST and INFISICAL_SSH_PORT (or ssh_hostname and ssh_port in "
        "group_data/hetzner.py), that the server is up, and that its firewall lets you in"
    ),
    "Authentication error": (
        "check INFISICAL_SSH_USER and INFISICAL_SSH_KEY (or ssh_user and ssh_key in "
        "group_data/hetzner.py), "
        "and that the key's public half is in the server's authorized_keys"
    ),
    "SSH host key error": (
        "if the server was really reinstalled, remove its old key from known_hosts, "
        "else somebody may be in between"
    ),
    "SSH error": "check that an SSH server answers at INFISICAL_HOST and INFISICAL_SSH_PORT",
}


def production_host(file: Path) -> tuple[str, dict[str, Any]]:
    """The production host with its data, as a pyinfra inventory wants it.

    Args:
        file: the group data that may name the host by `ssh_hostname`, and `ssh_user`, `ssh_port`
            and `ssh_key`; the environment's variables win over each of them.

    Where neither names a host, it is the server that `infisical-iac server` made, asked for with
    the token in HCLOUD_TOKEN. Ends the program with one sentence if no host is named, or if what
    is said of it can't be read.
    """
    advise_on_failures()
    data = given(file)
    if not data.get("ssh_hostname") and os.environ.get("HCLOUD_TOKEN"):
        data = _found(_group_data(file)) | data
    if not data.get("ssh_hostname"):
        sys.exit(
            "INFISICAL_HOST is not set: set it to the server's name or address, or HCLOUD_TOKEN "
            "for one that `infisical-iac server create` made, or run `infisical-iac init`"
        )
    if (key := data.get("ssh_key")) and not Path(key).expanduser().is_file():
        sys.exit(f"INFISICAL_SSH_KEY, or ssh_key in {file.name}: there is no file {key}")
    user = data.setdefault("ssh_user", "root")
    _have_known_hosts()
    data |= _verified(file.parent.parent, data["ssh_hostname"], data.get("ssh_port", 22))
    return (data["ssh_hostname"], {**data, "_sudo": user != "root"})


def given(file: Path) -> dict[str, Any]:
    """What the group data in `file` and the environment, which wins, say of the connection.

    Ends the program with one sentence for a file that can't be read or a port that is none.
    """
    data = {key: value for key, value in _group_data(file).items() if key in _VARIABLES}
    variables = {key: os.environ.get(name, "").strip() for key, name in _VARIABLES.items()}
    data |= {key: value for key, value in variables.items() if value}
    if port := data.get("ssh_port"):
        if not str(port).isdigit():
            sys.exit(
                f"INFISICAL_SSH_PORT, or ssh_port in {file.name}, is {port!r}: "
                "set it to a number such as 22"
            )
        data["ssh_port"] = int(port)
    return data


def _found(settings: Mapping[str, Any]) -> dict[str, Any]:
    # The library takes a while to load, which whoever names a host has no need of.
    from infisical_iac.hetzner import finding

    try:
        return finding.production(settings.get("server_name", ""))
    except UserError as error:
        sys.exit(str(error))


def _verified(project: Path, address: str, port: int) -> dict[str, Any]:
    """For a host whose key the project itself keeps: no other key will do."""
    kept = project / ".infisical-iac" / "known_hosts"
    name = address if port == 22 else f"[{address}]:{port}"
    if not kept.is_file() or paramiko.HostKeys(str(kept)).lookup(name) is None:
        return {}
    return {"ssh_known_hosts_file": str(kept), "ssh_strict_host_key_checking": "yes"}


def _group_data(file: Path) -> dict[str, Any]:
    try:
        return runpy.run_path(str(file))
    except FileNotFoundError:
        return {}
    except Exception as error:  # it is a program, which may fail in any way
        sys.exit(f"{file} can't be read: {error}")


def _have_known_hosts() -> None:
    # pyinfra remembers a new host's key there, and fails if it can't.
    directory = Path.home() / ".ssh"
    directory.mkdir(mode=0o700, exist_ok=True)
    (directory / "known_hosts").touch(mode=0o600)


class _Remedy(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        for symptom, remedy in _REMEDIES.items():
            if record.levelno >= logging.ERROR and symptom in message:
                record.msg, record.args = f"{message}: {remedy}", ()
                break
        return True


# What reaches whoever uses a connection that breaks.
LOST = (paramiko.SSHException, EOFError, OSError)


def lost(host: Host, error: Exception) -> str:
    """What to say of a connection that broke, but for the remedy."""
    return f"the connection to {host.name} was lost ({type(error).__name__})"


def advise_on_failures() -> None:
    """Let pyinfra's own connection errors name the variable to check and the remedy."""
    if not any(isinstance(present, _Remedy) for present in logger.filters):
        logger.addFilter(_Remedy())


def without_delay(host: Host) -> None:
    """Set TCP_NODELAY on the host's SSH connection; a local connection has none to set.

    paramiko leaves Nagle's algorithm on, which costs about 40 ms a command on loopback.
    """
    client = getattr(host.connector, "client", None)
    transport = client.get_transport() if client else None
    if transport is not None:
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
