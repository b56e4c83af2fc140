"""Receive webhooks on this machine."""

import json
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

_HEARTBEAT = "/ping/obviously-fake-token"
# An evaluation comes every minute. A begin is reported within two, and an end once the problem was
# absent in two evaluations.
_MOST_SECONDS = {"begun": 120, "ended": 240}

# The check and the subject of an alert.
Alert = tuple[str, str]


@dataclass
class Receiver:
    """The received messages; `status` is the answer to the sender.

    Attributes:
        heartbeat: an address that is only called, and has no message.
        calls: the paths that were called there.
    """

    url: str = ""
    heartbeat: str = ""
    status: int = 200
    received: list[dict[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def wait_for(self, phase: str, alerts: Collection[Alert]) -> None:
        """Wait until all these alerts have begun or ended, and print how long each took."""
        missing, begin = {*alerts}, time.monotonic()
        while missing and time.monotonic() - begin < _MOST_SECONDS[phase]:
            time.sleep(0.5)
            known = missing & {alert for each, alert in self._list_phases() if each == phase}
            for each in sorted(known):
                print(f"{each}: {phase} after {time.monotonic() - begin:.0f} s")
            missing -= known
        assert missing == set(), self.received

    def assert_reported_once(self, alerts: Sequence[Alert], but: Collection[str] = ()) -> None:
        """Assert that these alerts have begun and ended once, and no other but of these checks."""
        sent = Counter(each for each in self._list_phases() if each[1][0] not in but)
        assert sent == Counter((phase, each) for phase in ("begun", "ended") for each in alerts)
        assert all(each["remedy"] for each in self.received)

    def _list_phases(self) -> list[tuple[str, Alert]]:
        return [(each["phase"], (each["check"], each["subject"])) for each in self.received]


@contextmanager
def receiver(address: str = "127.0.0.1") -> Iterator[Receiver]:
    """Yield a receiver that listens at an address of this machine while the context is open."""
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.startswith(_HEARTBEAT):
                found.calls.append(self.path)
            else:
                found.received.append(json.loads(body))
            self.send_response(found.status)
            self.end_headers()

        def do_GET(self) -> None:
            found.calls.append(self.path)
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with HTTPServer((address, 0), Handler) as server:
        base = f"http://{address}:{server.server_port}"
        found.url, found.heartbeat = f"{base}/hook/obviously-fake-token", f"{base}{_HEARTBEAT}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield found
        server.shutdown()
        thread.join()
