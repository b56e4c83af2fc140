"""Test connections to an SSH server that hangs up at first, or to which no key is offered."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.unit.ssh_server import ssh_server

# pyinfra must be loaded before anything else, so each connection needs its own process.
_CONNECT = """
import sys
from infisical_iac.core.inventory import connect

with connect(sys.argv[1]) as host:
    print("connected to", host.name)
"""
_INVENTORY = """
from infisical_iac.core.connection import prepare_connections

prepare_connections()
hosts = [("secrets", {data})]
"""


def _connect(
    home: Path, *, hangs_up: int = 0, has_key: bool = True
) -> subprocess.CompletedProcess[str]:
    with ssh_server(home, hangs_up=hangs_up) as port:
        data = {
            "ssh_hostname": "127.0.0.1",
            "ssh_port": port,
            "ssh_user": "root",
            "ssh_known_hosts_file": str(home / "known_hosts"),
            **({"ssh_key": str(home / "key")} if has_key else {}),
        }
        inventory = home / "inventory.py"
        inventory.write_text(_INVENTORY.format(data=json.dumps(data)))
        command = [sys.executable, "-c", _CONNECT, str(inventory)]
        environ = {name: text for name, text in os.environ.items() if name != "SSH_AUTH_SOCK"}
        environ |= {"HOME": str(home)}
        return subprocess.run(command, capture_output=True, text=True, env=environ)


def test_a_connection_is_retried_after_the_server_hung_up_once(tmp_path: Path) -> None:
    done = _connect(tmp_path, hangs_up=1)
    assert (done.returncode, done.stdout) == (0, "connected to secrets\n"), done.stderr


def test_a_host_that_hangs_up_twice_is_unreachable(tmp_path: Path) -> None:
    done = _connect(tmp_path, hangs_up=2)
    assert "Unreachable: [secrets] SSH error" in done.stderr


def test_a_machine_without_a_key_is_reported_with_the_variable_that_names_one(
    tmp_path: Path,
) -> None:
    assert "INFISICAL_SSH_KEY" in _connect(tmp_path, has_key=False).stderr
