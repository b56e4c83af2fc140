"""A forward proxy for tests, which logs each request as a line and may deny.

    python -m tests.proxy --port 3128 --log /tmp/proxy.log --deny github.com --user fake:password

It passes on CONNECT and plain `http://` requests. It needs only Python 3.11, so a copy of this one
file runs on a staging host. It listens once it prints `ready`. A line of the log is

    CONNECT github.com:443 passed       the tunnel was made
    GET http://example.com/path passed  the request was sent on
    CONNECT github.com:443 denied       answered with 403
    CONNECT github.com:443 login        answered with 407: no or another user and password
    CONNECT github.com:443 failed       answered with 502: the target can't be reached
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

_LONGEST_HEAD = 64 * 1024
_PATIENCE = 10.0
_REASONS = {403: "Forbidden", 407: "Proxy Authentication Required", 502: "Bad Gateway"}
_RESULTS = {403: "denied", 407: "login", 502: "failed"}


@dataclass
class ForwardProxy:
    """A proxy; `denied` and `deny_all` may change while it runs.

    Attributes:
        denied: the host names that are refused.
        deny_all: whether all hosts are refused.
        deny_others: whether all hosts that are not in `routes` are refused.
        user: `name:password` that clients have to send; empty for none.
        routes: the address that stands for a host and port, as `host:port` → (address, port).
        requests: the lines of the log.
    """

    port: int = 0
    host: str = "127.0.0.1"
    log: Path | None = None
    denied: list[str] = field(default_factory=list)
    deny_all: bool = False
    deny_others: bool = False
    user: str = ""
    routes: dict[str, tuple[str, int]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.user + '@' if self.user else ''}{self.host}:{self.port}"

    async def listen(self) -> asyncio.Server:
        """Start to accept connections; raise OSError if the port is in use."""
        server = await asyncio.start_server(self._serve, self.host, self.port, limit=_LONGEST_HEAD)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
            await self._pass(head, reader, writer)
        writer.close()

    async def _pass(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        first, *headers = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, version = first.split(" ")
        url = urlsplit(f"//{target}" if method == "CONNECT" else target)
        name, port = url.hostname or "", url.port or (443 if method == "CONNECT" else 80)
        line = f"{method} {target}"
        if not self._has_login(headers):
            return self._refuse(writer, line, 407)
        is_routed = f"{name}:{port}" in self.routes
        if self.deny_all or name in self.denied or (self.deny_others and not is_routed):
            return self._refuse(writer, line, 403)
        address = self.routes.get(f"{name}:{port}", (name, port))
        try:
            async with asyncio.timeout(_PATIENCE):
                upstream_reader, upstream = await asyncio.open_connection(*address)
        except OSError:
            return self._refuse(writer, line, 502)
        self._record(f"{line} passed")
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            path = f"{url.path or '/'}{'?' + url.query if url.query else ''}"
            kept = [each for each in headers if not each.lower().startswith("proxy-")]
            kept = [each for each in kept if not each.lower().startswith("connection:")]
            lines = [f"{method} {path} {version}", *kept, "Connection: close", "", ""]
            upstream.write("\r\n".join(lines).encode("latin-1"))
        await asyncio.gather(_copy(reader, upstream), _copy(upstream_reader, writer))
        return None

    def _has_login(self, headers: list[str]) -> bool:
        if not self.user:
            return True
        expected = f"basic {base64.b64encode(self.user.encode()).decode()}"
        given = (each.partition(":") for each in headers)
        return any(
            name.lower() == "proxy-authorization"
            and value.strip().partition(" ")[2] == expected.partition(" ")[2]
            for name, _, value in given
        )

    def _refuse(self, writer: asyncio.StreamWriter, line: str, status: int) -> None:
        self._record(f"{line} {_RESULTS[status]}")
        challenge = "Proxy-Authenticate: Basic realm=proxy\r\n" if status == 407 else ""
        head = f"HTTP/1.1 {status} {_REASONS[status]}\r\n{challenge}"
        writer.write(f"{head}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())

    def _record(self, line: str) -> None:
        self.requests.append(line)
        if self.log:
            with self.log.open("a", encoding="utf-8") as log:
                log.write(f"{line}\n")


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Copy until the end of the source, then close the target's direction."""
    with suppress(OSError):
        while chunk := await source.read(64 * 1024):
            target.write(chunk)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM; return the exit code."""
    parser = argparse.ArgumentParser(prog="proxy", description="A forward proxy for tests.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--deny", dest="denied", action="append", default=[])
    parser.add_argument("--deny-all", action="store_true")
    parser.add_argument("--user", default="")
    return asyncio.run(_run(ForwardProxy(**vars(parser.parse_args(arguments)))))


async def _run(proxy: ForwardProxy) -> int:
    try:
        listening = await proxy.listen()
    except OSError as error:
        print(f"proxy: {error}", file=sys.stderr)
        return 1
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    print("ready", flush=True)
    await ended.wait()
    listening.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
