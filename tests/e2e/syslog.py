"""A server that takes syslog over TLS (RFC 5425), for tests."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from tests.certificates import KeyPair


class SyslogServer:
    """A server at one address, which can be away for a time; `received` are its messages."""

    def __init__(self, address: str, port: int) -> None:
        self.address, self.port = address, port
        self.received: list[str] = []
        self._listening: socket.socket | None = None
        self._open: list[ssl.SSLSocket] = []

    def start(self, pair: KeyPair) -> None:
        """Listen with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        self._listening = socket.create_server((self.address, self.port))
        threading.Thread(target=self._accept, args=(self._listening, context), daemon=True).start()

    def stop(self) -> None:
        """Listen no longer, and end all connections."""
        if self._listening:
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._listening, self._open = None, []

    def wait_for(self, fits: Callable[[list[str]], bool], seconds: float = 60) -> bool:
        """Return whether the messages fit within this time."""
        end = time.monotonic() + seconds
        while not fits(self.received) and time.monotonic() < end:
            time.sleep(0.2)
        return fits(self.received)

    def _accept(self, listening: socket.socket, context: ssl.SSLContext) -> None:
        with suppress(OSError):
            while True:
                found, _ = listening.accept()
                threading.Thread(target=self._read, args=(found, context), daemon=True).start()

    def _read(self, found: socket.socket, context: ssl.SSLContext) -> None:
        # A client that refuses the certificate ends the connection.
        with suppress(OSError):
            connection = context.wrap_socket(found, server_side=True)
            self._open.append(connection)
            with connection.makefile("rb") as stream:
                while length := _length(stream.read):
                    self.received.append(stream.read(length).decode())


def _length(read: Callable[[int], bytes]) -> int:
    """Return the length before a message; 0 at the end."""
    digits = b""
    while (each := read(1)) not in (b" ", b""):
        digits += each
    return int(digits or 0)
