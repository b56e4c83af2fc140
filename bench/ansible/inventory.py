#!/usr/bin/env python3
"""Ansible's inventory: the staging host that STAGING_HOST names, by default the benchmark's."""

import json
import os
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parents[2]


def inventory(name: str) -> dict[str, object]:
    """Return Ansible's inventory with the staging host `name`, which must be up."""
    known = json.loads((_REPOSITORY / ".staging" / name / "host.json").read_text())
    host = {
        "ansible_host": "127.0.0.1",
        "ansible_port": known["port"],
        "ansible_user": known["user"],
        "ansible_ssh_private_key_file": known["key"],
        "ansible_ssh_common_args": (
            f"-o UserKnownHostsFile={known['known_hosts']} -o StrictHostKeyChecking=yes"
        ),
    }
    return {"all": {"hosts": ["staging"]}, "_meta": {"hostvars": {"staging": host}}}


if __name__ == "__main__":
    print(json.dumps(inventory(os.environ.get("STAGING_HOST", "bench"))))
