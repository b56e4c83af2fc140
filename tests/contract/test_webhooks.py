"""Test that webhooks go through the proxy of the environment, and to no private address."""

from __future__ import annotations

from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from tests.proxy import ForwardProxy
from tests.serving import serving

from .world import EMAIL, Document, ok, set_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from .conftest import StartStandin
    from .world import World

# A public address that nobody on the Internet announces.
TARGET = "http://11.0.0.1/hook"


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def hook() -> Iterator[tuple[str, int]]:
    """Run a server that takes webhooks; yield its address and port."""
    with HTTPServer(("127.0.0.1", 0), _Hook) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield "127.0.0.1", server.server_port
        finally:
            server.shutdown()
            thread.join()


def create(world: World, url: str) -> httpx.Response:
    asked = {"webhookUrl": url, "type": "general"}
    return world.deployer.post("/api/v1/webhooks", json={**world.place("development"), **asked})


def send(world: World, url: str) -> Document:
    webhook = ok(create(world, url))["webhook"]
    person = {"usernames": [EMAIL], "emails": [], "roleSlugs": ["admin"]}
    ok(world.deployer.post(f"/api/v1/projects/{world.project_id}/memberships", json=person))
    sent = ok(world.admin.post(f"/api/v1/webhooks/{webhook['id']}/test", json={}))
    tested: Document = sent["webhook"]
    return tested


def test_a_webhook_goes_through_the_proxy(start: StartStandin, database: str) -> None:
    with hook() as address, serving(ForwardProxy(routes={"11.0.0.1:80": address})) as proxy:
        variables = {"HTTP_PROXY": proxy.url, "NO_PROXY": "localhost,127.0.0.1"}
        world = set_up(start(database, **variables).wait())
        assert send(world, TARGET)["lastStatus"] == "success"
        proxy.deny_all = True
        assert send(world, TARGET)["lastStatus"] == "failed"
    assert proxy.requests == [f"POST {TARGET} passed", f"POST {TARGET} denied"]


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/x", "http://169.254.169.254/latest", "http://127.0.0.1/x"]
)
def test_private_addresses_are_refused_until_they_are_allowed(
    start: StartStandin, database: str, url: str
) -> None:
    answer = create(set_up(start(database).wait()), url)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("Local IPs not")


def test_allowed_private_addresses_are_called(start: StartStandin, database: str) -> None:
    world = set_up(start(database, ALLOW_INTERNAL_IP_CONNECTIONS="true").wait())
    with hook() as (address, port):
        assert send(world, f"http://{address}:{port}/hook")["lastStatus"] == "success"


def test_an_unknown_webhook_is_not_found(world: World) -> None:
    unknown = "00000000-0000-0000-0000-000000000000"
    answer = world.admin.post(f"/api/v1/webhooks/{unknown}/test", json={})
    assert answer.json()["message"] == f"Webhook with ID '{unknown}' not found"
