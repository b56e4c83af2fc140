"""Test connections to an SSH server that hangs up at first, or to which no key is offered."""

import json
from pathlib import Path
from typing import Any

from tests.unit import forked
from tests.unit.ssh_server import ssh_server

_INVENTORY = """
from infisical_iac.core.connection import prepare_connections

prepare_connections()
hosts = [("secrets", {data})]
"""


def _connect(home: Path, *, hangs_up: int = 0, has_key: bool = True) -> dict[str, Any]:
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
        environment = {"HOME": str(home), "SSH_AUTH_SOCK": ""}
        found: dict[str, Any] = forked.run(
            "tests.unit.core.host_key_run", str(inventory), "secrets", environment, None
        )
        return found


def test_a_connection_is_retried_after_the_server_hung_up_once(tmp_path: Path) -> None:
    assert _connect(tmp_path, hangs_up=1)["connected"] == ["secrets"]


def test_a_host_that_hangs_up_twice_is_unreachable(tmp_path: Path) -> None:
    found = _connect(tmp_path, hangs_up=2)
    assert found["code"].startswith("unreachable")
    assert "[secrets] SSH error" in found["error"]


def test_a_machine_without_a_key_is_reported_with_the_variable_that_names_one(
    tmp_path: Path,
) -> None:
    assert "INFISICAL_SSH_KEY" in _connect(tmp_path, has_key=False)["error"]
