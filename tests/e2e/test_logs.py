"""Test that logs reach a server or a file, also after it was away, and that they hold no secret.

The tests of this module follow one another on one host.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.certificates import OwnAuthority
from tests.e2e import backing
from tests.e2e.configured import ConfiguredHost
from tests.e2e.conftest import FirstDeploy, copy_first_host
from tests.e2e.inspection import reset_stack, secrets, write_secrets
from tests.e2e.running import infisical_iac
from tests.e2e.syslog import SyslogServer
from tests.e2e.visiting import read_by_service
from tests.e2e.web import ask
from tests.ports import free_port
from tests.staging import ingress
from tests.staging.host import StagingHost

pytestmark = pytest.mark.long

_NAME, _FILE = "logs.example.internal", "/var/log/shipped.log"
_LEFT = (
    "ls -d /etc/infisical-iac/logs.conf /etc/logrotate.d/infisical-logs /var/lib/infisical-logs "
    "/etc/systemd/system/infisical-logs.service /usr/sbin/rsyslogd 2>/dev/null"
)
_VALUE, _LINK = "obviously-fake-value-of-a-secret", "obviously-fake-link-7c3f"
_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiJmYWtlIn0.b2J2aW91c2x5LWZha2U"
_WRONG = "obviously-fake-client-secret"
# rsyslog has this many lines in its hands, and loses them if it is stopped meanwhile.
_BATCH = 16


@pytest.fixture(scope="module")
def host(first: FirstDeploy) -> Iterator[StagingHost]:
    first.run.ok()
    with copy_first_host("e2e-logs") as one:
        yield one


def test_without_a_proxy_the_request_log_tells_who_wrote_where(host: StagingHost) -> None:
    write_secrets(host, "/python-services", {"WRITTEN_WITHOUT_PROXY": _VALUE})
    asked = ("audit", "access", "--since", "1h", "--environment", "production")
    done = infisical_iac(host.name, *asked, "--json")
    assert done.returncode == 0, done.stderr
    assert "request log" in done.stderr
    found = json.loads(done.stdout)
    [write] = [each for each in found if each["path"].endswith("/WRITTEN_WITHOUT_PROXY")]
    place = [write[each] for each in ("method", "environment", "folder")]
    assert place == ["POST", "production", "/python-services"]
    assert write["who"] == "infisical-iac-deployer"
    counted = re.search(r"(\d+) of (\d+) requests", done.stderr)
    nobodys = [each for each in found if not each["who"]]
    assert (int(counted[1]) if counted else 0) == len(nobodys)
    assert _VALUE not in done.stdout + done.stderr


@dataclass
class _World(ConfiguredHost):
    """A host with Caddy, and a server that it ships its logs to."""

    server: SyslogServer
    authority: OwnAuthority

    def log(self, text: str) -> None:
        self.host.run(f"logger --tag probe -- {text}")

    def has_arrived(self, text: str, seconds: float = 60) -> bool:
        return self.server.wait_for(lambda lines: any(text in each for each in lines), seconds)


@pytest.fixture(scope="module")
def world(host: StagingHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_World]:
    directory = tmp_path_factory.mktemp("logs")
    authority, address = OwnAuthority(directory / "authority"), backing.gateway(host)
    server = SyslogServer(address, free_port())
    host.run(f"echo '{address} {_NAME}' >>/etc/hosts")
    assert host.run(_LEFT, check=False).stdout == ""
    reset_stack(host)
    ingress.choose(host, "caddy")
    settings = {"log_target": f"tls://{_NAME}:{server.port}", "extra_ca": str(authority.ca)}
    made = _World(host, directory, settings, server, authority)
    server.start(authority.issue(_NAME))
    done = made.apply()
    assert done.returncode == 0, done.stdout + done.stderr
    yield made
    server.stop()


def test_the_three_logs_arrive_and_hold_no_secret(world: _World) -> None:
    host, server = world.host, world.server
    world.assert_unchanged()
    write_secrets(host, "/python-services", {"SHIPPED": _VALUE})
    hidden = read_by_service(host, "python-service")
    ask(host, f"/api/v1/secret-sharing/shared/public/{_LINK}")
    ask(host, "/api/v4/secrets", "--header", f"Authorization: Bearer {_TOKEN}")
    login = json.dumps({"clientId": _LINK, "clientSecret": _WRONG})
    kind = ("--header", "Content-Type: application/json", "--data", login)
    ask(host, "/api/v1/auth/universal-auth/login", *kind)
    world.log(f"a command with {_TOKEN}")
    world.log("all was logged")
    assert world.has_arrived("all was logged")
    assert world.has_arrived("/api/v1/auth/universal-auth/login")
    text = "\n".join(server.received)
    for fact in (
        "looks like a token",
        " infisical-access - - - {",
        " infisical-audit - - - {",
        "%2Fpython-services",
        " systemd ",
    ):
        assert fact in text, fact
    hidden |= {*secrets(host).values(), _VALUE, _LINK, _TOKEN, _TOKEN.rpartition(".")[2], _WRONG}
    assert len(hidden) > 20
    assert [each for each in hidden if len(each) > 7 and each in text] == []
    # RFC 5424.
    form = r"<\d{1,3}>1 \d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d \S+ \S+ \S+ - - .*"
    assert [each for each in server.received if not re.fullmatch(form, each, re.DOTALL)] == []


def test_the_host_suite_passes(world: _World) -> None:
    done = world.run("verify")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_server_with_another_name_gets_nothing(world: _World) -> None:
    world.server.stop()
    world.server.received.clear()
    world.server.start(world.authority.issue("other.example.internal"))
    world.log("for nobody else")
    assert not world.has_arrived("for nobody else", 25)
    world.server.stop()
    world.server.start(world.authority.issue(_NAME))
    assert world.has_arrived("for nobody else")


def test_lines_wait_for_a_server_that_is_away_even_over_a_restart(world: _World) -> None:
    world.server.stop()
    world.host.run("for n in $(seq 500); do echo waits-$n; done | logger --tag probe")
    time.sleep(5)
    world.host.run("systemctl restart infisical-logs.service")
    world.server.received.clear()
    world.server.start(world.authority.issue(_NAME))
    assert world.has_arrived("waits-500")

    def count(lines: list[str]) -> int:
        return len({each for each in lines if " probe " in each and "waits-" in each})

    assert world.server.wait_for(lambda lines: count(lines) >= 500 - _BATCH)
    print(f"{count(world.server.received)} of 500 lines arrived")


def test_what_ships_logs_is_repaired(world: _World) -> None:
    world.host.run(
        "systemctl stop infisical-logs.service; "
        "sed -i s/x509.name/anon/ /etc/infisical-iac/logs.conf"
    )
    plan = world.run("plan")
    assert plan.returncode == 2
    for fact in ("logs.conf", "infisical-logs.service"):
        assert fact in plan.stdout
    assert world.apply().returncode == 0
    world.assert_unchanged()


def test_a_file_for_a_collector_is_written_and_rotated(world: _World) -> None:
    world.settings["log_target"] = _FILE
    assert world.apply().returncode == 0
    world.assert_unchanged()
    world.log("to the file")
    backing.until(world.host, f"grep --quiet 'to the file' {_FILE}")
    assert world.host.run(f"stat --format '%a %U:%G' {_FILE}").stdout == "640 root:adm\n"
    world.host.run("logrotate --force /etc/logrotate.d/infisical-logs")
    world.log("to the next file")
    backing.until(world.host, f"grep --quiet 'to the next file' {_FILE}")
    assert "to the file" in world.host.run(f"zcat {_FILE}.1.gz").stdout
    done = world.run("verify")
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_left_without_the_setting(world: _World) -> None:
    world.settings["log_target"] = ""
    done = world.apply()
    assert done.returncode == 0, done.stdout + done.stderr
    world.assert_unchanged()
    assert world.host.run(_LEFT, check=False).stdout == ""
    assert world.host.run(f"test -e {_FILE} && echo kept").stdout == "kept\n"
