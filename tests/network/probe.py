"""`python -m tests.network.probe <what> …`: probe sockets from a network namespace.

serve <port> …                     answers every TCP connection and UDP packet
reach <from>,<from> <address>:<port>[/udp] …  prints the targets that answer, one a line; each
                                   request comes from the address of the same IP version
hurry <from> <address> <port> <n>  prints how many of `n` simultaneous connections are answered
ping <address>                     prints `answered` if an ICMP echo comes back
fetch <address> <port> <bytes>     prints how many of the bytes that a server sends arrive
"""

import os
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable

_SECONDS = 0.6
# A text that servers of line protocols answer, and HTTPS servers too, which ignore any other text.
_HELLO = b"GET / HTTP/1.0\r\n\r\n"
_LONG_SECONDS = 10.0


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve(*ports: str) -> None:
    """Answer on all addresses of both IP versions until the process is stopped."""
    selector = selectors.DefaultSelector()
    for port in map(int, ports):
        listener = socket.create_server(
            ("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=256
        )
        selector.register(listener, selectors.EVENT_READ, "tcp")
        packets = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        packets.bind(("::", port))
        selector.register(packets, selectors.EVENT_READ, "udp")
    print("serving", flush=True)
    while True:
        for key, _ in selector.select():
            served = key.fileobj
            assert isinstance(served, socket.socket)
            if key.data == "tcp":
                selector.register(served.accept()[0], selectors.EVENT_READ, "connection")
            elif key.data == "udp":
                served.sendto(*served.recvfrom(64))
            elif not _echo(served):
                selector.unregister(served)
                served.close()


def _echo(connection: socket.socket) -> bool:
    """Answer on a connection; return False if it has ended."""
    try:
        asked = connection.recv(64)
        number = int(asked[5:]) if asked.startswith(b"send ") else 0
        connection.sendall(b"x" * number or asked)
    except ConnectionError:
        return False
    return bool(asked)


def _asking(source: str, address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    asking = socket.socket(_family(address), kind)
    asking.bind((source, 0))
    asking.setblocking(False)
    asking.connect_ex((address, port))
    return asking


def _select_answering(sockets: Iterable[socket.socket]) -> set[socket.socket]:
    """Return the sockets that answer in time; each gets a request once it is connected."""
    selector, found = selectors.DefaultSelector(), set()
    for each in sockets:
        selector.register(each, selectors.EVENT_WRITE)
    end = time.monotonic() + _SECONDS
    while selector.get_map() and (left := end - time.monotonic()) > 0:
        for key, events in selector.select(left):
            asked = key.fileobj
            assert isinstance(asked, socket.socket)
            try:
                if events & selectors.EVENT_WRITE:
                    asked.send(_HELLO)
                    selector.modify(asked, selectors.EVENT_READ)
                    continue
                found |= {asked} if asked.recv(64) else set()
            except OSError:
                pass  # a refused connection is not an answer of a server
            selector.unregister(asked)
    return found


def reach(sources: str, *targets: str) -> None:
    """Print the targets that answer."""
    asked, of = {}, {_family(each): each for each in sources.split(",")}
    for target in targets:
        where, _, protocol = target.partition("/")
        address, _, port = where.rpartition(":")
        kind = socket.SOCK_DGRAM if protocol else socket.SOCK_STREAM
        asked[_asking(of[_family(address)], address, int(port), kind)] = target
    for each in _select_answering(asked):
        print(asked[each])


def hurry(source: str, address: str, port: str, number: str) -> None:
    """Print how many of `number` simultaneous connections are answered."""
    asked = [_asking(source, address, int(port), socket.SOCK_STREAM) for _ in range(int(number))]
    print(len(_select_answering(asked)))


def ping(address: str) -> None:
    """Print whether an echo request is answered (RFC 792, RFC 4443)."""
    ipv6 = _family(address) == socket.AF_INET6
    protocol = socket.IPPROTO_ICMPV6 if ipv6 else socket.IPPROTO_ICMP
    request, reply = (128, 129) if ipv6 else (8, 0)
    head = struct.pack("!BBHHH", request, 0, 0, os.getpid() & 0xFFFF, 1)
    if not ipv6:
        total = sum(struct.unpack("!4H", head))
        head = head[:2] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + head[4:]
    with socket.socket(_family(address), socket.SOCK_RAW, protocol) as raw:
        raw.settimeout(_SECONDS)
        raw.sendto(head, (address, 0))
        try:
            while True:
                answer = raw.recv(256)
                if answer[0 if ipv6 else 20] == reply:
                    print("answered")
                    return
        except TimeoutError:
            print("silent")


def fetch(address: str, port: str, number: str) -> None:
    """Print how many of the bytes that the server sends arrive."""
    with socket.create_connection((address, int(port)), timeout=_LONG_SECONDS) as connection:
        connection.sendall(f"send {number}".encode())
        got = 0
        while got < int(number) and (more := connection.recv(65536)):
            got += len(more)
        print(got)


_COMMANDS: dict[str, Callable[..., None]] = {
    "serve": serve,
    "reach": reach,
    "hurry": hurry,
    "ping": ping,
    "fetch": fetch,
}

if __name__ == "__main__":
    _COMMANDS[sys.argv[1]](*sys.argv[2:])
