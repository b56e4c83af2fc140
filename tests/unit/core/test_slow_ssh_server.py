"""Connecting to a host whose SSH server is slow, or gives up at first."""

import json
import subprocess
import sys
from pathlib import Path

from tests.unit.ssh_server import ssh_server

# pyinfra must be loaded before anything else, so it needs a process of its own.
_CONNECT = """
import sys
from infisical_iac.core.inventory import connect

with connect(sys.argv[1]) as host:
    print("connected to", host.name)
"""
_INVENTORY = "hosts = [('secrets', {data})]\n"


def _connects(home: Path, *, hangs_up: int) -> subprocess.CompletedProcess[str]:
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


def test_a_host_that_hangs_up_once_is_connected_to(tmp_path: Path) -> None:
    done = _connects(tmp_path, hangs_up=1)
    assert (done.returncode, done.stdout) == (0, "connected to secrets\n"), done.stderr


def test_a_host_that_hangs_up_again_is_unreachable(tmp_path: Path) -> None:
    done = _connects(tmp_path, hangs_up=2)
    assert "Unreachable: [secrets] SSH error" in done.stderr
