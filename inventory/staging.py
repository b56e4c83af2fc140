"""The disposable staging host that `make demo` boots; STAGING_HOST names another one.

INFISICAL_DATA_VOLUME is the device that its data are on, none unless set; STAGING_ISOLATION is the
setting `isolation`.
"""

import json
import os
from pathlib import Path
from typing import Any

from pyinfra.api.exceptions import PyinfraError

_name = os.environ.get("STAGING_HOST", "demo")
_file = Path(__file__).resolve().parents[1] / ".staging" / _name / "host.json"


def _connection() -> dict[str, Any]:
    if not _file.exists():
        raise PyinfraError(
            f"the staging host {_name!r} is not up: run `make demo`, "
            f"or `python -m tests.staging up --name {_name}`"
        )
    known = json.loads(_file.read_text())
    return {
        "ssh_hostname": "127.0.0.1",
        "ssh_port": known["port"],
        "ssh_user": known["user"],
        "ssh_key": known["key"],
        "ssh_known_hosts_file": known["known_hosts"],
        "ssh_strict_host_key_checking": "yes",
        **({} if known["user"] == "root" else {"_sudo": True}),
        **({"data_volume": device} if (device := os.environ.get("INFISICAL_DATA_VOLUME")) else {}),
        **({"isolation": method} if (method := os.environ.get("STAGING_ISOLATION")) else {}),
    }


staging = [("staging", _connection())]
