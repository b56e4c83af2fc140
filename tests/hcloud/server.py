"""A fake of Hetzner Cloud's API over HTTP on loopback, with faults of API and network."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.hcloud.acting import ACTIONS, delete
from tests.hcloud.cloud import Cloud
from tests.hcloud.shapes import LOCATIONS, Data, Refused

TOKEN = "obviously-fake-token"


@dataclass
class Api:
    """The API of a project.

    Attributes:
        requests: method and path of each request, in order.
        troubles: statuses and bodies of the next answers, in turn.
        dies_after: the number of changes after which the connection breaks for good; None for
            never.
        per_page: the largest number of entries on a page.
    """

    cloud: Cloud = field(default_factory=Cloud)
    requests: list[tuple[str, str]] = field(default_factory=list)
    troubles: list[Refused] = field(default_factory=list)
    dies_after: int | None = None
    per_page: int = 50
    url: str = ""

    @property
    def changes(self) -> list[tuple[str, str]]:
        """Return the requests for changes."""
        return [each for each in self.requests if each[0] != "GET"]

    @property
    def dead(self) -> bool:
        """Return whether the API is dead; the last request was executed without an answer."""
        return self.dies_after is not None and len(self.changes) >= self.dies_after

    def answer(self, method: str, path: str, token: str | None, given: Data) -> tuple[int, Data]:
        """Return the status and body of an answer."""
        self.requests.append((method, path))
        try:
            if token != f"Bearer {TOKEN}":
                raise Refused(401, "unauthorized", "unable to authenticate")
            if self.troubles:
                raise self.troubles.pop(0)
            return self._route(method, path, given)
        except Refused as error:
            return error.status, error.body

    def _route(self, method: str, path: str, given: Data) -> tuple[int, Data]:
        if path == "/pricing":
            return 200, {"pricing": self.cloud.pricing()}
        if match := re.fullmatch(r"/actions/(\d+)", path):
            return 200, {"action": self.cloud.poll(int(match[1]))}
        if match := re.fullmatch(r"/zones/([^/]+)(?:/rrsets(?:/([^/]+)/([^/]+))?(.*))?", path):
            return self._zone(method, match, given)
        if method == "GET" and path == "/locations":
            places = [each for name, each in LOCATIONS.items() if name == given.get("name", name)]
            return 200, {"locations": places, "meta": {"pagination": _ONE_PAGE}}
        if method == "GET" and (match := re.fullmatch(r"/certificates/(\d+)/actions", path)):
            ids = self.cloud.kinds["certificates"][int(match[1])]["actions"]
            shown = [self.cloud.poll(id) for id in ids]
            running = [each for each in shown if each["status"] == given.get("status")]
            return 200, {"actions": running, "meta": {"pagination": _ONE_PAGE}}
        match = re.fullmatch(r"/([a-z_]+)(?:/(\d+)(?:/actions/([a-z_]+))?)?", path)
        if not match or match[1] not in self.cloud.kinds:
            raise Refused(404, "not_found")
        kind, id, action = match[1], match[2], match[3]
        if id is None:
            return self._list(kind, given) if method == "GET" else self.cloud.create(kind, given)
        if int(id) not in self.cloud.kinds[kind]:
            raise Refused(404, "not_found", f"{kind} with ID '{id}' not found")
        found = self.cloud.kinds[kind][int(id)]
        if action:
            ACTIONS[kind, action](self.cloud, found, given)
            made = self.cloud.action(action, found)
            return 201, {"actions": [made]} if kind == "firewalls" else {"action": made}
        if method == "DELETE":
            return delete(self.cloud, kind, int(id))
        if method == "PUT":
            found |= given
        return 200, {kind.removesuffix("s"): self.cloud.show(kind, found)}

    def _list(self, kind: str, given: Data) -> tuple[int, Data]:
        found = [self.cloud.show(kind, each) for each in self.cloud.kinds[kind].values()]
        if "name" in given:
            found = [each for each in found if each["name"] == given["name"]]
        if "label_selector" in given:
            found = _select(found, given["label_selector"])
        page, size = int(given.get("page", 1)), min(int(given.get("per_page", 25)), self.per_page)
        last = max(1, -(-len(found) // size))
        pagination = {
            "page": page,
            "per_page": size,
            "previous_page": page - 1 or None,
            "next_page": page + 1 if page < last else None,
            "last_page": last,
            "total_entries": len(found),
        }
        shown = found[(page - 1) * size : page * size]
        return 200, {kind: shown, "meta": {"pagination": pagination}}

    def _zone(self, method: str, match: re.Match[str], given: Data) -> tuple[int, Data]:
        zones = {each["name"]: each for each in self.cloud.kinds["zones"].values()}
        zones |= {str(id): each for id, each in self.cloud.kinds["zones"].items()}
        if match[1] not in zones:
            raise Refused(404, "not_found", "zone not found")
        rrsets, name, kind = self.cloud.rrsets, match[2], match[3]
        if "/rrsets" not in match[0]:
            return 200, {"zone": zones[match[1]]}
        if name is not None and (name, kind) not in rrsets:
            raise Refused(404, "not_found", "rrset not found")
        if name is not None and method == "GET":
            return 200, {"rrset": rrsets[name, kind]}
        if name is not None and method == "PUT":
            rrsets[name, kind] |= given
            return 200, {"rrset": rrsets[name, kind]}
        if name is None and method == "GET":
            found = [*rrsets.values()]
            if "name" in given:
                found = [each for each in found if each["name"] == given["name"]]
            if "label_selector" in given:
                found = _select(found, given["label_selector"])
            return 200, {"rrsets": found, "meta": {"pagination": _ONE_PAGE}}
        if name is None:
            key = (given["name"], given["type"])
            if key in rrsets:
                raise Refused(409, "uniqueness_error")
            id = zones[match[1]]["id"]
            rrsets[key] = {
                "id": "/".join(key),
                "zone": id,
                "protection": {"change": False},
                **given,
            }
            return 201, {"rrset": rrsets[key], "action": self.cloud.action("create_rrset")}
        if method == "DELETE":
            del rrsets[name, kind]
            return 201, {"action": self.cloud.action("delete_rrset")}
        rrsets[name, kind]["records"] = given["records"]
        return 201, {"action": self.cloud.action("set_rrset_records")}


def _select(found: list[Data], selector: str) -> list[Data]:
    for label in selector.split(","):
        key, _, value = label.partition("=")
        found = [each for each in found if each["labels"].get(key) == value]
    return found


_ONE_PAGE = {"page": 1, "per_page": 50, "previous_page": None, "next_page": None}
_ONE_PAGE |= {"last_page": 1, "total_entries": 2}
_RATE = {"RateLimit-Limit": "3600", "RateLimit-Remaining": "0", "RateLimit-Reset": "1764140400"}


@contextmanager
def serving(api: Api) -> Iterator[Api]:
    """Serve the API on a loopback port, at its `url`."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            sent = self.rfile.read(length)
            url = urlsplit(self.path)
            given: Any = json.loads(sent) if sent else dict(parse_qsl(url.query))
            if api.dead:
                self.close_connection = True
                return
            token = self.headers.get("Authorization")
            status, body = api.answer(self.command, url.path, token, given)
            if api.dead:
                self.close_connection = True
                return
            content = json.dumps(body).encode() if status != 204 else b""
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Correlation-Id", "fake-correlation")
            for name, value in _RATE.items() if status == 429 else ():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_PUT(self) -> None:
            self._answer()

        def do_DELETE(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join(timeout=10)
