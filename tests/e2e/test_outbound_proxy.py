"""Test that Infisical reaches others by a proxy, from the first apply to its removal."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.api import contents
from tests.contract.test_webhooks import TARGET, hook
from tests.e2e import backing
from tests.e2e.conftest import assert_converged
from tests.e2e.inspection import PROJECT, administrator
from tests.e2e.running import Done, infisical_iac
from tests.ports import free_port
from tests.proxy import ForwardProxy, serving
from tests.staging.host import StagingHost

pytestmark = pytest.mark.real

_USER, _PASSWORD = "infisical", "not-a-real-password"
_KEY = "/etc/infisical/keys/given_outbound_proxy_password"
_PROBE = "CONNECT infisical-iac.invalid:443"


@dataclass
class _World:
    """A staging host, and a proxy that it reaches, with a login."""

    host: StagingHost
    proxy: ForwardProxy
    directory: Path

    @property
    def address(self) -> str:
        return f"http://{_USER}@{self.proxy.host}:{self.proxy.port}"

    def run(self, *arguments: str, password: str = "", **settings: Any) -> Done:
        given = {"outbound_proxy": self.address, **settings}
        inventory = backing.inventory(self.directory, **given)
        environment = {"OUTBOUND_PROXY_PASSWORD": password} if password else {}
        return infisical_iac(
            self.host.name, *arguments, "--inventory", inventory, environment=environment
        )

    def apply(self, password: str = "", **settings: Any) -> Done:
        return self.run("apply", "--yes", password=password, **settings)

    def containers(self) -> str:
        return self.host.run("docker ps --quiet --no-trunc | sort").stdout

    def variable(self, name: str) -> str:
        command = f"docker exec infisical-infisical-1 printenv {name}"
        return self.host.run(command, check=False).stdout.strip()

    def open_ports(self) -> set[int]:
        """Return the ports of private addresses that the firewall lets containers reach."""
        listed = self.host.run("nft list chain inet infisical containers").stdout
        return {int(each) for each in re.findall(r"tcp dport (\d+) accept", listed)}

    def send_webhook(self) -> str | None:
        """Return the status of a webhook that Infisical sent to TARGET."""
        # No machine may send a test.
        with administrator(self.host) as client:
            project = contents.project(client, PROJECT)
            assert project is not None
            asked = {"projectId": project["id"], "environment": "development", "secretPath": "/"}
            made = client.post(
                "/api/v1/webhooks", json={**asked, "webhookUrl": TARGET, "type": "general"}
            )
            sent = client.post(f"/api/v1/webhooks/{made['webhook']['id']}/test", json={})
            status: str | None = sent["webhook"]["lastStatus"]
            return status


@pytest.fixture
def world(deployed_host: StagingHost, tmp_path: Path) -> Iterator[_World]:
    """The world before a proxy is set; the host converges to its first deploy again at the end."""
    address = backing.gateway(deployed_host)
    with (
        hook() as target,
        serving(
            ForwardProxy(host=address, user=f"{_USER}:{_PASSWORD}", routes={"11.0.0.1:80": target})
        ) as proxy,
    ):
        yield _World(deployed_host, proxy, tmp_path)
    assert infisical_iac(deployed_host.name, "apply", "--yes").returncode == 0
    assert deployed_host.run(f"test ! -e {_KEY}", check=False).returncode == 0
    assert_converged(deployed_host)


def test_infisical_reaches_others_only_through_the_proxy(world: _World) -> None:
    done = world.apply(_PASSWORD)
    assert done.returncode == 0, done.stdout + done.stderr
    assert _PASSWORD not in done.stdout + done.stderr
    # Asked once, before the container was re-created.
    assert world.proxy.requests[0] == f"{_PROBE} failed"
    assert world.host.run(f"stat --format %a {_KEY}").stdout.strip() == "600"
    assert world.send_webhook() == "success"
    assert world.proxy.requests[-1] == f"POST {TARGET} passed"

    plan = world.run("plan")
    assert (plan.returncode, plan.stdout.splitlines()[-1]) == (0, "Nothing to change."), plan.stdout
    rows = json.loads(world.run("status", "--json").stdout)
    assert [row["ok"] for row in rows if row["name"] == "Proxy"] == [True]


@pytest.mark.parametrize(
    ("deny", "change", "password", "fact"),
    [
        (False, {}, "another-fake-password", "OUTBOUND_PROXY_PASSWORD"),
        (
            True,
            {"infisical_environment": {"LICENSE_SERVER_URL": "https://license.example.com"}},
            _PASSWORD,
            "license.example.com:443",
        ),
        (False, {}, "with:a/colon", "OUTBOUND_PROXY_PASSWORD"),
    ],
)
def test_a_proxy_that_refuses_changes_nothing(
    world: _World, deny: bool, change: dict[str, Any], password: str, fact: str
) -> None:
    before = world.containers()
    world.proxy.deny_all = deny
    done = world.apply(password, **change)
    assert done.returncode == 1
    assert fact in done.stderr
    assert world.containers() == before
    assert world.host.run(f"test -e {_KEY}", check=False).returncode == 1


def test_a_proxy_that_is_not_there_changes_nothing(world: _World) -> None:
    before = world.containers()
    done = world.apply(outbound_proxy=f"http://{world.proxy.host}:{free_port()}")
    assert done.returncode == 1
    assert "host and port" in done.stderr
    assert world.containers() == before


def test_the_old_proxy_is_reached_until_another_one_is_proven(world: _World) -> None:
    """Both are at one private address, which the firewall opens port by port."""
    old = world.proxy
    networks: dict[str, Any] = {"internal_networks": ("10.1.0.0/16",)}
    assert world.apply(_PASSWORD, **networks).returncode == 0
    another = f"{_USER}:another-fake-password"
    world.proxy = ForwardProxy(host=old.host, user=another, routes=old.routes)
    with serving(world.proxy):
        refused = world.apply(**networks)
        assert refused.returncode == 1
        assert "OUTBOUND_PROXY_PASSWORD" in refused.stderr
        assert {old.port, world.proxy.port} <= world.open_ports()
        assert world.send_webhook() == "success"
        assert old.requests[-1] == f"POST {TARGET} passed"

        world.proxy.user = old.user
        assert world.apply(**networks).returncode == 0
        assert world.open_ports() & {old.port, world.proxy.port} == {world.proxy.port}
        assert world.send_webhook() == "success"
        assert world.proxy.requests[-1] == f"POST {TARGET} passed"
        plan = world.run("plan", **networks)
        assert plan.stdout.splitlines()[-1] == "Nothing to change.", plan.stdout


def test_a_password_of_the_proxy_is_rotated(world: _World) -> None:
    assert world.apply(_PASSWORD).returncode == 0
    refused = world.run("keys", "rotate", "proxy", password="next-fake-password")
    assert refused.returncode == 1
    assert "OUTBOUND_PROXY_PASSWORD" in refused.stderr
    world.proxy.user = f"{_USER}:next-fake-password"
    rotated = world.run("keys", "rotate", "proxy", password="next-fake-password")
    assert rotated.returncode == 0, rotated.stderr
    assert world.send_webhook() == "success"


def test_lifetimes_of_sessions_and_private_networks_reach_infisical(world: _World) -> None:
    """The firewall's own tests are in tests/network; here its table is loaded on a host."""
    settings = {
        "session_token_lifetime": "30m",
        "session_idle_lifetime": "8h",
        "internal_networks": ("10.1.0.0/16",),
    }
    done = world.apply(_PASSWORD, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    lifetimes = world.variable("JWT_AUTH_LIFETIME"), world.variable("JWT_REFRESH_LIFETIME")
    assert lifetimes == ("30m", "8h")
    assert world.variable("ALLOW_INTERNAL_IP_CONNECTIONS") == "true"
    listed = world.host.run("nft list chain inet infisical containers").stdout
    assert "ip daddr 10.1.0.0/16 accept" in listed
    # The proxy is at a private address, and reached all the same.
    assert world.send_webhook() == "success"
    reached = world.host.run(
        "docker exec infisical-infisical-1 curl --noproxy '*' --silent --max-time 4 "
        "http://169.254.169.254/",
        check=False,
    )
    assert reached.returncode == 7
