"""Reach the API of a host through an SSH connection.

Each HTTP connection is a `direct-tcpip` channel to a port on the host's loopback address. So the
API needs no listener: neither on a public address of the host, nor on the machine that deploys.
"""

from collections.abc import Iterable
from typing import Any

import httpcore
import httpx
import paramiko

from infisical_iac.core.errors import Refused


class _ChannelStream(httpcore.NetworkStream):
    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._channel.settimeout(timeout)
        try:
            return self._channel.recv(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._channel.settimeout(timeout)
        try:
            self._channel.sendall(buffer)
        except TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self._channel.close()

    def get_extra_info(self, info: str) -> Any:
        # The pool asks before it uses an idle connection again: the server has closed a connection
        # that is readable.
        return self._channel.closed or self._channel.eof_received if info == "is_readable" else None


class _ChannelBackend(httpcore.NetworkBackend):
    def __init__(self, transport: paramiko.Transport) -> None:
        self._transport = transport

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            channel = self._transport.open_channel(
                "direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=timeout
            )
        except paramiko.ChannelException as error:
            if error.code == 1:  # SSH_OPEN_ADMINISTRATIVELY_PROHIBITED, RFC 4254 section 5.1
                raise Refused(
                    "the host's SSH server forbids port forwarding, which is needed to reach "
                    "Infisical's API: set `AllowTcpForwarding local` in its sshd_config"
                ) from None
            raise httpcore.ConnectError(f"nothing answers on port {port} of the host") from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise httpcore.ConnectError(f"the SSH connection failed: {error}") from error
        return _ChannelStream(channel)


class SSHTransport(httpx.HTTPTransport):
    """An httpx transport that connects from the host at the other end of an SSH connection.

    Args:
        ssh: the connected paramiko transport; it stays the caller's to close.
    """

    def __init__(self, ssh: paramiko.Transport) -> None:
        # httpx offers no argument for httpcore's network backend. Its own initialization only makes
        # another pool, and reads all certificates of authorities for it.
        self._pool = httpcore.ConnectionPool(
            network_backend=_ChannelBackend(ssh), max_connections=16, keepalive_expiry=60
        )
