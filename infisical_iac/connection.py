"""What concerns the SSH connection itself: its speed, and words for when it fails."""

import logging
import os
import runpy
import socket
import sys
from pathlib import Path
from typing import Any

import paramiko
from pyinfra import logger
from pyinfra.api.host import Host

# What the connection takes from the environment, by the name that pyinfra's data have for it.
_VARIABLES = {
    "ssh_hostname": "INFISICAL_HOST",
    "ssh_user": "INFISICAL_SSH_USER",
    "ssh_port": "INFISICAL_SSH_PORT",
    "ssh_key": "INFISICAL_SSH_KEY",
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

    Ends the program with one sentence if no host is named, or if what is said of it can't be read.
    """
    advise_on_failures()
    data = {key: value for key, value in _group_data(file).items() if key in _VARIABLES}
    given = {key: os.environ.get(variable, "").strip() for key, variable in _VARIABLES.items()}
    data |= {key: value for key, value in given.items() if value}
    if not data.get("ssh_hostname"):
        sys.exit(
            "INFISICAL_HOST is not set: set it to the server's name or address, "
            "or run `infisical-iac init`"
        )
    if port := data.get("ssh_port"):
        if not str(port).isdigit():
            sys.exit(
                f"INFISICAL_SSH_PORT, or ssh_port in {file.name}, is {port!r}: "
                "set it to a number such as 22"
            )
        data["ssh_port"] = int(port)
    if (key := data.get("ssh_key")) and not Path(key).expanduser().is_file():
        sys.exit(f"INFISICAL_SSH_KEY, or ssh_key in {file.name}: there is no file {key}")
    user = data.setdefault("ssh_user", "root")
    _have_known_hosts()
    return (data["ssh_hostname"], {**data, "_sudo": user != "root"})


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
