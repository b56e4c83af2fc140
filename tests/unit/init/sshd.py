"""An SSH server on loopback for tests of `infisical-iac init`: it has a host key, and one user."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL

from infisical_iac.backup.signing import fingerprint_of


class Sshd(NamedTuple):
    """A running server: its port, its host key, and the key of the user `root`."""

    port: int
    host_key: paramiko.PKey
    user_key: paramiko.ECDSAKey

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.host_key.asbytes())

    @property
    def line(self) -> str:
        """Return its line in known_hosts."""
        key = f"{self.host_key.get_name()} {self.host_key.get_base64()}"
        return f"[127.0.0.1]:{self.port} {key}"


class _Login(paramiko.ServerInterface):
    def __init__(self, key: paramiko.PKey) -> None:
        self._key = key

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        is_known = username == "root" and key.asbytes() == self._key.asbytes()
        return AUTH_SUCCESSFUL if is_known else AUTH_FAILED


@contextmanager
def sshd() -> Iterator[Sshd]:
    """Serve each connection in a thread of its own, until the end of the context."""
    host_key, user_key = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:  # closed
                    return
                transport = paramiko.Transport(connection)
                transport.add_server_key(host_key)
                transport.start_server(event=threading.Event(), server=_Login(user_key))

        threading.Thread(target=serve, daemon=True).start()
        yield Sshd(listener.getsockname()[1], host_key, user_key)
        listener.shutdown(socket.SHUT_RDWR)  # ends `accept` of the thread


@contextmanager
def silent_server(answer: bytes = b"") -> Iterator[int]:
    """Serve one connection that speaks no SSH, on the port that is given."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed
                return
            with connection:
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
