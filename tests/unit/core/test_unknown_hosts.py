"""Test connections to a host whose key is unknown, or differs from the known key."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infisical_iac.cli.main import main
from infisical_iac.core import host_keys
from infisical_iac.core.host_keys import ServerKey
from tests.on_terminal import run_on_terminal
from tests.unit import forked
from tests.unit.core.test_host_keys import _BASE64
from tests.unit.ssh_server import ssh_server

_PROJECT = Path(__file__).resolve().parents[3]
_PROGRAM = Path(sys.executable)
_SECONDS = 120


class _Servers:
    """Servers on loopback with an inventory, and with an empty file of known hosts."""

    def __init__(self, directory: Path, ports: dict[str, int], keys: dict[str, str]) -> None:
        self.known_hosts = directory / "known_hosts"
        self.known_hosts.touch()
        self.ports = ports
        self.keys = [host_keys.read_key("127.0.0.1", port) for port in ports.values()]
        data = {
            name: {
                "ssh_hostname": "127.0.0.1",
                "ssh_port": port,
                "ssh_user": "root",
                "ssh_key": keys[name],
                "ssh_known_hosts_file": str(self.known_hosts),
                **({"topology": "swarm"} if len(ports) > 1 else {}),
            }
            for name, port in ports.items()
        }
        self.inventory = directory / "inventory.py"
        self.inventory.write_text(f"hosts = {[*data.items()]!r}\n")
        # Settings of the machine that runs the tests are not used.
        self.environment = {"HOME": str(directory), host_keys.VARIABLE: ""}

    @property
    def key(self) -> ServerKey:
        """The key of the first server."""
        return self.keys[0]

    def connect(self, *, accepted: str = "", typed: str | None = None) -> dict[str, Any]:
        """Connect as all commands of `infisical-iac` do."""
        environment = {**self.environment, host_keys.VARIABLE: accepted}
        found: dict[str, Any] = forked.run(
            "tests.unit.core.host_key_run",
            str(self.inventory),
            next(iter(self.ports)),
            environment,
            typed,
        )
        return found

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program of this environment in the project's directory."""
        environment = {**os.environ, **self.environment, **options.pop("environment", {})}
        return subprocess.run(
            [_PROGRAM.with_name(arguments[0]), *arguments[1:]],
            **{"stdin": subprocess.DEVNULL, "capture_output": True, "text": True} | options,
            cwd=_PROJECT,
            env=environment,
            timeout=_SECONDS,
        )


def _serve(directory: Path, names: list[str]) -> Iterator[_Servers]:
    with ExitStack() as stack:
        ports, keys = {}, {}
        for name in names:
            own = directory / name
            own.mkdir()
            ports[name] = stack.enter_context(ssh_server(own))
            keys[name] = str(own / "key")
        yield _Servers(directory, ports, keys)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[_Servers]:
    yield from _serve(tmp_path, ["secrets"])


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[_Servers]:
    yield from _serve(tmp_path, ["one", "two"])


def test_an_unknown_key_is_refused_without_a_terminal(server: _Servers) -> None:
    found = server.connect()
    assert (found["connected"], found["code"]) == ([], "refused.unknown_host_key")
    assert server.key.fingerprint in found["error"]
    assert server.known_hosts.read_text() == ""


def test_an_accepted_fingerprint_adds_the_key_for_later_connections(server: _Servers) -> None:
    found = server.connect(accepted=server.key.fingerprint)
    assert (found["connected"], found["error"], found["output"]) == (["secrets"], "", "")
    assert server.known_hosts.read_text().splitlines() == [
        f"[127.0.0.1]:{server.ports['secrets']} {server.key.type} {server.key.base64}"
    ]
    assert server.connect()["connected"] == ["secrets"]


@pytest.mark.parametrize("typed", [None, "y\n"])
def test_a_key_with_another_fingerprint_than_the_accepted_one_is_refused(
    server: _Servers, typed: str | None
) -> None:
    """The command asks nobody, because the accepted fingerprint is the answer."""
    found = server.connect(accepted=host_keys.compute_fingerprint(_BASE64), typed=typed)
    assert (found["connected"], found["code"]) == ([], "refused.unknown_host_key")
    assert server.known_hosts.read_text() == ""


def test_a_person_sees_the_fingerprint_and_accepts_it(server: _Servers) -> None:
    found = server.connect(typed="y\n")
    assert found["connected"] == ["secrets"], found["error"]
    assert {str(server.key), server.key.command} <= set(
        map(str.strip, found["output"].splitlines())
    )
    assert str(server.known_hosts) in found["output"]
    assert server.known_hosts.read_text().count("\n") == 1


@pytest.mark.parametrize("typed", ["n\n", "\n"])
def test_a_person_refuses_a_key(server: _Servers, typed: str) -> None:
    found = server.connect(typed=typed)
    assert (found["connected"], found["code"]) == ([], "refused.unknown_host_key")
    assert server.known_hosts.read_text() == ""


@pytest.mark.parametrize("typed", [None, "y\n"])
def test_a_changed_key_is_refused_although_its_fingerprint_is_accepted(
    server: _Servers, typed: str | None
) -> None:
    name = f"[127.0.0.1]:{server.ports['secrets']}"
    known = f"# first\n{name} ssh-ed25519 {_BASE64}\n"
    server.known_hosts.write_text(known)
    found = server.connect(accepted=server.key.fingerprint, typed=typed)
    assert (found["connected"], found["code"], found["output"]) == ([], "refused.host_key", "")
    assert f"{server.known_hosts}, line 2" in found["error"]
    assert f"ssh-keygen -f {server.known_hosts} -R '{name}'" in found["error"]
    assert server.known_hosts.read_text() == known


@pytest.mark.parametrize("by", ["the same file", "the user's own file"])
@pytest.mark.parametrize("accepts", [False, True])
def test_a_revoked_key_is_refused_although_it_is_known(
    server: _Servers, by: str, accepts: bool
) -> None:
    own = server.known_hosts.parent / ".ssh" / "known_hosts"
    own.parent.mkdir()
    revoked = f"@revoked * {server.key.type} {server.key.base64}\n"
    known = host_keys.write_line(server.key, hashed=False)
    server.known_hosts.write_text(known + (revoked if by == "the same file" else ""))
    own.write_text(revoked if by == "the user's own file" else "")
    found = server.connect(accepted=server.key.fingerprint if accepts else "")
    assert (found["connected"], found["code"]) == ([], "refused.host_key")
    assert "revokes" in found["error"]


def test_a_key_that_is_revoked_for_another_host_stays_known(server: _Servers) -> None:
    revoked = f"@revoked other.example.com {server.key.type} {server.key.base64}\n"
    server.known_hosts.write_text(host_keys.write_line(server.key, hashed=False) + revoked)
    assert server.connect()["connected"] == ["secrets"]


def test_keys_of_a_cluster_are_confirmed_one_by_one(cluster: _Servers) -> None:
    found = cluster.connect(typed="y\ny\n")
    assert found["connected"] == ["one", "two"], found["error"]
    assert all(str(each) in found["output"] for each in cluster.keys)


def test_an_unknown_key_of_one_host_refuses_the_whole_cluster(cluster: _Servers) -> None:
    found = cluster.connect(accepted=cluster.key.fingerprint)
    assert (found["connected"], found["code"]) == ([], "refused.unknown_host_key")
    assert cluster.keys[1].fingerprint in found["error"]
    assert cluster.key.fingerprint not in found["error"]


def test_all_fingerprints_of_a_cluster_are_accepted_at_once(cluster: _Servers) -> None:
    found = cluster.connect(accepted=" ".join(each.fingerprint for each in cluster.keys))
    assert found["connected"] == ["one", "two"], found["error"]


def test_strict_checking_refuses_an_unknown_key_and_no_checking_accepts_it(
    server: _Servers,
) -> None:
    text = server.inventory.read_text()
    for mode, code in (("yes", "refused.unknown_host_key"), ("no", "")):
        changed = text.replace(
            "'ssh_user'", f"'ssh_strict_host_key_checking': '{mode}', 'ssh_user'"
        )
        server.inventory.write_text(changed)
        assert server.connect()["code"] == code
    assert server.known_hosts.read_text() == ""


def test_option_of_a_command_accepts_the_key(server: _Servers) -> None:
    text = server.inventory.read_text()
    required = "'admin_email': 'ops@example.com', 'site_url': 'https://secrets.example.com', "
    server.inventory.write_text(text.replace("'ssh_user'", f"{required}'ssh_user'"))
    status = ("infisical-iac", "status", "--json", "-i", str(server.inventory))
    done = server.run(*status, "--accept-host-key", server.key.fingerprint)
    assert server.key.base64 in server.known_hosts.read_text(), done.stderr


def test_option_of_a_command_is_refused_if_it_is_not_a_fingerprint() -> None:
    refused = CliRunner().invoke(main, ["plan", "--json", "--accept-host-key", "SHA256:abc"])
    assert (refused.exit_code, json.loads(refused.stdout)["code"]) == (1, "settings.fingerprint")


def test_pyinfra_itself_refuses_an_unknown_key_with_both_ways_to_accept_it(
    server: _Servers,
) -> None:
    home = server.known_hosts.parent
    deploy = home / "deploy.py"
    deploy.write_text("")
    inventory = home / "hetzner.py"
    inventory.write_text(
        "from pathlib import Path\n"
        "from infisical_iac.hetzner.production import production_hosts\n"
        "hosts = production_hosts(Path('none.py'))\n"
    )
    environment = {
        "INFISICAL_HOST": "127.0.0.1",
        "INFISICAL_SSH_PORT": str(server.ports["secrets"]),
        "INFISICAL_SSH_KEY": str(home / "secrets" / "key"),
    }
    pyinfra = ("pyinfra", "-y", str(inventory), str(deploy))
    refused = server.run(*pyinfra, environment=environment)
    (error,) = (line for line in refused.stderr.splitlines() if server.key.fingerprint in line)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert host_keys.VARIABLE in error
    assert "`infisical-iac plan`" in error
    environment[host_keys.VARIABLE] = server.key.fingerprint
    accepted = server.run(*pyinfra, environment=environment)
    assert accepted.returncode == 0, accepted.stderr
    assert server.key.base64 in (home / ".ssh" / "known_hosts").read_text()


@pytest.mark.parametrize(("typed", "status"), [("y\n", (0,)), ("\x03", (1, 130, -signal.SIGINT))])
def test_question_is_answered_on_a_real_terminal(
    server: _Servers, typed: str, status: tuple[int, ...]
) -> None:
    """Ctrl-C interrupts the question too, although gevent handles the signal."""
    inventory = str(server.inventory)
    code = (
        "from infisical_iac.core.inventory import connect\n"
        f"with connect({inventory!r}): print('connected')"
    )
    command, environment = (sys.executable, "-c", code), {**os.environ, **server.environment}
    with run_on_terminal(command, environment=environment) as program:
        program.read_until("[y/N]")
        program.press(typed)
        ended = program.wait()
    assert server.key.fingerprint in program.shown
    assert ended in status
    assert bool(server.known_hosts.read_text()) == (typed == "y\n")
