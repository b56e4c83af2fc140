"""What concerns the SSH connection itself: its speed, and words for when it fails."""

import logging
import os
import socket
import sys
from pathlib import Path
from typing import Any

from pyinfra import logger
from pyinfra.api.host import Host

_REMEDIES = {
    "Could not resolve hostname": "check the spelling of INFISICAL_HOST",
    "Could not connect": (
        "check INFISICAL_HOST and INFISICAL_SSH_PORT, that the server is up, "
        "and that its firewall lets you in"
    ),
    "Authentication error": (
        "check INFISICAL_SSH_USER and INFISICAL_SSH_KEY, "
        "and that the key's public half is in the server's authorized_keys"
    ),
    "SSH host key error": (
        "if the server was really reinstalled, remove its old key from known_hosts, "
        "else somebody may be in between"
    ),
    "SSH error": "check that an SSH server answers at INFISICAL_HOST and INFISICAL_SSH_PORT",
}


def host_from_environment() -> tuple[str, dict[str, Any]]:
    """The host that INFISICAL_HOST names, with its data, as a pyinfra inventory wants it.

    Ends the program with one sentence if the variable isn't set.
    """
    advise_on_failures()
    name = os.environ.get("INFISICAL_HOST", "").strip()
    if not name:
        sys.exit("INFISICAL_HOST is not set: set it to the server's name or address")
    user = os.environ.get("INFISICAL_SSH_USER", "root")
    data: dict[str, Any] = {"ssh_user": user, "_sudo": user != "root"}
    if port := os.environ.get("INFISICAL_SSH_PORT"):
        if not port.isdigit():
            sys.exit(f"INFISICAL_SSH_PORT is {port!r}: set it to a number such as 22")
        data["ssh_port"] = int(port)
    if key := os.environ.get("INFISICAL_SSH_KEY"):
        data["ssh_key"] = key
    _have_known_hosts()
    return (name, data)


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
