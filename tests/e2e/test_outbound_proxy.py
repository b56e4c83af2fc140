"""Test that Infisical reaches others by a proxy, and private addresses only where it may.

The tests of this module follow one another on one host.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from infisical_iac.agent import contents
from infisical_iac.core.errors import UserError
from tests.contract.test_webhooks import TARGET, hook
from tests.e2e import backing
from tests.e2e.configured import ConfiguredHost, take_back
from tests.e2e.inspection import PROJECT, administrator
from tests.proxy import ForwardProxy
from tests.serving import serving
from tests.staging.host import StagingHost

pytestmark = [pytest.mark.long, pytest.mark.real]

_USER, _PASSWORD, _NEXT = "infisical", "not-a-real-password", "next-fake-password"
_VARIABLE = "OUTBOUND_PROXY_PASSWORD"
_PROBE = "CONNECT infisical-iac.invalid:443"
_FIREWALL = ("firewall, table inet infisical", "/etc/infisical-iac/firewall.nft")
# A machine with two private addresses that takes webhooks; the settings list one of them.
_LISTED, _OTHER = "10.1.0.7", "10.9.0.7"
_HOOK = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
HTTPServer(("", 80), Hook).serve_forever()
"""
_BEHIND = "ip -n private"
_MACHINE = f"""
ip netns add private
ip link add private type veth peer name eth0 netns private
ip address add 10.8.0.1/32 dev private
ip link set private up
{_BEHIND} link set eth0 up
{_BEHIND} address add {_LISTED}/32 dev eth0
{_BEHIND} address add {_OTHER}/32 dev eth0
ip route add {_LISTED} dev private
ip route add {_OTHER} dev private
{_BEHIND} route add 10.8.0.1 dev eth0
{_BEHIND} route add default via 10.8.0.1
systemd-run --quiet --collect --unit test-private-hook \
    --property NetworkNamespacePath=/run/netns/private python3 -c '{_HOOK}'
curl --silent --retry 40 --retry-delay 1 --retry-connrefused --data x http://{_OTHER}/
"""


@dataclass
class _World(ConfiguredHost):
    """A host, and a proxy that it reaches, with a login."""

    proxy: ForwardProxy

    def open_ports(self) -> set[int]:
        """Return the ports of private addresses that the firewall lets containers reach."""
        listed = self.host.run("nft list chain inet infisical containers").stdout
        return {int(each) for each in re.findall(r"tcp dport (\d+) accept", listed)}

    def send_webhook(self, url: str = TARGET) -> str | None:
        """Return the status of a webhook that Infisical sent; raise UserError if it refuses to."""
        # No machine may send a test.
        with administrator(self.host) as client:
            project = contents.project(client, PROJECT)
            assert project is not None
            asked = {"projectId": project["id"], "environment": "development", "secretPath": "/"}
            made = client.post(
                "/api/v1/webhooks", json={**asked, "webhookUrl": url, "type": "general"}
            )
            sent = client.post(f"/api/v1/webhooks/{made['webhook']['id']}/test", json={})
            status: str | None = sent["webhook"]["lastStatus"]
            return status

    def ask(self, address: str) -> int:
        """Return curl's exit status for a request from Infisical's container."""
        command = "docker exec infisical-infisical-1 curl --noproxy '*' --silent --max-time 4"
        return self.host.run(f"{command} --data x http://{address}/", check=False).returncode


@pytest.fixture(scope="module")
def world(deployed_host: StagingHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_World]:
    """The world before a proxy and networks are set."""
    address, directory = backing.gateway(deployed_host), tmp_path_factory.mktemp("proxy")
    proxy = ForwardProxy(host=address, user=f"{_USER}:{_PASSWORD}")
    with hook() as target, serving(proxy), _private_machine(deployed_host):
        proxy.routes = {"11.0.0.1:80": target}
        settings = {
            "outbound_proxy": f"http://{_USER}@{address}:{proxy.port}",
            "no_proxy": (_LISTED, _OTHER),
        }
        made = _World(deployed_host, directory, settings, proxy)
        with take_back(made):
            yield made


@contextmanager
def _private_machine(host: StagingHost) -> Iterator[None]:
    """Have a machine behind the host, in a network namespace."""
    host.run(f"set -e\n{_MACHINE}")
    yield
    host.run("systemctl stop test-private-hook; ip netns delete private")


def test_a_proxy_that_refuses_changes_nothing(world: _World) -> None:
    """The other refusals are in tests/unit/instance/test_proxy.py."""
    world.assert_refused(_VARIABLE, {_VARIABLE: "another-fake-password"})


@pytest.fixture(scope="module")
def proxied(world: _World) -> _World:
    """The world after an apply with the proxy, a private network, and lifetimes of sessions."""
    # Until a setting lists networks, only Infisical itself refuses private addresses.
    assert (world.ask(_LISTED), world.ask(_OTHER)) == (0, 0)
    world.proxy.requests.clear()
    world.settings |= {
        "internal_networks": ("10.1.0.0/16",),
        "session_token_lifetime": "30m",
        "session_idle_lifetime": "8h",
    }
    done = world.apply({_VARIABLE: _PASSWORD})
    assert done.returncode == 0, done.stdout + done.stderr
    assert _PASSWORD not in done.stdout + done.stderr
    # Asked before the container was re-created.
    assert world.proxy.requests[0] == f"{_PROBE} failed"
    return world


def test_infisical_reaches_others_only_through_the_proxy(proxied: _World) -> None:
    assert proxied.has_secret(_VARIABLE)
    assert proxied.send_webhook() == "success"
    assert proxied.proxy.requests[-1] == f"POST {TARGET} passed"
    assert proxied.row("Proxy")["ok"]


def test_the_lifetimes_of_sessions_reach_infisical(proxied: _World) -> None:
    assert proxied.variable("JWT_AUTH_LIFETIME") == "30m"
    assert proxied.variable("JWT_REFRESH_LIFETIME") == "8h"


def test_infisical_reaches_the_listed_private_network_and_no_other(proxied: _World) -> None:
    """Infisical still reaches the proxy, which has a private address. tests/network tests other
    rules.
    """
    assert proxied.send_webhook(f"http://{_LISTED}/") == "success"
    assert proxied.send_webhook(f"http://{_OTHER}/") == "failed"
    refused = (proxied.ask(_OTHER), proxied.ask("169.254.169.254"))
    assert (proxied.ask(_LISTED), *refused) == (0, 7, 7)


def test_a_password_of_the_proxy_is_rotated(proxied: _World) -> None:
    refused = proxied.run("keys", "rotate", "proxy", given={_VARIABLE: _NEXT})
    assert (refused.returncode, _VARIABLE in refused.stderr) == (1, True)
    proxied.proxy.user = f"{_USER}:{_NEXT}"
    rotated = proxied.run("keys", "rotate", "proxy", given={_VARIABLE: _NEXT})
    assert rotated.returncode == 0, rotated.stderr
    assert proxied.send_webhook() == "success"


def test_the_old_proxy_is_reached_until_another_one_is_proven(proxied: _World) -> None:
    """Both are at one private address, which the firewall opens port by port."""
    old, address = proxied.proxy, proxied.settings["outbound_proxy"]
    another = ForwardProxy(host=old.host, user=f"{_USER}:another", routes=old.routes)
    with serving(another):
        proxied.settings["outbound_proxy"] = f"http://{_USER}@{old.host}:{another.port}"
        refused = proxied.apply()
        assert (refused.returncode, _VARIABLE in refused.stderr) == (1, True)
        assert {old.port, another.port} <= proxied.open_ports()
        assert proxied.send_webhook() == "success"
        assert old.requests[-1] == f"POST {TARGET} passed"
        another.user = old.user
        done = proxied.apply()
        assert done.returncode == 0, done.stdout + done.stderr
        assert proxied.open_ports() & {old.port, another.port} == {another.port}
        assert proxied.send_webhook() == "success"
        assert another.requests[-1] == f"POST {TARGET} passed"
        proxied.assert_unchanged()
    proxied.settings["outbound_proxy"] = address


def test_an_emptied_list_closes_the_private_network(proxied: _World) -> None:
    proxied.settings["internal_networks"] = ()
    plan = proxied.run("plan", "--json")
    done = proxied.run("apply", "--yes", "--json")
    assert (plan.returncode, done.returncode) == (2, 0), plan.stderr + done.stderr
    planned = [each["what"] for each in json.loads(plan.stdout)["changes"]]
    # Private addresses stay closed until Infisical refuses them itself.
    assert planned == [*_FIREWALL, "/etc/infisical/compose.yaml", "container infisical", *_FIREWALL]
    assert [each["what"] for each in json.loads(done.stdout)["changes"]] == planned
    with pytest.raises(UserError, match="Local IPs"):
        proxied.send_webhook(f"http://{_LISTED}/")
    assert proxied.send_webhook() == "success"
    proxied.assert_unchanged()
