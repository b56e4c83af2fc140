"""An SSH server on loopback that runs the commands of a real `ssh`."""

import itertools
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import paramiko
import pytest
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from infisical_iac.core import host_keys
from infisical_iac.core.errors import Unreachable
from tests.unit.fake_programs import fake_program

_SECONDS = 20


class _Anybody(paramiko.ServerInterface):
    """A server that accepts one user's key, and records the command to run."""

    def __init__(self, key: paramiko.PKey) -> None:
        self._key = key
        self.command = b""
        self.asked = threading.Event()

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        known = key.asbytes() == self._key.asbytes()
        return AUTH_SUCCESSFUL if known else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.command = command
        self.asked.set()
        return True


def reach_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each read of a host key fail as if no server answered."""

    def refuse(address: str, *_: object, **__: object) -> NoReturn:
        raise Unreachable(f"no SSH server answers at {address}: it is a test")

    monkeypatch.setattr(host_keys, "read_key", refuse)


@contextmanager
def ssh_server(
    home: Path,
    *,
    hangs_up: int = 0,
    keys: Sequence[paramiko.PKey] = (),
    printed: Path | None = None,
) -> Iterator[int]:
    """Serve until the context ends, and yield the port.

    Args:
        home: a directory that gets `ssh`, which logs in as the server's only user and knows the
            server's key; that user's private `key`; and `known_hosts`.
        hangs_up: the number of first connections that are closed without an answer.
        keys: the host keys of the server; empty for a new key. The first is in `known_hosts`.
        printed: a file with what each command prints, which is then not run; None to run them.
    """
    keys, user_key = keys or [paramiko.ECDSAKey.generate()], paramiko.ECDSAKey.generate()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        user_key.write_private_key_file(str(home / "key"))
        known = f"[127.0.0.1]:{port} {keys[0].get_name()} {keys[0].get_base64()}\n"
        (home / "known_hosts").write_text(known)
        options = f"-F none -i {home}/key -o UserKnownHostsFile={home}/known_hosts"
        fake_program(home, "ssh", f'exec /usr/bin/ssh {options} "$@"')
        serving = threading.Thread(
            target=_serve, args=(listener, keys, user_key, hangs_up, printed), daemon=True
        )
        serving.start()
        yield port


def _serve(
    listener: socket.socket,
    keys: Sequence[paramiko.PKey],
    user_key: paramiko.PKey,
    hangs_up: int,
    printed: Path | None,
) -> None:
    for number in itertools.count():
        try:
            connection, _ = listener.accept()
        except OSError:  # closed
            return
        if number < hangs_up:
            connection.close()
            continue
        # A client may have a second connection while the first one is open.
        threading.Thread(
            target=_speak, args=(connection, keys, user_key, printed), daemon=True
        ).start()


def _speak(
    connection: socket.socket,
    keys: Sequence[paramiko.PKey],
    user_key: paramiko.PKey,
    printed: Path | None,
) -> None:
    with paramiko.Transport(connection) as transport:
        for each in keys:
            transport.add_server_key(each)
        asked = _Anybody(user_key)
        try:
            transport.start_server(server=asked)
        except (paramiko.SSHException, EOFError, OSError):
            return  # such as a client that only asks for the host key
        channel = _wait_for_channel(transport)
        if channel is not None and asked.asked.wait(_SECONDS):
            _run(channel, b"cat " + bytes(printed) if printed else asked.command)
            transport.join(_SECONDS)  # the client closes once it has everything


def _wait_for_channel(transport: paramiko.Transport) -> paramiko.Channel | None:
    """Return the first channel; None for a client that ends without one."""
    end = time.monotonic() + _SECONDS
    while transport.is_active() and time.monotonic() < end:
        if channel := transport.accept(0.05):
            return channel
    return None


def _run(channel: paramiko.Channel, command: bytes) -> None:
    given = channel.makefile("rb").read()
    ran = subprocess.run(["/bin/sh", "-c", command], input=given, capture_output=True, timeout=20)
    channel.sendall(ran.stdout)
    channel.sendall_stderr(ran.stderr)
    channel.send_exit_status(ran.returncode)
    channel.close()
