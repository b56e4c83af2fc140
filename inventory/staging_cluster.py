"""The hosts of a staging cluster, by number; STAGING_CLUSTER names another one than `cluster`.

STAGING_ISOLATION is the setting `isolation`.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from pyinfra.api.exceptions import PyinfraError

_name = os.environ.get("STAGING_CLUSTER", "cluster")
_staging = Path(__file__).resolve().parents[1] / ".staging"


def _hosts() -> list[tuple[str, dict[str, Any]]]:
    files = _staging.glob(f"{_name}-*/host.json")
    found = {re.fullmatch(rf"{re.escape(_name)}-(\d+)", file.parent.name): file for file in files}
    numbered = sorted((int(match[1]), file) for match, file in found.items() if match)
    if not numbered:
        raise PyinfraError(
            f"the staging cluster {_name!r} is not up: "
            f"run `python -m tests.staging cluster up --name {_name}`"
        )
    return [(file.parent.name, _data(file)) for _, file in numbered]


def _data(file: Path) -> dict[str, Any]:
    known = json.loads(file.read_text())
    return {
        "ssh_hostname": "127.0.0.1",
        "ssh_port": known["port"],
        "ssh_user": known["user"],
        "ssh_key": known["key"],
        "ssh_known_hosts_file": known["known_hosts"],
        "ssh_strict_host_key_checking": "yes",
        "cluster_address": known["address"],
        **({"isolation": method} if (method := os.environ.get("STAGING_ISOLATION")) else {}),
        **({} if known["user"] == "root" else {"_sudo": True}),
    }


staging_cluster = _hosts()
