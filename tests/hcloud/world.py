"""A clone of the project, a project at Hetzner Cloud, and servers that boot there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace

import click
import paramiko
import pytest
from click.testing import CliRunner, Result

from infisical_iac.cli.main import main
from infisical_iac.core.errors import UserError
from infisical_iac.hetzner.remote import generate_host_key
from tests.hcloud.booted import Booted, key_in
from tests.hcloud.cloud import Cloud
from tests.hcloud.server import TOKEN, Api, serving
from tests.hcloud.shapes import Data
from tests.ports import free_port

ZONE = "example.com"
SETTINGS = f"""
admin_email = "admin@example.com"
site_url = "https://secrets.{ZONE}"
server_ssh_keys = ("operator.pub",)
server_ipv6 = False
server_dns_zone = "{ZONE}"
server_placement_group = "apart"
server_backups = True
"""
# A cluster's additional settings.
CLUSTER = 'topology = "swarm"\nedge = "load-balancer"\n'


@dataclass
class World:
    """A clone of the project, its resources at Hetzner Cloud, and its booted servers.

    Attributes:
        booted: the servers that have booted, by address.
        slept: how long the library waited between its tries.
    """

    api: Api
    directory: Path
    port: int
    key: paramiko.PKey
    booted: dict[str, Booted] = field(default_factory=dict)
    slept: list[float] = field(default_factory=list)

    @property
    def cloud(self) -> Cloud:
        """Return the resources at Hetzner Cloud."""
        return self.api.cloud

    @property
    def known_hosts(self) -> list[str]:
        """Return the lines of the project's known_hosts."""
        file = self.directory / ".infisical-iac" / "known_hosts"
        return file.read_text().splitlines() if file.exists() else []

    def set(self, text: str) -> None:
        """Add to the settings."""
        file = self.directory / "group_data" / "hetzner.py"
        file.write_text(file.read_text() + text)

    def run(self, *arguments: str, answer: str = "", **environment: str) -> Result:
        """Run `infisical-iac server …`."""
        return CliRunner(env=environment).invoke(main, ["server", *arguments], input=answer)

    def ok(self, *arguments: str, answer: str = "") -> str:
        """Return the output of a command that must succeed."""
        done = self.run(*arguments, answer=answer)
        assert done.exit_code == 0, (done.output, done.exc_info)
        return done.output

    def expect_refusal(self, *arguments: str, answer: str = "", **environment: str) -> str:
        """Return the sentence of a command that must fail with one."""
        done = self.run(*arguments, answer=answer, **environment)
        assert done.exit_code == 1, done.output
        sentence = done.output.strip().splitlines()[-1]
        assert sentence.startswith("Error: "), done.output
        return sentence.removeprefix("Error: ")

    def error(self, *arguments: str, answer: str = "", **environment: str) -> UserError:
        """Return the error of a command that must fail, with its code."""
        runner = CliRunner(env=environment)
        done = runner.invoke(main, ["server", *arguments], input=answer, standalone_mode=False)
        assert isinstance(done.exception, click.ClickException), done.output
        error = done.exception.__context__
        assert isinstance(error, UserError), done.output
        assert done.exception.message == str(error)
        return error

    def boot(self, server: Data, user_data: str) -> None:
        """Start a fake server, as `Cloud.boot` calls it."""
        net = server["public_net"]
        address = net["ipv4"]["ip"] if net["ipv4"] else str(ip_network(net["ipv6"]["ip"])[1])
        if address in self.booted:
            self.booted.pop(address).off()
        self.booted[address] = Booted(address, self.port, key_in(user_data), self.key)


def parse_plan(output: str) -> dict[tuple[str, str], str]:
    """Return the details of the changes in a plan, by kind and resource; two of one are joined."""
    found: dict[tuple[str, str], str] = {}
    for line in output.splitlines():
        kind, _, rest = line.strip().partition(" ")
        if kind in ("+", "-", "~"):
            what, _, detail = rest.partition(": ")
            key = (kind, what)
            found[key] = f"{found[key]}; {detail}" if key in found else detail
    return found


def notes(output: str) -> list[str]:
    """Return the lines of a plan on differences that are not changed."""
    return [line[2:] for line in output.splitlines() if line.startswith("! ")]


@contextmanager
def make_world(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Return a world in a directory, which becomes the current one."""
    (directory / "group_data").mkdir(parents=True)
    (directory / "group_data" / "hetzner.py").write_text(SETTINGS)
    pair = generate_host_key()
    (directory / "operator").write_text(pair.private)
    (directory / "operator.pub").write_text(f"{pair.public} operator@laptop\n")
    key = paramiko.Ed25519Key.from_private_key_file(str(directory / "operator"))
    monkeypatch.chdir(directory)
    for name in [each for each in os.environ if each.startswith("INFISICAL_")]:
        monkeypatch.delenv(name)
    # All servers of a world have this port, each at an address of its own.
    port = free_port()
    with serving(Api()) as api:
        world = World(api, directory, port, key)
        api.cloud.boot = world.boot
        api.cloud.addresses = [f"127.0.0.{number}" for number in range(2, 200)]
        api.cloud.add("zones", name=ZONE, mode="primary", ttl=3600, status="ok")
        monkeypatch.setenv("HCLOUD_TOKEN", TOKEN)
        monkeypatch.setenv("HCLOUD_ENDPOINT", api.url)
        monkeypatch.setenv("INFISICAL_SSH_PORT", str(port))
        monkeypatch.setenv("INFISICAL_SSH_KEY", str(directory / "operator"))
        monkeypatch.setenv("HOME", str(directory))
        # Tests check that the library waits, not how long.
        clock = SimpleNamespace(sleep=world.slept.append)
        monkeypatch.setattr("hcloud._client.time", clock)
        monkeypatch.setattr("hcloud.actions.client.time", clock)
        try:
            yield world
        finally:
            for each in world.booted.values():
                each.off()
