"""Test the rendered Caddyfile in a real Caddy: changed, broken, and with Infisical unreachable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from infisical_iac.stack import paths

from .caddies import MACHINE, NAME, Caddy, StartCaddy, ask
from .upstream import SIZE, STATUS, Upstream

if TYPE_CHECKING:
    from pathlib import Path

# A directive that Debian's Caddy does not know.
_WITHOUT_PROXY_PROTOCOL = (
    """
		listener_wrappers {
			proxy_protocol {
				timeout 5s
				allow 10.42.0.254/32
			}
			tls
		}""",
    "",
)


def test_a_reload_drops_no_open_connection(start_caddy: StartCaddy, upstream: Upstream) -> None:
    caddy = start_caddy()
    before = caddy.revision()
    kept, slow = caddy.connection(), caddy.connection()
    assert ask(kept, STATUS).status == 200
    slow.putrequest("GET", "/slow", skip_host=True)
    slow.putheader("Host", NAME)
    slow.endheaders()
    response = slow.getresponse()
    first = response.read(500)
    rendered = caddy.write(ui_networks=("127.0.0.1/32",))
    caddy.reload()
    assert caddy.revision() == rendered.revision != before
    upstream.release.set()
    assert len(first + response.read()) > SIZE
    assert caddy.ask(STATUS, source="127.0.0.4").status == 200
    assert caddy.ask("/login", source="127.0.0.4").status == 403


@pytest.mark.parametrize("target", [STATUS, "/", "/api/v4/secrets", "/api/v1/admin/bootstrap"])
def test_a_closed_ingress_refuses_all_and_opens_without_a_reload(
    start_caddy: StartCaddy, upstream: Upstream, target: str
) -> None:
    caddy = start_caddy()
    kept = caddy.connection()
    before = ask(kept, target).status
    (caddy.home / paths.MARKER).touch()
    arrived = len(upstream.asked)
    for answer in (ask(kept, target), caddy.ask(target, "POST", body=b"{}", headers=MACHINE)):
        assert (answer.status, answer.body.decode()) == (503, paths.TEXT)
        assert answer.headers["retry-after"] == "30"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["strict-transport-security"]
    assert caddy.plain("/login") == 503
    assert len(upstream.asked) == arrived
    (caddy.home / paths.MARKER).unlink()
    assert ask(kept, target).status == before != 503
    assert caddy.plain("/login") == 308


def test_people_get_a_page_that_tries_again_while_the_ingress_is_closed(
    start_caddy: StartCaddy, upstream: Upstream
) -> None:
    caddy = start_caddy()
    (caddy.home / paths.MARKER).touch()
    arrived = len(upstream.asked)
    accepts = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    answer = caddy.ask("/login", headers={"Accept": accepts})
    assert answer.status == 503
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["retry-after"] == "30"
    assert answer.headers["cache-control"] == "no-store"
    page = answer.body.decode()
    assert page.startswith("<!doctype html>")
    assert '<meta http-equiv="refresh" content="10">' in page
    assert paths.TEXT in page
    assert len(upstream.asked) == arrived


def test_a_load_balancer_keeps_a_node_with_a_closed_ingress(
    start_caddy: StartCaddy, upstream: Upstream
) -> None:
    """Otherwise the load balancer would drop all nodes, and clients would get no `Retry-After`."""
    caddy = start_caddy("", _WITHOUT_PROXY_PROTOCOL, topology="swarm", edge="load-balancer")
    (caddy.home / paths.MARKER).touch()
    arrived = len(upstream.asked)
    assert caddy.plain(STATUS) == 200
    assert (caddy.plain("/login"), caddy.ask(STATUS).status) == (503, 503)
    assert [target for target, _ in upstream.asked[arrived:]] == [STATUS]


def test_a_broken_file_is_refused_before_it_takes_effect(start_caddy: StartCaddy) -> None:
    caddy = start_caddy()
    assert caddy.validate().returncode == 0
    before = caddy.revision()
    caddy.write("", ("reverse_proxy", "reverse_prosy"))
    done = caddy.validate()
    assert done.returncode != 0
    assert "unrecognized directive: reverse_prosy" in done.stderr
    assert caddy.revision() == before
    assert caddy.ask(STATUS).status == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"acme_ca": "letsencrypt", "acme_email": "a@example.com"},
        {"acme_ca": "letsencrypt-staging"},
        {"acme_ca": "https://ca.example.com/directory"},
        {"site_url": "https://Secrets.example.com"},
        {"site_url": "https://192.0.2.1"},
        {"ui_networks": ("10.0.0.0/8", "fd00::/8"), "machine_networks": ("192.0.2.7/32",)},
    ],
)
def test_caddy_accepts_the_file_of_any_settings(
    tmp_path: Path, upstream: Upstream, changes: dict[str, Any]
) -> None:
    caddy = Caddy(tmp_path, upstream.port)
    caddy.write(**changes)
    done = caddy.validate()
    assert done.returncode == 0, done.stderr


def test_a_failed_request_is_logged_without_the_token(
    start_caddy: StartCaddy, upstream: Upstream
) -> None:
    nobody = Upstream()
    nobody.close()
    caddy = start_caddy(http_port=nobody.port)
    # Under another name, the request is logged in Caddy's own log.
    headers = {**MACHINE, "Host": NAME}
    answer = caddy.ask("/api/v4/secrets?token=obviously-fake-query", headers=headers)
    assert answer.status == 502
    assert "server" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert '"status": 502' in caddy.log()
    assert "obviously-fake" not in caddy.log()
