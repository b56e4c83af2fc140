"""Test connections to a host whose SSH server hangs up at first."""

import json
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
_INVENTORY = "hosts = [('secrets', {data})]\n"


def _connect(home: Path, *, hangs_up: int) -> subprocess.CompletedProcess[str]:
    with ssh_server(home, hangs_up=hangs_up) as port:
        data = {
            "ssh_hostname": "127.0.0.1",
            "ssh_port": port,
            "ssh_user": "root",
            "ssh_key": str(home / "key"),
            "ssh_known_hosts_file": str(home / "known_hosts"),
        }
        inventory = home / "inventory.py"
        inventory.write_text(_INVENTORY.format(data=json.dumps(data)))
        command = [sys.executable, "-c", _CONNECT, str(inventory)]
        return subprocess.run(command, capture_output=True, text=True)


def test_a_connection_is_retried_after_the_server_hung_up_once(tmp_path: Path) -> None:
    done = _connect(tmp_path, hangs_up=1)
    assert (done.returncode, done.stdout) == (0, "connected to secrets\n"), done.stderr


def test_a_host_that_hangs_up_twice_is_unreachable(tmp_path: Path) -> None:
    done = _connect(tmp_path, hangs_up=2)
    assert "Unreachable: [secrets] SSH error" in done.stderr
